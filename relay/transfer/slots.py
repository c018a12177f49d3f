"""What is put into a content and where: the terms in which all transfer encodings are written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5321 4.5.3.1.6)."""
QUOTED_LINE = 76
"""Octets of a quoted-printable or base64 line (RFC 2045 6.7, 6.8)."""

Chunk = bytes | memoryview


class Slot(NamedTuple):
    """A range of decoded octets that may be replaced; an empty one is a place to insert at."""

    start: int
    end: int
    optional: bool = False
    """Not put in where the line would grow too long; `fallback` takes its place."""
    fallback: bytes | None = None
    """None leaves the slot as it was."""
    breakable: bool = False
    """A line end may be put before it."""
    first: bool = False
    """It has its line's room before other slots: whether it is put in depends on slots of its kind alone."""


class Content(Protocol):
    """A part's content under its transfer encoding."""

    @property
    def decoded(self) -> bytes: ...

    @property
    def size(self) -> int:
        """Octets of `decoded`."""
        ...

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        """Append the encoded content to `out`, each slot's octets replaced by its value (None: as it was).
        Slots ascend and do not overlap. Gives the indexes of slots that had a value and were left alone."""
        ...
