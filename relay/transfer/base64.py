"""Base64 (RFC 2045 6.8), encoded anew from the first group that changes."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from struct import Struct

from relay.transfer.slots import MAX_LINE, QUOTED_LINE, Chunk, Slot


class Base64:
    """Base64 (RFC 2045 6.8): encoded anew from the first group that changes, at the line length found."""

    __slots__ = (
        "_data",
        "_end",
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
        self._located: dict[int, tuple[int, int]] = {}
        self._length = length if 4 <= length <= MAX_LINE else QUOTED_LINE
        self._line = Struct(f"{self._length}s")

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
        view = memoryview(self._data)
        first = next((slot for slot, value in zip(slots, values, strict=True) if value is not None), None)
        if first is None:
            out.append(view[self._start : self._end])
            return []
        group = first.start // 3
        if group not in self._located:
            self._located[group] = self._locate(4 * group)
        cut, column = self._located[group]
        text = memoryview(self.decoded)
        pieces: list[Chunk] = []
        at = 3 * group
        for slot, value in zip(slots, values, strict=True):
            if value is not None:
                pieces += (text[at : slot.start], value)
                at = slot.end
        pieces.append(text[at:])
        encoded = binascii.b2a_base64(b"".join(pieces), newline=False)
        if not encoded:
            # nothing follows on the next line: the line end before it goes
            cut = self._start + len(self._data[self._start : cut].rstrip(b"\r\n"))
        out.append(view[self._start : cut])
        self._write_lines(encoded, column, out)
        out.append(view[self._payload_end : self._end])
        return []

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

    def _write_lines(self, encoded: bytes, column: int, out: list[Chunk]) -> None:
        room = self._length - column
        if room <= 0 and encoded:
            out.append(self._newline)
            room = self._length
        remainder = max(0, len(encoded) - room) % self._length
        tail = len(encoded) - remainder
        lines = [encoded[:room]]
        lines += [line for (line,) in self._line.iter_unpack(memoryview(encoded)[room:tail])]
        if remainder:
            lines.append(encoded[tail:])
        out.append(self._newline.join(lines))
