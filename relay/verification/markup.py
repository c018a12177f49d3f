"""As much HTML as a proof needs: where tags begin, the value of a link, and how browsers read it. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from html import unescape
from html.entities import html5

_BLANK = r"[ \t\r\n\f]"
# Each alternative matches to the end of the text where it is not closed, so that the search never walks twice.
# Quotes count only behind an equals sign.
_ATTRIBUTES = rf"(?:={_BLANK}*+(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z))|[^>])*+"
_ANY_TAG = rf"<[a-z/!?]{_ATTRIBUTES}(?:>|\Z)"
_MARKUP = re.compile(
    r"(?P<comment><!--)(?:-?>|[\s\S]*?(?:--!?>|\Z))"
    rf"|<(?P<raw>script|style|textarea|title|xmp|iframe|noembed|noframes)\b{_ATTRIBUTES}"
    r"(?:>[\s\S]*?(?:</(?P=raw)|\Z)|\Z)"
    rf"|{_ANY_TAG}",
    re.IGNORECASE,
)
_TAG = re.compile(_ANY_TAG, re.IGNORECASE)
_TO_VALUE = re.compile(
    rf"<(?:a|area|v:[a-z]+)[ \t\r\n\f/](?>={_BLANK}*+(?:\"[^\"]*\"|'[^']*')|[^>=]|=(?!{_BLANK}*[\"']))*?"
    rf"href{_BLANK}*={_BLANK}*[\"']?",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]*;?)=?")
_STRIPPED = "".join(map(chr, range(0x21)))
_SHOWN = 60


def tag_starts(text: str) -> Iterator[int]:
    """Where tags and comments begin, and the tags inside comments: Outlook reads them."""
    for match in _MARKUP.finditer(text):
        yield match.start()
        if match["comment"]:
            inside = _TAG.finditer(text, match.start() + len("<!--"), match.end())
            yield from (tag.start() for tag in inside)


def why_no_tag(text: str, at: int) -> str | None:
    """Why no tag begins at `at`: it stands inside another, a comment, or raw text; None where one does."""
    for match in _MARKUP.finditer(text):
        if match.start() == at:
            return None
        if match.end() > at:
            inside = match[0][:_SHOWN] if match.start() < at else ""
            return f"stands inside {inside!r}" if inside else "is no tag"
    return "is no tag"


def link_value(text: str, at: int, tags: Sequence[int]) -> str | None:
    """The value of a link's `href` that begins at `at`; None where none does. `tags`: where tags begin."""
    index = bisect_left(tags, at) - 1
    if index < 0 or not _TO_VALUE.fullmatch(text, tags[index], at):
        return None
    quote = text[at - 1]
    match = re.compile(f"[^{quote}]*" if quote in "\"'" else r"[^ \t\r\n\f>]*").match(text, at)
    return match[0] if match else None


def as_browsers_read(value: str) -> str:
    """An attribute's value as a URL: references decoded as in attributes, ends stripped, line ends and tabs out."""
    return re.sub(r"[\t\r\n]", "", _REFERENCE.sub(_dereferenced, value).strip(_STRIPPED))


def _dereferenced(match: re.Match[str]) -> str:
    text = match[0]
    if text[1] == "#":
        return unescape(text.removesuffix("=")) + ("=" if text.endswith("=") else "")
    name = text[1:].removesuffix("=")
    if name.endswith(";") and name in html5:
        return html5[name] + ("=" if text.endswith("=") else "")
    # without its semicolon a name is decoded in attributes only where neither a letter nor `=` follows
    return html5[name] if name in html5 and not text.endswith("=") else text
