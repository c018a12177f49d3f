"""What follows DATA: found in any blocks, freed of dots exactly, ended by <CRLF>.<CRLF> and nothing else."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import replies
from relay.intake.content import Content
from relay.replies import Reply

END = b".\r\n"
Mode = Literal["refuse", "normalize"]

# Anything a sender may have put around a dot in the hope that somebody takes it for the end.
SMUGGLED = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n\n.\r\n",
]
DISGUISED = [b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n\0\0.\0\r\n"]


def read(
    *blocks: bytes, limit: int = 10_000, bare_newlines: Mode = "refuse"
) -> tuple[bytes, Reply | None, bytes | None]:
    """Message, refusal, and what came behind the end (None: no end)."""
    content = Content(limit=limit, header_limit=10**9, bare_newlines=bare_newlines)
    for number, block in enumerate(blocks):
        rest = content.feed(block)
        if rest is not None:
            return content.message, content.refusal, rest + b"".join(blocks[number + 1 :])
    return content.message, content.refusal, None


def stuffed(message: bytes) -> bytes:
    """As a correct client sends it (RFC 5321 4.5.2)."""
    lines = message.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines) + END


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"x" * 5000 + b"\r\n.\r\n", b"x" * 5000 + b"\r\n"),
        (b"\xff\x00\x80\r\n.\r\n", b"\xff\x00\x80\r\n"),
    ],
)
def test_the_message_is_exact(sent: bytes, message: bytes) -> None:
    assert read(sent + b"NEXT") == (message, None, b"NEXT")


lines = st.lists(st.binary(max_size=12).map(lambda b: b.translate(None, b"\r\n\0")), min_size=1, max_size=8)


@given(lines)
def test_dots_make_a_round_trip(parts: list[bytes]) -> None:
    message = b"\r\n".join(parts) + b"\r\n"
    assert read(stuffed(message)) == (message, None, b"")


@pytest.mark.parametrize("mode", ["refuse", "normalize"])
@pytest.mark.parametrize(
    "sent", [b".a\r\n..\r\n.\r\nNEXT\r\n.\r\n", b"a\n.\r\n\r\n.\r\nNEXT", b".\r\nNEXT", b"a\r\r\n.\r\nNEXT"]
)
def test_blocks_may_be_cut_at_every_octet(sent: bytes, mode: Mode) -> None:
    whole = read(sent, bare_newlines=mode)
    for cut in range(len(sent) + 1):
        assert read(sent[:cut], sent[cut:], bare_newlines=mode) == whole
    assert read(*(sent[n : n + 1] for n in range(len(sent))), bare_newlines=mode) == whole


pieces = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"\0"]), max_size=25
)


@given(pieces, st.sampled_from(["refuse", "normalize"]), st.integers(1, 5))
def test_only_the_true_end_ends_and_nothing_bare_gets_through(
    parts: list[bytes], mode: Mode, size: int
) -> None:
    sent = b"".join(parts)
    blocks = [sent[n : n + size] for n in range(0, len(sent), size)]
    message, refusal, rest = read(*blocks, bare_newlines=mode)
    before, end, behind = (b"\r\n" + sent).partition(b"\r\n.\r\n")
    assert (rest is not None) == bool(end)
    if rest is not None:
        assert rest == behind
    assert b"\r" not in message.replace(b"\r\n", b"")
    assert b"\n" not in message.replace(b"\r\n", b"")
    clean = before.replace(b"\r\n", b"").count(b"\r") + before.replace(b"\r\n", b"").count(b"\n") == 0
    if end and clean and b"\0" not in sent:
        assert refusal is None
        assert stuffed(message) == stuffed((before + b"\r\n").replace(b"\r\n.", b"\r\n")[2:])
    if end and not clean and mode == "refuse":
        assert refusal is not None
        assert message == b""


@pytest.mark.parametrize("mode", ["refuse", "normalize"])
@pytest.mark.parametrize("smuggled", SMUGGLED + DISGUISED)
def test_a_smuggled_end_never_ends(smuggled: bytes, mode: Mode) -> None:
    inside = b"Subject: x\r\n\r\nhello" + smuggled + b"MAIL FROM:<forged@example.org>\r\n"
    assert read(inside, bare_newlines=mode)[2] is None
    _, _, rest = read(inside + END + b"QUIT\r\n", bare_newlines=mode)
    assert rest == b"QUIT\r\n"


@pytest.mark.parametrize("smuggled", SMUGGLED)
def test_a_bare_newline_is_refused_or_normalized(smuggled: bytes) -> None:
    sent = b"hello" + smuggled + b"next\r\n" + END
    assert read(sent)[:2] == (b"", replies.BARE_NEWLINE)
    message, refusal, _ = read(sent, bare_newlines="normalize")
    assert refusal is None
    assert message.startswith(b"hello\r\n")
    assert message.endswith(b"next\r\n")
    # Sent on by any correct client, it is still one message.
    assert read(stuffed(message))[0] == message


@pytest.mark.parametrize("disguised", DISGUISED)
@pytest.mark.parametrize("mode", ["refuse", "normalize"])
def test_a_dot_among_nul_octets_is_refused_in_every_mode(disguised: bytes, mode: Mode) -> None:
    assert read(b"a" + disguised + b"b\r\n" + END, bare_newlines=mode)[:2] == (b"", replies.DISGUISED_END)


@pytest.mark.parametrize(
    ("bare", "normal"),
    [
        (b"a\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n", b"a\r\nb\r\n"),
        (b"a\r\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"\n.b\r\n", b"\r\n.b\r\n"),
        (b"\n.\n\r\n", b"\r\n.\r\n\r\n"),
    ],
)
def test_normalized_newlines_keep_the_text(bare: bytes, normal: bytes) -> None:
    assert read(bare + END, bare_newlines="normalize") == (normal, None, b"")


@pytest.mark.parametrize("filler", [b"x" * 98 + b"\r\n", b"..\r\n" * 20_000, b".." + b"x" * 97 + b"\r\n"])
def test_the_limit_counts_the_message_without_stuffed_dots(filler: bytes) -> None:
    size = len(read(filler + END, limit=1_000_000)[0])
    assert read(filler, END, limit=size)[1] is None
    assert read(filler, END, limit=size - 1) == (b"", replies.MESSAGE_TOO_BIG, b"")


def test_a_message_over_the_limit_is_read_to_its_end_in_bounded_memory() -> None:
    content = Content(limit=30_000, header_limit=10**9, bare_newlines="refuse")
    most = 0
    for _ in range(200):
        assert content.feed(b"..x\r\n" * 1000) is None
        most = max(most, content.held)
    assert most <= 30_000 * 4 // 3 + 4096 + 5000
    assert content.feed(b".\r\nQUIT\r\n") == b"QUIT\r\n"
    assert content.refusal == replies.MESSAGE_TOO_BIG
    assert content.held == 0


def test_the_first_reason_to_refuse_is_the_one_that_is_told() -> None:
    content = Content(limit=10, header_limit=10**9, bare_newlines="refuse")
    content.refuse(replies.NO_ROOM)
    assert content.feed(b"bare\n and much too long\r\n.\r\n") == b""
    assert content.refusal == replies.NO_ROOM
