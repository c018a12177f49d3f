"""What a Content-Type field says (RFC 2045 5.1): the type and its parameters.

What programs read in different ways is not read at all. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_TYPE = re.compile(
    r"[ \t]*([A-Za-z0-9!#$&^_.+-]+)/([A-Za-z0-9!#$&^_.+*-]+)[ \t]*(?:\([^()]*\)[ \t]*)?(?:;|\Z)"
)
_TEXT = re.compile(
    r"(text/(?:html|plain)); ?charset=(?:\"([A-Za-z0-9_-]+)\"|([A-Za-z0-9_-]+))", re.IGNORECASE | re.ASCII
)
"""What most bodies say."""
# One parameter, or what is none up to the next semicolon: no octet is looked at more than twice.
_PARAMETER = re.compile(
    r"[; \t\r\n]*+(?:([^ \t\r\n=;\"]++)[ \t\r\n]*+=[ \t\r\n]*+(?:\"((?:[^\"\\]|\\.)*+)\"|([^; \t\r\n\"]*+))"
    r"(?=[ \t\r\n]*+(?:;|\Z))|([^;]++))",
    re.DOTALL,
)


class ContentType(NamedTuple):
    kind: str
    """Type and subtype in lower case."""
    parameters: dict[str, str]
    """Names in lower case."""


def content_type(values: Sequence[str]) -> ContentType | None:
    """Of the values of all such fields of a header block, unfolded; None where it cannot be read or is given twice.
    `text/plain` where none is given (RFC 2045 5.2)."""
    if not values:
        return ContentType("text/plain", {})
    frequent = _TEXT.fullmatch(values[0])
    if frequent is not None and len(values) == 1:
        return ContentType(frequent[1].lower(), {"charset": frequent[2] or frequent[3]})
    match = _TYPE.match(values[0])
    if len(values) > 1 or match is None:
        return None
    parameters: dict[str, str] = {}
    for item in _PARAMETER.finditer(values[0], match.end()):
        if item[4] is not None:
            if "=" in item[4] or '"' in item[4]:
                # a parameter nearly: programs read different values
                return None
            continue
        name = item[1].lower()
        value = re.sub(r"\\(.)", r"\1", item[2]) if item[2] is not None else item[3]
        if name.startswith(("boundary*", "charset*", "start*")) or parameters.get(name, value) != value:
            # RFC 2231 pieces, and contradictions: programs read them differently
            return None
        parameters[name] = value
    return ContentType(f"{match[1]}/{match[2]}".lower(), parameters)
