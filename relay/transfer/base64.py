"""Base64 (RFC 2045 6.8), encoded anew from the first group that changes."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from itertools import pairwise
from struct import Struct

from relay.transfer.slots import MAX_LINE, QUOTED_LINE, Chunk, Layout, Layouts, Slot

_Lengths = tuple[int, ...]
"""Of each value; -1 for none."""
_Prepared = tuple[list[bytes], Layout]
"""What is encoded for each copy, in turns what stands beside the values and the values themselves, and the content
that takes the encoded octets."""


class Base64:
    """Base64 (RFC 2045 6.8): encoded anew from the first group that changes, at the line length found."""

    __slots__ = (
        "_data",
        "_end",
        "_layouts",
        "_length",
        "_line",
        "_located",
        "_newline",
        "_payload_end",
        "_start",
        "decoded",
        "size",
    )

    def __init__(self, data: bytes, start: int, end: int, payload_end: int, decoded: bytes) -> None:
        self._data, self._start, self._end = data, start, end
        self._payload_end = payload_end
        self.decoded, self.size = decoded, len(decoded)
        first = data.find(b"\n", start, payload_end)
        self._newline = b"\r\n" if first < 0 or data[first - 1] == 0x0D else b"\n"
        length = QUOTED_LINE if first < 0 else len(data[start:first].rstrip(b"\r"))
        self._length = length if 4 <= length <= MAX_LINE else QUOTED_LINE
        self._line = Struct(f"{self._length}s")
        self._located: dict[int, tuple[int, int]] = {}
        self._layouts: Layouts[_Lengths, _Prepared] = Layouts(self.size)

    @classmethod
    def open(cls, data: bytes, start: int, end: int) -> Base64 | None:
        """None where the content is anything but one run of whole groups in lines."""
        body = data[start:end]
        payload = body.rstrip(b"\r\n \t")
        # a CR inside a line is skipped by decoders, and would shift what is counted by columns
        if payload[:1] in (b"\r", b"\n") or payload.count(b"\r") != payload.count(b"\r\n"):
            return None
        groups = payload.translate(None, b"\r\n")
        try:
            decoded = binascii.a2b_base64(groups, strict_mode=True)
        except binascii.Error:
            return None
        if binascii.b2a_base64(decoded, newline=False) != groups:
            return None
        return cls(data, start, end, start + len(payload), decoded)

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        new = [value for value in values if value is not None]
        if not new:
            out.append(memoryview(self._data)[self._start : self._end])
            return []
        lengths = tuple([-1 if value is None else len(value) for value in values])
        octets, layout = self._layouts.get(slots, lengths, self._lay_out)
        octets = octets.copy()
        octets[1::2] = new
        out += layout.filled(binascii.b2a_base64(b"".join(octets), newline=False))
        return []

    def _lay_out(self, slots: Sequence[Slot], lengths: _Lengths) -> _Prepared:
        """Whole groups of the text between two values are the same in all copies; what of it shares a group with a
        value is encoded together with that."""
        changes = [
            (slot.start, slot.end, length) for slot, length in zip(slots, lengths, strict=True) if length >= 0
        ]
        text = self.decoded
        first = at = changes[0][0] // 3 * 3
        runs: list[bytes | tuple[int, int]] = []
        octets: list[bytes] = []
        beside = b""
        offset = gathered = encoded = 0
        for start, end, length in [*changes, (len(text), -1, 0)]:
            lead = min(-offset % 3, start - at)
            whole = start - at - lead
            if end >= 0:
                whole -= whole % 3  # the end of the text has a group of its own, filled up
            if whole:
                beside += text[at : at + lead]
                gathered += lead
                runs.append((encoded, gathered))
                encoded = gathered
                at += lead + whole
                offset += lead + whole
                runs.append(binascii.b2a_base64(text[at - whole : at], newline=False))
            beside += text[at:start]
            gathered += start - at + length
            offset += start - at + length
            if end >= 0:
                octets += (beside, b"")
                beside, at = b"", end
        runs.append((encoded, gathered))
        return [*octets, beside], self._wrapped(first // 3, runs)

    def _wrapped(self, group: int, runs: Sequence[bytes | tuple[int, int]]) -> Layout:
        """The content with these runs from the group on: encoded text, or a range of the octets that are encoded for
        each copy. Lines are as long as those found."""
        if group not in self._located:
            self._located[group] = self._locate(4 * group)
        cut, column = self._located[group]
        sizes = [len(run) if isinstance(run, bytes) else -(-(run[1] - run[0]) // 3) * 4 for run in runs]
        if not any(sizes):
            # nothing follows on the next line: the line end before it goes
            cut = self._start + len(self._data[self._start : cut].rstrip(b"\r\n"))
        view, layout, newline, length = memoryview(self._data), Layout(), self._newline, self._length
        layout.parts.append(view[self._start : cut])
        room = length - column
        for run, size in zip(runs, sizes, strict=True):
            if not size:
                continue
            if room <= 0:
                layout.parts.append(newline)
                room = length
            if isinstance(run, bytes):
                layout.parts.append(self._lines(run, room))
            else:
                first = run[0] // 3 * 4
                for start, end in pairwise((0, *range(room, size, length), size)):
                    layout.parts += (newline if start else b"", slice(first + start, first + end))
            room = room - size if size <= room else (room - size) % length
        layout.parts.append(view[self._payload_end : self._end])
        return layout

    def _lines(self, encoded: bytes, room: int) -> bytes:
        """In lines, of which the first has less room."""
        remainder = max(0, len(encoded) - room) % self._length
        tail = len(encoded) - remainder
        lines = [encoded[:room]]
        lines += [line for (line,) in self._line.iter_unpack(memoryview(encoded)[room:tail])]
        if remainder:
            lines.append(encoded[tail:])
        return self._newline.join(lines)

    def _locate(self, offset: int) -> tuple[int, int]:
        """Where the base64 character at `offset` stands, line ends not counted, and its column."""
        data, at = self._data, self._start
        line_end = data.find(b"\n", at, self._payload_end)
        while line_end >= 0:
            length = line_end - at - (1 if data[line_end - 1] == 0x0D else 0)
            if offset < length:
                break
            offset -= length
            at = line_end + 1
            line_end = data.find(b"\n", at, self._payload_end)
        return at + offset, offset
