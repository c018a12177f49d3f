"""7bit, 8bit and binary (RFC 2045 6.2): only the length of lines is watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from relay.transfer.slots import MAX_LINE, Chunk, Slot


class _Frame(NamedTuple):
    """What of a content's octets stays, and how much its lines can take: the same for all renderings."""

    slots: Sequence[Slot]
    pieces: list[Chunk]
    """What stands before, in and between the slots, in turns; each slot has an odd index."""
    own: list[Chunk]
    """The slots' own octets."""
    sizes: list[int]
    """Of each slot's own octets."""
    lines: list[int]
    """Of each slot, the index of its line in `room`."""
    room: list[int]
    """Octets that the slots of one line may hold together."""


class Raw:
    """7bit, 8bit, binary: the octets are the content."""

    __slots__ = ("_data", "_end", "_frame", "_start", "size")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data, self._start, self._end = data, start, end
        self._frame: _Frame | None = None
        self.size = end - start

    @property
    def decoded(self) -> bytes:
        """A copy at each call, so that none stays in memory with the plan."""
        return self._data[self._start : self._end]

    def has_room(self, slots: Sequence[Slot], octets: int) -> bool:
        """Whether no line grows too long by values of at most so many octets in all its slots."""
        frame = self._frame_for(slots)
        room = frame.room.copy()
        for line, size in zip(frame.lines, frame.sizes, strict=True):
            room[line] -= octets if octets > size else size
        return min(room, default=0) >= 0

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        frame = self._frame_for(slots)
        filled = frame.pieces.copy()
        new = [own if value is None else value for own, value in zip(frame.own, values, strict=True)]
        room = frame.room.copy()
        for line, value, size in zip(frame.lines, new, frame.sizes, strict=True):
            octets = len(value)
            room[line] -= octets if octets > size else size
        if room and min(room) < 0:
            return self._write_closely(frame, values, out)
        filled[1::2] = new
        out += filled
        return []

    def _frame_for(self, slots: Sequence[Slot]) -> _Frame:
        frame = self._frame
        if frame is None or frame.slots is not slots:
            frame = self._frame = self._make_frame(slots)
        return frame

    def _make_frame(self, slots: Sequence[Slot]) -> _Frame:
        data, base = self._data, self._start
        view = memoryview(data)
        pieces: list[Chunk] = []
        sizes, lines, room = [], [], []
        at = line_start = base
        line_end = -1
        for start, end in ((base + slot.start, base + slot.end) for slot in slots):
            pieces += (view[at:start], view[start:end])
            if start > line_end:
                line_start = max(line_end, data.rfind(b"\n", max(base, line_end), start) + 1, base)
                line_end = _line_end(data, end, self._end)
                room.append(MAX_LINE - (line_end - line_start))
            elif end > line_end:
                room[-1] += line_end
                line_end = _line_end(data, end, self._end)
                room[-1] -= line_end
            room[-1] += end - start
            sizes.append(end - start)
            lines.append(len(room) - 1)
            at = end
        pieces.append(view[at : self._end])
        return _Frame(slots, pieces, pieces[1::2], sizes, lines, room)

    def _write_closely(self, frame: _Frame, values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        """Slot by slot, where some line has no room for all that is put in."""
        data, base = self._data, self._start
        view = memoryview(data)
        left, kept_free = _settle_first(frame, values)
        values = [None if index in left else value for index, value in enumerate(values)]
        at = line_start = base
        line_end = -1
        grown = 0
        for index, (slot, value) in enumerate(zip(frame.slots, values, strict=True)):
            if value is None:
                continue
            start, end = base + slot.start, base + slot.end
            if start > line_end:
                line_start = max(line_end, data.rfind(b"\n", max(base, line_end), start) + 1, base)
                line_end = _line_end(data, end, self._end)
                grown = 0
            elif end > line_end:
                line_end = _line_end(data, end, self._end)
            growth = len(value) - (end - start)
            line = frame.lines[index]
            if slot.first:
                kept_free[line] -= max(0, growth)
            length = line_end - line_start + grown + growth + kept_free[line]
            if length > MAX_LINE and growth > 0 and not slot.first:
                if slot.breakable and line_end - start + len(value) + kept_free[line] <= MAX_LINE:
                    value = b"\r\n" + value
                    line_start, grown = start, 0
                elif slot.optional:
                    left.add(index)
                    if slot.fallback is None:
                        if b"\n" in data[start:end]:
                            line_end = -1  # its line ends stay too
                        continue
                    value = slot.fallback
                    growth = len(value) - (end - start)
            grown += growth
            out += (view[at:start], value)
            at = end
        out.append(view[at : self._end])
        return sorted(left)


def _settle_first(frame: _Frame, values: Sequence[bytes | None]) -> tuple[set[int], list[int]]:
    """(slots that come first and stay, since their line would grow too long by slots of their kind alone; what those
    that are put in add to each line)."""
    room = frame.room.copy()
    for line, size in zip(frame.lines, frame.sizes, strict=True):
        room[line] -= size
    stay: set[int] = set()
    kept_free = [0] * len(room)
    for index, (slot, value) in enumerate(zip(frame.slots, values, strict=True)):
        if not slot.first or value is None:
            continue
        line, growth = frame.lines[index], len(value) - frame.sizes[index]
        if growth > max(0, room[line]):
            stay.add(index)
        else:
            room[line] -= growth
            kept_free[line] += max(0, growth)
    return stay, kept_free


def _line_end(data: bytes, at: int, stop: int) -> int:
    end = data.find(b"\n", at, stop)
    if end < 0:
        return stop
    return end - 1 if end > at and data[end - 1] == 0x0D else end
