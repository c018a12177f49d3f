"""What goes over the wire after DATA comes out on the other side as what was put in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.upstream.content import batches, on_the_wire

LINES = st.lists(st.sampled_from([b"", b".", b"..", b".a", b"a", b"a.b", b". ", b"...."]), max_size=8)


def read(wire: bytes) -> tuple[bytes, bytes]:
    """A server's view (RFC 5321 4.5.2): the message up to the line with the single dot, and what follows."""
    lines = []
    rest = b"\r\n" + wire
    _, _, rest = rest.partition(b"\r\n")
    while True:
        line, end, rest = rest.partition(b"\r\n")
        assert end, "no end of data"
        if line == b".":
            return b"".join(lines), rest
        lines.append((line[1:] if line.startswith(b".") else line) + b"\r\n")


@given(lines=LINES, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_every_message_arrives_as_it_was_however_it_is_cut_into_pieces(
    lines: list[bytes], cuts: list[int]
) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    borders = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    pieces = [message[start:end] for start, end in pairwise(borders)]
    assert read(b"".join(on_the_wire(pieces))) == (message, b"")


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\n.\n", b".\r\n", b"\r\n", b"\r", b"."])))
def test_nothing_in_a_message_ends_it_early(pieces: list[bytes]) -> None:
    wire = b"".join(on_the_wire(pieces))
    body = wire.removesuffix(b".\r\n")
    for line_end in (b"\r\n", b"\n"):  # a server that takes a bare LF for one must not be fooled either
        assert not any(line in (b".", b".\r") for line in body.split(line_end))
    assert body == b"" or body.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("pieces", "wire"),
    [
        ((), b".\r\n"),
        ((b"",), b".\r\n"),
        ((b"a\r\n",), b"a\r\n.\r\n"),
        ((b"a",), b"a\r\n.\r\n"),
        ((b".",), b"..\r\n.\r\n"),
        ((b"a\r\n", b".b\r\n"), b"a\r\n..b\r\n.\r\n"),
        ((b"a\r", b"\n.b\r\n"), b"a\r\n..b\r\n.\r\n"),
        ((b"a", b".b\r\n"), b"a.b\r\n.\r\n"),
        ((b"a\r", b"\n"), b"a\r\n.\r\n"),
    ],
)
def test_dots_and_ends(pieces: tuple[bytes, ...], wire: bytes) -> None:
    assert b"".join(on_the_wire(pieces)) == wire


def test_a_piece_without_leading_dots_is_not_copied() -> None:
    piece = b"a line that has no dot in front\r\n" * 1000
    assert any(part is piece for part in on_the_wire([b"Received: x\r\n", piece]))


@given(st.lists(st.binary(max_size=40), max_size=10), st.integers(1, 16))
def test_batches_hold_the_same_octets_and_no_more_than_they_should(pieces: list[bytes], size: int) -> None:
    made = list(batches(pieces, size))
    assert b"".join(b"".join(batch) for batch in made) == b"".join(pieces)
    assert all(sum(map(len, batch)) <= size for batch in made)
