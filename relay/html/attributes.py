"""The attributes of a tag, their exact ranges, and what their values say (HTML 13.2.5.32 to 13.2.5.39). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from typing import NamedTuple

BLANKS = r"\t\n\f\r "
_S = BLANKS
# Possessive throughout: no character is looked at twice. A quote that never closes fails the whole tag.
ATTRIBUTES = (
    rf"(?:[{_S}/]*+[^{_S}/>][^{_S}/>=]*+"
    rf"(?:[{_S}]*+=[{_S}]*+(?:\"[^\"]*+\"|'[^']*+'|[^{_S}>\"'][^{_S}>]*+|(?=>))"
    rf"|(?![{_S}]*+=)))*+[{_S}/]*+"
)
"""What may stand between a tag's name and its `>`."""


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
_IS_HREF = rf"[hH][rR][eE][fF](?![^{_S}/>=])"
_HREF = re.compile(
    rf"(?:[{_S}/]*+(?!{_IS_HREF})[^{_S}/>][^{_S}/>=]*+{_VALUE.replace('([', '(?:[')})*+[{_S}/]*+{_IS_HREF}()"
    rf"{_VALUE}"
)
LINK_ATTRIBUTES = re.compile(
    rf"{ATTRIBUTES.replace('[^', rf'(?!{_IS_HREF})[^', 1).removesuffix(rf'[{_S}/]*+')}[{_S}/]*+"
    rf"(?:{_IS_HREF}(?:[{_S}]*+=[{_S}]*+(?:\"([^\"]*+)\"|'([^']*+)'|([^{_S}>\"'][^{_S}>]*+)|((?=>)))"
    rf"|((?![{_S}]*+=))){ATTRIBUTES})?>"
)
"""The same as ATTRIBUTES and the `>` behind them; the group that matched is the first `href`'s value, with quotes in
the first two."""
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
