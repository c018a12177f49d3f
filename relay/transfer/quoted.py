"""Quoted-printable (RFC 2045 6.7), spliced at the encoded level."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple

from relay.transfer.slots import QUOTED_LINE, Chunk, Layout, Layouts, Slot

SOFT_BREAK = b"=\r\n"
_CRLF = b"\r\n"
_MISUSED = re.compile(rb"=(?!\r\n|[0-9A-Fa-f][0-9A-Fa-f]|\Z)")
"""A soft break may be the last thing, its line end the delimiter's."""


class Quoted:
    """Quoted-printable (RFC 2045 6.7): only soft breaks around what is new, no escape is cut."""

    __slots__ = ("_data", "_end", "_layouts", "_odd", "_places", "_slots", "_start", "decoded", "size")

    def __init__(self, data: bytes, start: int, end: int, decoded: bytes) -> None:
        self._data, self._start, self._end = data, start, end
        self.decoded, self.size = decoded, len(decoded)
        self._slots: Sequence[Slot] | None = None
        self._odd: list[int] = []
        """Indexes of the slots whose values may need quoting."""
        self._places: tuple[Sequence[Slot], list[_Place]] | None = None
        self._layouts: Layouts[_Shapes, Layout] = Layouts(self.size)

    @classmethod
    def open(cls, data: bytes, start: int, end: int) -> Quoted | None:
        """None where some `=` begins neither an escape nor a soft break."""
        body = data[start:end]
        return None if _MISUSED.search(body) else cls(data, start, end, binascii.a2b_qp(body))

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        if self._slots is not slots:
            self._slots, self._odd = slots, [index for index, slot in enumerate(slots) if not slot.plain]
        quoted = [*values]
        shapes: list[int | bytes | None] = [None if value is None else len(value) for value in values]
        for index in self._odd:
            value = quoted[index]
            if value is not None:
                quoted[index] = value = quote(value)
                shapes[index] = value.translate(_ESCAPES)
        layout = self._layouts.get(slots, tuple(shapes), self._lay_out)
        out += layout.filled(b"".join([value for value in quoted if value is not None]))
        return []

    def insert_lines(self, offset: int, octets: bytes, out: list[Chunk]) -> None:
        """As `write` with one empty slot, except that a CRLF in what is put in becomes a line end."""
        (place,) = self._find_places([Slot(offset, offset)])
        view = memoryview(self._data)
        out.append(view[self._start : place.start])
        lead, column, limit = place.lead, place.start - place.line, place.limit
        *lines, last = (quote(line) for line in octets.split(_CRLF))
        for line in lines:
            _put(lead, line, column, 0, limit, out)
            if not line and (lead or self._data[place.start - 1 : place.start]) in (b" ", b"\t") and column:
                out.append(SOFT_BREAK)  # blanks at a line's end are not part of the text
            out.append(_CRLF)
            lead, column, limit = b"", 0, QUOTED_LINE
        _put(lead, last, column, place.line_end - place.end, place.limit, out)
        out.append(view[place.end : self._end])

    def _lay_out(self, slots: Sequence[Slot], shapes: _Shapes) -> Layout:
        if self._places is None or self._places[0] is not slots:
            self._places = slots, self._find_places(slots)
        new = [b"x" * shape if isinstance(shape, int) else shape for shape in shapes if shape is not None]
        places = [place for place, shape in zip(self._places[1], shapes, strict=True) if shape is not None]
        view, layout = memoryview(self._data), Layout()
        parts = layout.parts
        at, column, done = self._start, 0, 0
        for index, place in enumerate(places):
            if place.start < at:
                place = place._replace(start=at, lead=b"")
            column = place.start - place.line if place.line > at else column + place.start - at
            parts.append(view[at : place.start])
            following = max(places[index + 1].start, place.end) if index + 1 < len(places) else self._end
            # before another change on this line a soft break must still fit
            rest = (following + 1 if following <= place.line_end else place.line_end) - place.end
            column = _write(place.lead, new[index], done, column, rest, place.limit, parts)
            done += len(new[index])
            at = place.end
        parts.append(view[at : self._end])
        return layout

    def _find_places(self, slots: Sequence[Slot]) -> list[_Place]:
        """Once for all renderings: slots ascend, so that one walk finds them all."""
        data = self._data
        places: list[_Place] = []
        # what is new goes before a soft break that is the last thing
        soft = data.endswith(b"=", self._start, self._end)
        walk = _Walk(data, self._start, self.size, self._end - soft)
        line, line_end = self._start, -1
        for slot in slots:
            start, end = walk.to(slot.start), walk.to(slot.end)
            if start > line_end:
                line = max(line, data.rfind(b"\r\n", max(self._start, line_end), start) + 2)
                line_end = self._line_end(start)
            first_length = line_end - line
            limit, last_end = first_length, line_end
            if end > line_end:
                last_end = self._line_end(end)
                limit = last_end - data.rfind(b"\r\n", start, end) - 2
            lead = b""
            if start == end and start - line >= max(QUOTED_LINE, first_length):
                # no room for a soft break behind a full line: its last character moves down with what is new
                size = 3 if data[start - 3 : start - 2] == b"=" else 1
                lead = data[start - size : start]
            places.append(_Place(start - len(lead), end, line, last_end, max(QUOTED_LINE, limit), lead))
            if last_end != line_end:
                line = max(line, data.rfind(b"\r\n", start, end) + 2)
                line_end = last_end
        return places

    def _line_end(self, at: int) -> int:
        end = self._data.find(b"\r\n", at, self._end)
        return self._end if end < 0 else end


class _Walk:
    """Encoded positions of ascending decoded offsets, each octet looked at once."""

    def __init__(self, data: bytes, start: int, size: int, end: int) -> None:
        """`size` octets stand between the two places."""
        self._data, self._at, self._offset = data, start, 0
        self._size, self._end = size, end

    def to(self, offset: int) -> int:
        """Behind the encoded form of the octet before `offset`; of the last one, behind the soft breaks that follow."""
        data, at = self._data, self._at
        end = at + offset - self._offset
        while at < end:
            # an escape is three octets for one, a soft break three for none
            begun, at = at, end
            escapes = data.count(b"=", begun, at)
            if escapes:
                end += 2 * escapes + data.count(b"=\r", begun, at + 1)
        self._at, self._offset = self._end if offset == self._size else at, offset
        return self._at


class _Place(NamedTuple):
    start: int
    end: int
    line: int
    """Where the line begins that holds `start`."""
    line_end: int
    """Where the line ends that holds `end`."""
    limit: int
    lead: bytes


_TO_QUOTE = re.compile(rb"[^!-<>-~ ]| \Z")
_NEVER_QUOTED = bytes(octet for octet in range(0x21, 0x7F) if octet != 0x3D)


def quote(octets: bytes) -> bytes:
    """Octets in quoted-printable on one line, without soft breaks; blanks inside are plain."""
    if not octets.translate(None, _NEVER_QUOTED):
        return octets
    return _TO_QUOTE.sub(lambda match: b"=%02X" % match[0][0], octets)


def _put(lead: bytes, line: bytes, column: int, rest: int, limit: int, out: list[Chunk]) -> None:
    """A quoted line at `column`, before `rest` octets, with the soft breaks that it needs."""
    parts: list[Chunk | slice] = []
    _write(lead, line, 0, column, rest, limit, parts)
    out += [line[part] if isinstance(part, slice) else part for part in parts]


_Shapes = tuple[int | bytes | None, ...]
"""All that the lines of the values depend on: the length, or where there may be escapes, the value with `x` for
everything between them; None for no value."""
_ESCAPES = bytes(octet if octet == 0x3D else 0x78 for octet in range(256))


def _write(
    lead: bytes, new: bytes, offset: int, column: int, rest: int, limit: int, parts: list[Chunk | slice]
) -> int:
    """Put `lead` and the gap for `new`, whose octets begin at `offset` of those for all gaps, at `column`, before
    `rest` octets of the same line. Gives the column behind it."""
    new = lead + new
    offset -= len(lead)
    if column + len(new) + rest <= limit:
        parts += (lead, slice(offset + len(lead), offset + len(new)))
        return column + len(new)
    if column:
        parts.append(SOFT_BREAK)
    parts.append(lead)
    at, start, room = 0, len(lead), QUOTED_LINE - 1
    while len(new) - at > room:
        at += room
        escape = new.rfind(b"=", at - 2, at)
        if escape >= 0:
            at = escape
        parts += (slice(offset + start, offset + at), SOFT_BREAK)
        start = at
    parts.append(slice(offset + start, offset + len(new)))
    column = len(new) - at
    if column + rest > QUOTED_LINE and column:
        parts.append(SOFT_BREAK)
        return 0
    return column
