"""What is put into a content and where: the terms in which all transfer encodings are written to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

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
    plain: bool = False
    """What is put in is the same octets in every transfer encoding but base64."""


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


class Layout:
    """An encoded content with gaps: all that is the same in copies whose values have the same shape."""

    __slots__ = ("_cut", "_pieces", "parts")

    def __init__(self) -> None:
        self.parts: list[Chunk | slice] = []
        """In order what stands in every copy, and gaps, as slices of the octets that fill them all."""
        self._pieces: list[Chunk] = []
        self._cut: Callable[[bytes], tuple[bytes, ...]] | None = None

    def filled(self, octets: bytes) -> list[Chunk]:
        """The content's pieces with the gaps filled."""
        if self._cut is None:
            if self._pieces:  # it is used again
                self._join()
            else:
                self._pieces = [octets[part] if isinstance(part, slice) else part for part in self.parts]
                return self._pieces
        copy = self._pieces.copy()
        if self._cut is not None:
            copy[1::2] = self._cut(octets)[:-2]
        return copy

    def _join(self) -> None:
        """What stands between two gaps becomes one piece: gaps have odd indexes."""
        gaps: list[slice] = []
        between: list[Chunk] = []
        self._pieces = []
        for part in self.parts:
            if isinstance(part, slice):
                self._pieces += (b"".join(between), b"")
                gaps.append(part)
                between = []
            else:
                between.append(part)
        self._pieces.append(b"".join(between))
        # two more, for with one alone there would be no tuple
        self._cut = itemgetter(*gaps, slice(0, 0), slice(0, 0))
        self.parts = []


MOST_LAYOUTS = 4
"""Recipients differ in what they are tracked by: so many kinds of copies are laid out once."""
MOST_OCTETS = 1_000_000
"""Layouts of a larger content are not kept, for each holds a copy of it."""


Shape = TypeVar("Shape", bound=Hashable)
Made = TypeVar("Made")


class Layouts(Generic[Shape, Made]):
    """What was laid out for the last few shapes of values."""

    __slots__ = ("_kept", "_made", "_slots")

    def __init__(self, size: int) -> None:
        """`size` is the content's, in octets."""
        self._kept = MOST_LAYOUTS if size <= MOST_OCTETS else 0
        self._slots: Sequence[Slot] = ()
        self._made: dict[Shape, Made] = {}

    def get(
        self, slots: Sequence[Slot], shape: Shape, lay_out: Callable[[Sequence[Slot], Shape], Made]
    ) -> Made:
        if slots is not self._slots:
            self._slots = slots
            self._made.clear()
        made = self._made.get(shape)
        if made is None:
            made = lay_out(slots, shape)
            if len(self._made) >= self._kept:
                self._made.clear()
            if self._kept:
                self._made[shape] = made
        return made
