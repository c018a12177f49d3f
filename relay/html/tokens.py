"""The tokens of an HTML text that matter to links, and their exact ranges, in a single pass.

Follows the tokenizer of the WHATWG standard (HTML 13.2.5) as far as ranges need it: comments, quoted and
unquoted attribute values, raw text. Builds no tree, and is linear in the length of whatever it is given: a
construct that is never closed ends the pass. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from html.entities import html5
from typing import NamedTuple

_S = r"\t\n\f\r "
# Possessive throughout: no byte is looked at twice. A quote that never closes fails the whole tag.
_ATTRIBUTES = (
    rf"(?:[{_S}/]*+[^{_S}/>][^{_S}/>=]*+"
    rf"(?:[{_S}]*+=[{_S}]*+(?:\"[^\"]*+\"|'[^']*+'|[^{_S}>\"'][^{_S}>]*+|(?=>))"
    rf"|(?![{_S}]*+=)))*+[{_S}/]*+"
)
_NAME = rf"/?[A-Za-z][^{_S}/>]*+"
_COMMENT = r"!--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+--!?>)"
# what the standard's tokenizer takes for a comment: declarations, processing instructions, odd end tags
_BOGUS = r"(?:!(?!--)|\?|/(?![A-Za-z>]))[^>]*+>|/>"
_RAW_TEXT = (
    r"[sS][cC][rR][iI][pP][tT]|[sS][tT][yY][lL][eE]|[tT][iI][tT][lL][eE]"
    r"|(?i:textarea|xmp|iframe|noembed|noframes)"
)
_WANTED = (
    r"/?[aA]|[aA][rR][eE][aA]|/?[bB][oO][dD][yY]"
    r"|[sS][vV][gG]|[mM][aA][tT][hH]|(?i:plaintext|frameset|select|template|noscript)"
)


def _compile(skipped_first: str) -> re.Pattern[str]:
    """Each match skips what is not wanted and ends with one token, or at the end of the text."""
    skipped = rf"<(?:{skipped_first}{_BOGUS}|(?![A-Za-z!?/]|\Z))"
    return re.compile(
        rf"[^<]*+(?:{skipped}[^<]*+)*+(?:"
        rf"(<)(?:"
        rf"({_RAW_TEXT})(?=[{_S}/>])({_ATTRIBUTES})>([^<]*+(?:<(?!/(?i:\2)[{_S}/>])[^<]*+)*+)"
        rf"|({_NAME})({_ATTRIBUTES})>"
        rf"|({_COMMENT})"
        rf"|([\s\S]*+)"
        rf")|\Z)"
    )


# By their first letters most tags are told from the wanted ones without trying every name.
_OTHER = (
    rf"/?(?:[c-eghj-loqru-wyzC-EGHJ-LOQRU-WYZ]|[pP](?![lL])|[tT][dDrRhHaA]|[iI][mM]|[bB][rRuU]|[sS][pPuU]|[fF][oO])"
    rf"[^{_S}/>]*+"
    rf"|(?!(?:{_WANTED}|{_RAW_TEXT})[{_S}/>]){_NAME}"
)
_FEW = _compile(rf"(?:{_OTHER}){_ATTRIBUTES}>|(?!!--\[[iI][fF]){_COMMENT}|")
_EVERY = _compile("")


class Kind(Enum):
    START = "start tag"
    END = "end tag"
    RAW = "element with raw text"
    COMMENT = "comment"
    OPEN = "construct that is never closed"


class Token(NamedTuple):
    """`text[start:end]` is the token; of RAW, the start tag and the content up to the end tag."""

    kind: Kind
    name: str
    """Lower case; `""` for comments and the never closed."""
    start: int
    attributes: int
    """Where the attributes begin, of a tag; where the content begins, of RAW and comments."""
    end: int


def tokens(text: str, start: int = 0, end: int | None = None, *, every: bool = False) -> Iterator[Token]:
    """The tags, comments and raw texts of `text[start:end]` in order. Without `every`, only links, the body's
    tags, conditional comments, raw text, and elements that make programs disagree on the tree."""
    stop = len(text) if end is None else end
    match_at = (_EVERY if every else _FEW).match
    new = tuple.__new__  # half the time of a NamedTuple's constructor
    at = start
    while at < stop:
        match = match_at(text, at, stop)
        index = match.lastindex if match is not None else None
        if match is None or index is None:
            return
        at = match.end()
        begin = match.start(1)
        if index == 6:
            kind, name = _FREQUENT.get(match[5]) or _tag(match[5])
            yield new(Token, (kind, name, begin, match.start(6), at))
        elif index == 7:
            yield Token(Kind.COMMENT, "", begin, begin + 4, at)
        elif index == 4:
            yield Token(Kind.RAW, match[2].lower(), begin, match.start(4), at)
            if at == stop:
                yield Token(Kind.OPEN, "", begin, begin, at)
        else:
            yield Token(Kind.OPEN, "", begin, begin, at)
            return


def _tag(name: str) -> tuple[Kind, str]:
    return Kind.END if name[0] == "/" else Kind.START, name.lower().lstrip("/")


_FREQUENT = {name: _tag(name) for name in ("a", "/a", "A", "/A", "area", "body", "/body", "BODY", "/BODY")}


class Attribute(NamedTuple):
    """One attribute and its value's range. `start` is where its name begins, `end` lies behind its value and
    closing quote; `quote` is `""` for a value without quotes."""

    name: str
    """Lower case."""
    start: int
    value_start: int
    value_end: int
    end: int
    quote: str


_VALUE = rf"(?:[{_S}]*+=[{_S}]*+(?:\"([^\"]*+)\"|'([^']*+)'|([^{_S}>\"'][^{_S}>]*+)|))?+"
_ATTRIBUTE = re.compile(rf"[{_S}/]*+([^{_S}/>][^{_S}/>=]*+){_VALUE}")
_IS_HREF = rf"(?i:href)(?![^{_S}/>=])"
_HREF = re.compile(
    rf"(?:[{_S}/]*+(?!{_IS_HREF})[^{_S}/>][^{_S}/>=]*+{_VALUE.replace('([', '(?:[')})*+[{_S}/]*+{_IS_HREF}()"
    rf"{_VALUE}"
)
_QUOTES = {2: '"', 3: "'", 4: ""}


def attributes(text: str, start: int, end: int) -> Iterator[Attribute]:
    """The attributes of a tag whose attributes stand in `text[start:end]`, duplicates included."""
    for match in _ATTRIBUTE.finditer(text, start, end):
        group = match.lastindex or 1
        if group == 1:
            yield Attribute(match[1].lower(), match.start(1), match.end(), match.end(), match.end(), "")
        else:
            yield Attribute(
                match[1].lower(),
                match.start(1),
                match.start(group),
                match.end(group),
                match.end(),
                _QUOTES[group],
            )


def href(text: str, start: int, end: int) -> tuple[int, int, bool] | None:
    """The range of the first `href`'s value among the attributes in `text[start:end]`, and whether it has quotes."""
    match = _HREF.match(text, start, end)
    if match is None:
        return None
    group = match.lastindex or 1
    if group == 1:
        return match.end(), match.end(), False
    return match.start(group), match.end(group), group < 4


def values(text: str, start: int, end: int) -> dict[str, str]:
    """The attributes in `text[start:end]`, names in lower case and references decoded. Of duplicates the first
    counts (HTML 13.2.5.33)."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text, start, end):
        lowered = name.lower()
        if lowered not in found:
            found[lowered] = decode_attribute(double or single or bare)
    return found


_REFERENCE = re.compile(r"&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|[A-Za-z][A-Za-z0-9]*;?)")
_LONGEST = max(map(len, html5))


def decode_attribute(value: str) -> str:
    """Character references decoded once, by the rules for attributes: a name without its semicolon before a
    letter, digit or `=` is text (HTML 13.2.5.73), so `?a=1&copy=2` keeps its `&copy`."""
    if "&" not in value:
        return value
    if value.count("&") == value.count("&amp;"):
        return value.replace("&amp;", "&")
    return _REFERENCE.sub(_decode_reference, value)


def _decode_reference(match: re.Match[str]) -> str:
    written = match[0]
    if written[1] == "#":
        return _numeric(written.rstrip(";"))
    name = written[1:]
    if name.endswith(";") and name in html5:
        return html5[name]
    for length in range(min(len(name), _LONGEST), 1, -1):
        found = html5.get(name[:length])
        if found is None:
            continue
        following = name[length:] or match.string[match.end() : match.end() + 1]
        if following[:1] == "=" or (following[:1].isascii() and following[:1].isalnum()):
            return written
        return found + name[length:]
    return written


def _numeric(written: str) -> str:
    digits = written[2:]
    number = int(digits[1:], 16) if digits[0] in "xX" else int(digits.lstrip("0")[:12] or "0")
    if number in _WINDOWS_1252:
        return _WINDOWS_1252[number]
    if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return "\ufffd"
    return chr(number)


_WINDOWS_1252 = {
    number: bytes([number]).decode("cp1252")
    for number in range(0x80, 0xA0)
    if number not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
"""Numeric references that the standard reads as windows-1252 (HTML 13.2.5.80)."""
