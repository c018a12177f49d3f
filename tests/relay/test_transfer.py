"""Splicing into contents as they are transferred."""

from __future__ import annotations

import quopri

from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.transfer import Chunk, Slot
from relay.transfer.quoted import Quoted
from relay.transfer.raw import Raw

LINES = st.lists(st.sampled_from(["", "x", "y" * 300, "z" * 900, "w" * 1100]), min_size=1, max_size=5)
VALUES = st.one_of(st.none(), st.sampled_from([b"", b"v", b"v" * 90, b"v" * 700, b"v" * 1000]))


@st.composite
def spliced(draw: st.DrawFn) -> tuple[bytes, list[Slot], list[bytes | None]]:
    text = draw(st.sampled_from(["\r\n", "\n"])).join(draw(LINES)).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=10)))
    slots = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        optional, breakable = draw(st.booleans()), draw(st.booleans())
        fallback, first = draw(st.sampled_from([None, b""])), draw(st.booleans())
        slots.append(Slot(start, end, optional, fallback, breakable, first))
    return text, slots, [draw(VALUES) for _ in slots]


@given(spliced())
@settings(max_examples=500, deadline=None)
@example((b"x" * 990, [Slot(0, 1), Slot(5, 9)], [b"yy", None]))
def test_what_fits_is_put_in_as_it_is_slot_by_slot(
    case: tuple[bytes, list[Slot], list[bytes | None]],
) -> None:
    text, slots, values = case
    raw = Raw(b"head\r\n" + text + b"\r\nbehind", 6, 6 + len(text))
    quick: list[Chunk] = []
    closely: list[Chunk] = []
    frame = raw._make_frame(slots)
    assert raw.write(slots, values, quick) == raw._write_closely(frame, values, closely)
    assert b"".join(quick) == b"".join(closely)


ENCODED = st.lists(
    st.sampled_from(["", "a" * 20, "b" * 40, "c" * 75, "d" * 76, "=20", "=\r\n", "\r\n", "e=3D" * 5]),
    min_size=1,
    max_size=8,
).map("".join)


FULL, SHOUTED = b"a" * 76, b"=41" * 25 + b"="


@st.composite
def quoted(draw: st.DrawFn) -> tuple[Quoted, bytes, list[Slot], list[bytes | None]]:
    encoded = draw(ENCODED).encode()
    content = opened(encoded)
    cuts = sorted(draw(st.lists(st.integers(0, content.size), max_size=10)))
    cuts = [cut for cut in cuts if content.decoded[cut - 1 : cut + 1] != b"\r\n"]
    slots = [Slot(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    return content, encoded, slots, [draw(VALUES) for _ in slots]


def opened(encoded: bytes) -> Quoted:
    content = Quoted.open(b"head\r\n" + encoded + b"\r\n--", 6, 6 + len(encoded))
    assert content is not None
    return content


@given(quoted())
@settings(max_examples=300, deadline=None)
@example((opened(SHOUTED), SHOUTED, [Slot(20, 25)], [b"v" * 90]))
@example((opened(FULL), FULL, [Slot(40, 76), Slot(76, 76)], [b"v" * 36, b"v" * 9]))
def test_no_quoted_line_grows_longer_than_the_longest_or_76(
    case: tuple[Quoted, bytes, list[Slot], list[bytes | None]],
) -> None:
    content, encoded, slots, values = case
    out: list[Chunk] = []
    content.write(slots, values, out)
    written = b"".join(out)
    wanted, at = b"", 0
    for slot, value in zip(slots, values, strict=True):
        wanted += content.decoded[at : slot.start]
        wanted += content.decoded[slot.start : slot.end] if value is None else value
        at = slot.end
    assert quopri.decodestring(written) == wanted + content.decoded[at:]
    assert longest(written) <= max(76, longest(encoded))


def longest(octets: bytes) -> int:
    return max(map(len, octets.split(b"\r\n")))
