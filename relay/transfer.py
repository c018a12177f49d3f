"""Content-Transfer-Encoding at the encoded level: decode a part, and put new octets into it so that every
encoded octet outside stays where it was.

Knows RFC 2045 section 6 and the line limits of RFC 5321 4.5.3.1.6; knows nothing of what is put in. Content
that does not follow its label is refused, never repaired. Pure.
"""

from __future__ import annotations

import binascii
import re
from bisect import bisect_right
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple, Protocol

from relay.reasons import Reason

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5321 4.5.3.1.6)."""
QUOTED_LINE = 76
"""Octets of a quoted-printable or base64 line (RFC 2045 6.7, 6.8)."""
SOFT_BREAK = b"=\r\n"

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


class Content(Protocol):
    """A part's content under its transfer encoding."""

    @property
    def decoded(self) -> bytes: ...

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        """Append the encoded content to `out`, each slot's octets replaced by its value (None: as it was).
        Slots ascend and do not overlap. Gives the indexes of slots that had a value and were left alone."""
        ...


def open_content(data: bytes, start: int, end: int, encoding: str) -> Content | Reason:
    """The content `data[start:end]`, or why it cannot be worked on."""
    if encoding in ("7bit", "8bit", "binary"):
        return Raw(data, start, end)
    if encoding == "quoted-printable":
        return Quoted.open(data, start, end) or Reason.BROKEN_ENCODING
    if encoding == "base64":
        return Base64.open(data, start, end) or Reason.BROKEN_ENCODING
    return Reason.UNKNOWN_ENCODING


class Raw:
    """7bit, 8bit, binary: the octets are the content."""

    __slots__ = ("_end", "_start", "_view", "decoded")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._view = memoryview(data)
        self._start, self._end = start, end
        self.decoded = data[start:end]

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        view, base, text = self._view, self._start, self.decoded
        left: list[int] = []
        at = 0
        line_start = line_end = -1
        grown = 0
        for index, (slot, value) in enumerate(zip(slots, values, strict=True)):
            if value is None:
                continue
            if slot.start > line_end or line_end < 0:
                line_start = max(line_end, text.rfind(b"\n", max(0, line_end), slot.start) + 1)
                line_end = _line_end(text, slot.end)
                grown = 0
            elif slot.end > line_end:
                line_end = _line_end(text, slot.end)
            growth = len(value) - (slot.end - slot.start)
            length = line_end - line_start + grown + growth
            if length > MAX_LINE and growth > 0:
                if slot.breakable and line_end - slot.start + len(value) <= MAX_LINE:
                    value = b"\r\n" + value
                    line_start, grown = slot.start, 0
                elif slot.optional:
                    left.append(index)
                    if slot.fallback is None:
                        if b"\n" in text[slot.start : slot.end]:
                            line_end = -1  # its line ends stay too
                        continue
                    value = slot.fallback
                    growth = len(value) - (slot.end - slot.start)
            grown += growth
            out.append(view[base + at : base + slot.start])
            out.append(value)
            at = slot.end
        out.append(view[base + at : self._end])
        return left


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"\n", at)
    if end < 0:
        return len(text)
    return end - 1 if end > at and text[end - 1] == 0x0D else end


class Quoted:
    """Quoted-printable (RFC 2045 6.7): only soft breaks around what is new, no escape is cut."""

    __slots__ = ("_data", "_end", "_places", "_start", "decoded")

    def __init__(self, data: bytes, start: int, end: int, decoded: bytes) -> None:
        self._data, self._start, self._end = data, start, end
        self.decoded = decoded
        self._places: dict[Slot, _Place] = {}

    @classmethod
    def open(cls, data: bytes, start: int, end: int) -> Quoted | None:
        """None where some `=` begins neither an escape nor a soft break."""
        body = data[start:end]
        soft = body.count(SOFT_BREAK)
        if body.count(b"=\n") or body.count(b"=\r") != soft:
            return None
        decoded = binascii.a2b_qp(body)
        expected = _decoded_length(body, 0, len(body)) + body.endswith(b"=")
        return cls(data, start, end, decoded) if len(decoded) == expected else None

    def write(self, slots: Sequence[Slot], values: Sequence[bytes | None], out: list[Chunk]) -> list[int]:
        if slots and slots[0] not in self._places:
            self._find_places(slots)
        new = [value for value in values if value is not None]
        places = [self._places[slot] for slot, value in zip(slots, values, strict=True) if value is not None]
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
            column = _write_quoted(place.lead + quote(new[index]), column, rest, place.limit, out)
            at = place.end
        out.append(view[at : self._end])
        return []

    def _find_places(self, slots: Sequence[Slot]) -> None:
        """Once for all renderings: slots ascend, so that one walk finds them all."""
        data = self._data
        # a soft break may be the last thing, its line end the delimiter's: what is new goes before it
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
            place = _Place(start - len(lead), end, line, last_end, max(QUOTED_LINE, limit), lead)
            self._places[slot] = place
            if last_end != line_end:
                line = max(line, data.rfind(b"\r\n", start, end) + 2)
                line_end = last_end

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
    )

    def __init__(self, data: bytes, start: int, end: int, payload_end: int, decoded: bytes) -> None:
        self._data, self._start, self._end = data, start, end
        self._payload_end = payload_end
        self.decoded = decoded
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
