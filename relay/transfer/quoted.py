"""Quoted-printable (RFC 2045 6.7), spliced at the encoded level."""

from __future__ import annotations

import binascii
import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from relay.transfer.slots import QUOTED_LINE, Chunk, Slot

SOFT_BREAK = b"=\r\n"
_CRLF = b"\r\n"
_MISUSED = re.compile(rb"=(?!\r\n|[0-9A-Fa-f][0-9A-Fa-f]|\Z)")
"""A soft break may be the last thing, its line end the delimiter's."""


class Quoted:
    """Quoted-printable (RFC 2045 6.7): only soft breaks around what is new, no escape is cut. A CRLF in what is new
    becomes a line end."""

    __slots__ = ("_data", "_end", "_places", "_start", "decoded", "size")

    def __init__(self, data: bytes, start: int, end: int, decoded: bytes) -> None:
        self._data, self._start, self._end = data, start, end
        self.decoded, self.size = decoded, len(decoded)
        self._places: tuple[Sequence[Slot], list[_Place]] | None = None

    @classmethod
    def open(cls, data: bytes, start: int, end: int) -> Quoted | None:
        """None where some `=` begins neither an escape nor a soft break."""
        body = data[start:end]
        return None if _MISUSED.search(body) else cls(data, start, end, binascii.a2b_qp(body))

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        if self._places is None or self._places[0] is not slots:
            self._places = slots, self._find_places(slots)
        new = [value for value in values if value is not None]
        places = [place for place, value in zip(self._places[1], values, strict=True) if value is not None]
        view = memoryview(self._data)
        at, column = self._start, 0
        for index, place in enumerate(places):
            if place.start < at:
                place = place._replace(start=at, lead=b"")
            column = place.start - place.line if place.line > at else column + place.start - at
            out.append(view[at : place.start])
            following = places[index + 1].start if index + 1 < len(places) else self._end
            # before another change on this line a soft break must still fit
            rest = (following + 1 if following <= place.line_end else place.line_end) - place.end
            value, lead = new[index], place.lead
            if _CRLF in value:
                *lines, value = value.split(_CRLF)
                blank_before = (lead or self._data[place.start - 1 : place.start]) in (b" ", b"\t")
                _write_quoted_lines(lead, lines, column, place.limit, blank_before, out)
                lead, column = b"", 0
            column = _write_quoted(lead + quote(value), column, rest, place.limit, out)
            at = place.end
        out.append(view[at : self._end])
        return []

    def _find_places(self, slots: Sequence[Slot]) -> list[_Place]:
        """Once for all renderings: slots ascend, so that one walk finds them all."""
        data = self._data
        places: list[_Place] = []
        # what is new goes before a soft break that is the last thing
        soft = data.endswith(b"=", self._start, self._end)
        walk = _Walk(data, self._start, self._end - soft)
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


def _decoded_length(data: bytes, start: int, end: int) -> int:
    """An escape is three octets for one, a soft break three octets for none."""
    return end - start - 2 * data.count(b"=", start, end) - data.count(SOFT_BREAK, start, end)


class _Walk:
    """Encoded positions of ascending decoded offsets, each line looked at once."""

    STEP = 1000

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data, self._end = data, end
        self._at, self._offset = start, 0
        self._encoded, self._decoded = [start], [0]
        while self._encoded[-1] < end:
            line_end = data.find(b"\r\n", self._encoded[-1] + self.STEP, end)
            stop = end if line_end < 0 else line_end + 2
            self._decoded.append(self._decoded[-1] + _decoded_length(data, self._encoded[-1], stop))
            self._encoded.append(stop)

    def to(self, offset: int) -> int:
        """Behind the encoded form of the octet before `offset`."""
        index = bisect_right(self._decoded, offset) - 1
        if self._decoded[index] > self._offset:
            self._at, self._offset = self._encoded[index], self._decoded[index]
        octets, at = offset - self._offset, self._at
        while octets > 0:
            escape = self._data.find(b"=", at, self._end)
            if escape < 0 or escape - at >= octets:
                at += octets
                break
            octets -= escape - at
            at = escape + 3
            if self._data[escape + 1] != 0x0D:
                octets -= 1
        self._at, self._offset = at, offset
        return at


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


def _write_quoted_lines(
    lead: bytes, lines: Sequence[bytes], column: int, limit: int, blank_before: bool, out: list[Chunk]
) -> None:
    """Put in lines with their ends. A blank at a line's end would not be part of the text: a soft break keeps it."""
    for number, line in enumerate(lines):
        if number:
            lead, column, limit = b"", 0, QUOTED_LINE
        _write_quoted(lead + quote(line), column, 0, limit, out)
        if blank_before and not number and not line:
            out.append(SOFT_BREAK)
        out.append(_CRLF)


def _write_quoted(new: bytes, column: int, rest: int, limit: int, out: list[Chunk]) -> int:
    """Put `new` at `column`, before `rest` octets of the same line. Gives the column behind it."""
    if column + len(new) + rest <= limit:
        out.append(new)
        return column + len(new)
    if column:
        out.append(SOFT_BREAK)
    at, room = 0, QUOTED_LINE - 1
    while len(new) - at > room:
        end = at + room
        escape = new.rfind(b"=", end - 2, end)
        if escape >= 0:
            end = escape
        out += (new[at:end], SOFT_BREAK)
        at = end
    out.append(new[at:])
    column = len(new) - at
    if column + rest > QUOTED_LINE and column:
        out.append(SOFT_BREAK)
        return 0
    return column
