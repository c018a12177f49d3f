"""Splicing into contents as they are transferred."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.transfer import Chunk, Slot
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
