"""Patterns for the URLs of links: `*` stands for anything, and the whole URL has to fit. Case does not matter. Pure."""

from __future__ import annotations

import re

from tracker.errors import InvalidValue

LONGEST = 500
ESCAPE = "\\"


def checked_pattern(text: str) -> str:
    """The pattern. Raises InvalidValue for one that could never fit, or that says nothing."""
    if not text.strip("*") or len(text) > LONGEST or not text.isprintable() or " " in text:
        raise InvalidValue(
            f"{text[:80]!r} is no pattern for links; write a part of the URL with * for anything, such as */price-list*"
        )
    if not re.match(r"\*|https?:", text, re.IGNORECASE):
        raise InvalidValue(
            f"{text[:80]!r} would fit no link: the whole URL has to fit, so it begins with * or https:, as in "
            f"*/{text.strip('*/')[:60]}*"
        )
    return text


def fits(pattern: str, url: str) -> bool:
    """Whether the whole URL is what the pattern says."""
    return _compiled(pattern).fullmatch(url) is not None


def like(pattern: str) -> str:
    """The same for SQL's LIKE, in lower case, with `ESCAPE`."""
    plain = re.sub(r"([%_\\])", r"\\\1", pattern.lower())
    return re.sub(r"\*+", "%", plain)


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\*+", pattern)
    return re.compile(".*".join(map(re.escape, parts)), re.IGNORECASE | re.DOTALL)
