"""Machine-readable parts field by field: `Name: value` in blocks with empty lines between (RFC 3464 2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

MOST_OCTETS = 256 * 1024
"""Of a part that is read; real ones have a few hundred for each recipient."""
MOST_BLOCKS = 100
_MOST_FIELDS = 60
_LONGEST = 2_000
_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\U0010fffd]+")

Block = dict[str, list[str]]
"""Values by lower-case name, in order."""


def blocks(octets: bytes) -> Iterator[Block]:
    """The blocks of fields; folded lines joined, what is no field passed over."""
    block: Block = {}
    values: list[str] | None = None
    count = 0
    for raw in octets[:MOST_OCTETS].split(b"\n"):
        line = raw.decode("utf-8", "replace").rstrip()
        if not line:
            if block:
                yield block
                count += 1
            if count >= MOST_BLOCKS:
                return
            block, values = {}, None
        elif line[0] in " \t":
            if values and len(values[-1]) < _LONGEST:
                values[-1] = f"{values[-1]} {line.strip()}"[:_LONGEST]
        else:
            name, colon, value = line.partition(":")
            values = None
            if colon and (name.lower() in block or len(block) < _MOST_FIELDS):
                values = block.setdefault(name.strip().lower(), [])
                if len(values) < MOST_BLOCKS:
                    values.append(value.strip()[:_LONGEST])
    if block:
        yield block


def first(block: Block, name: str) -> str:
    """The first value of that name; `""` where there is none."""
    return block.get(name, [""])[0]


def typed(value: str) -> str:
    """What stands behind `dns;`, `rfc822;`, `smtp;`."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and re.fullmatch(r"[A-Za-z0-9-]{1,40}", kind.strip()) else value.strip()


def address(value: str) -> str:
    """The address of a recipient's or sender's field, in lower case and without brackets."""
    return typed(value).strip("<> ").lower()[:320]


def line(text: str, longest: int = 1000) -> str:
    """One printable line."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:longest]


def enhanced(text: str) -> str:
    """The first enhanced status code in it, `""` where there is none."""
    match = _CODE.search(text)
    return f"{match[1]}.{int(match[2])}.{int(match[3])}" if match else ""
