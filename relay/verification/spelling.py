"""A changed part under its transfer encoding: outside the changes each octet is spelt as it was, and no line has grown
too long (RFC 2045 6.7, 6.8; RFC 5321 4.5.3.1.6). Pure.
"""

from __future__ import annotations

import binascii
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from relay.verification.dissection import Leaf
from relay.verification.unwrapping import Change

LONGEST_LINE = 998
QUOTED_LINE = 76


def spelling(leaf: Leaf, raw: bytes, raw_copy: bytes, changes: Sequence[Change]) -> tuple[str, int]:
    """(what is wrong, or nothing; octets of `raw` that are not in the copy)."""
    if leaf.encoding == "quoted-printable":
        return _quoted(leaf, raw, raw_copy, changes)
    if leaf.encoding == "base64":
        return _base64(raw, raw_copy)
    return _lines(raw, raw_copy, LONGEST_LINE), sum(len(change.old) for change in changes)


def _lines(raw: bytes, raw_copy: bytes, limit: int) -> str:
    longest = max(limit, *map(len, raw.split(b"\r\n")))
    if max(map(len, raw_copy.split(b"\r\n"))) > longest:
        return f"a line is longer than {longest} octets"
    return ""


_SOFT = re.compile(rb"=[ \t]*\r?\n|=\Z")
_UNIT = re.compile(rb"=[0-9A-Fa-f]{2}|[\s\S]")


class _Units:
    """Quoted-printable octet by octet as each is spelt, and where its lines break."""

    def __init__(self, raw: bytes) -> None:
        self.spelt: list[bytes] = []
        self.soft: list[int] = []
        self.hard: list[int] = []
        at = 0
        for match in _SOFT.finditer(raw):
            self._add(raw[at : match.start()])
            self.soft.append(len(self.spelt))
            at = match.end()
        self._add(raw[at:])

    def _add(self, piece: bytes) -> None:
        for unit in _UNIT.findall(piece):
            self.spelt.append(unit)
            if unit == b"\n":
                self.hard.append(len(self.spelt))


def _quoted(leaf: Leaf, raw: bytes, raw_copy: bytes, changes: Sequence[Change]) -> tuple[str, int]:
    """Between changes each octet is spelt as before, and no soft break has moved but on lines that changed."""
    old, new = _Units(raw), _Units(raw_copy)
    places = list(_octets(leaf, raw, raw_copy, changes))
    gone, at, at_copy = 0, 0, 0
    for start, end, start_copy, end_copy in [*places, (len(old.spelt), 0, len(new.spelt), 0)]:
        if old.spelt[at:start] != new.spelt[at_copy:start_copy]:
            return "quoted-printable outside the changes is spelt anew", gone
        if not _same_breaks(old, new, at, start, at_copy - at):
            return "a soft line break moved on a line that did not change", gone
        gone += sum(map(len, old.spelt[start:end]))
        at, at_copy = end, end_copy
    return _lines(raw, raw_copy, QUOTED_LINE), gone


def _octets(
    leaf: Leaf, raw: bytes, raw_copy: bytes, changes: Sequence[Change]
) -> Iterator[tuple[int, int, int, int]]:
    """The changes' ranges in octets, in the message and in the copy."""
    codec, mark = leaf.codec(leaf.decoded(raw))
    if codec == "latin-1":
        for change in changes:
            start, start_copy = change.start, change.copied
            yield start, start + len(change.old), start_copy, start_copy + len(change.new)
        return
    text, text_copy = leaf.text(raw), leaf.text(raw_copy)
    for change in changes:
        start = mark + len(text[: change.start].encode(codec))
        start_copy = mark + len(text_copy[: change.copied].encode(codec))
        old, new = len(change.old.encode(codec)), len(change.new.encode(codec))
        yield start, start + old, start_copy, start_copy + new


def _same_breaks(old: _Units, new: _Units, start: int, end: int, shift: int) -> bool:
    """The soft breaks between two changes, those on the changes' own lines aside."""
    breaks = sorted((*_between(old.soft, start, end), *_between(old.hard, start, end)))
    if len(breaks) < 2:
        return True
    first, last = breaks[0], breaks[-1]
    kept = [at + shift for at in old.soft if first < at < last]
    return kept == [at for at in new.soft if first + shift < at < last + shift]


def _between(places: list[int], start: int, end: int) -> list[int]:
    return places[bisect_left(places, start) : bisect_left(places, end + 1)]


def _base64(raw: bytes, raw_copy: bytes) -> tuple[str, int]:
    """The same up to the first group that changes, then lines of the same length."""
    lines, lines_copy = raw.split(), raw_copy.split()
    gone = len(raw) - common(raw, raw_copy)
    longest = max([len(lines[0]) if len(lines) > 1 else QUOTED_LINE, *map(len, lines)])
    joined = b"".join(lines_copy)
    if binascii.b2a_base64(binascii.a2b_base64(joined), newline=False) != joined:
        return "the base64 text is not spelt as encoders do", gone
    if max(map(len, lines_copy)) > longest:
        return f"a base64 line is longer than {longest} octets", gone
    if len(lines) > 1 and {len(line) for line in lines_copy[:-1]} - {len(line) for line in lines}:
        return "base64 lines became uneven", gone
    bare = b"\n" in raw.rstrip() and b"\r\n" not in raw
    if (b"\n" if bare else b"\r\n").join(lines_copy) + raw[len(raw.rstrip()) :] != raw_copy:
        return "between or behind the base64 lines is something else", gone
    return "", gone


def common(one: bytes, other: bytes) -> int:
    """Octets that both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def first_difference(old: bytes, new: bytes) -> str:
    at = common(old, new)
    return f"{old[max(0, at - 10) : at + 40]!r} became {new[max(0, at - 10) : at + 40]!r}"
