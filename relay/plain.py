"""URLs in plain text, as exact ranges.

Knows where people and programs end a URL in prose: angle brackets, trailing punctuation, quoted lines, and
format=flowed (RFC 3676). A URL whose end is in doubt is named and left alone. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from relay.reasons import Reason

_URL = re.compile(r"(?<![A-Za-z0-9+.@/=_-])https?://[!#-;=?-~]++", re.IGNORECASE)
# not `_`: a program that takes it for the URL's would take it for the tracking URL's, whose token it would break
_TRAILING = ".,;:!?'*~`|"
_PAIRS = {")": "(", "]": "[", "}": "{"}


class PlainUrl(NamedTuple):
    start: int
    end: int
    doubt: Reason | None


def urls(text: str, *, flowed: bool, delsp: bool) -> Iterator[PlainUrl]:
    """Every http and https URL of a text in order, with the reason why its range is in doubt, if it is."""
    for match in _URL.finditer(text):
        start, end = match.span()
        following = text[end : end + 1]
        if text[start - 1 : start] == "<":
            # RFC 3986 appendix C: what stands between angle brackets is the URL, line ends and all
            yield PlainUrl(start, end, None if following == ">" else Reason.BLANK)
            continue
        stop = _without_punctuation(text, start, end)
        doubt: Reason | None = None
        if _is_quoted(text, start):
            doubt = Reason.QUOTED_TEXT
        elif following and not following.isascii():
            doubt = Reason.NON_ASCII
        elif flowed and delsp and stop == end and text.startswith((" \r\n", " \n"), end):
            # RFC 3676 4.1: with DelSp the blank before the line end goes, and the URL may run on
            doubt = Reason.BLANK
        yield PlainUrl(start, stop, doubt)


def _is_quoted(text: str, at: int) -> bool:
    line = text.rfind("\n", max(0, at - 1000), at) + 1
    return text[line : line + 4].lstrip(" \t").startswith((">", "|"))


def _without_punctuation(text: str, start: int, end: int) -> int:
    surplus = {
        closing: text.count(closing, start, end) - text.count(opening, start, end)
        for closing, opening in _PAIRS.items()
    }
    while end > start:
        last = text[end - 1]
        if last not in _TRAILING:
            if surplus.get(last, 0) <= 0:
                break
            surplus[last] -= 1
        end -= 1
    return end
