"""BDAT (RFC 3030): counted chunks in, the same message out; everything the client sent is read."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp import Inbox, Talker, serving

from relay import replies
from relay.intake.content import Chunks

BODY = b"Subject: x\r\n\r\n.dot\r\n..\r\n.\r\nQUIT\r\n"


async def bdat(client: Talker, octets: bytes, *, last: bool) -> str:
    await client.send(f"BDAT {len(octets)}{' LAST' if last else ''}\r\n".encode() + octets)
    return await client.reply()


@pytest.mark.parametrize("size", [1, 2, 7, len(BODY)])
async def test_chunks_of_any_size_make_the_message(size: int) -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        for start in range(0, len(BODY), size):
            last = start + size >= len(BODY)
            reply = await bdat(client, BODY[start : start + size], last=last)
            assert reply.startswith("250 2.0.0 Ok: queued" if last else f"250 2.0.0 {size} octets")
        assert (await client.ask("NOOP")).startswith("250 ")
    assert inbox.only.data == BODY


async def test_the_last_chunk_may_be_empty_and_a_missing_line_end_is_added() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        for chunks in ([b"a", b""], [b""], [b"a\r", b"\n"]):
            await client.envelope()
            for number, chunk in enumerate(chunks, 1):
                assert (await bdat(client, chunk, last=number == len(chunks))).startswith("250 ")
    assert [s.data for s in inbox.submissions] == [b"a\r\n", b"", b"a\r\n"]


async def test_a_whole_transaction_may_be_sent_at_once_and_again() -> None:
    inbox = Inbox()
    one = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nBDAT 3\r\na\r\nbdat 4 last\r\nbc\r\n"
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.send(one * 3 + b"QUIT\r\n")
        codes = [(await client.reply())[:3] for _ in range(13)]
        assert await client.closed()
    assert codes == ["250"] * 12 + ["221"]
    assert [s.data for s in inbox.submissions] == [b"a\r\nbc\r\n"] * 3


@pytest.mark.parametrize(
    ("before", "reply"),
    [([], "503 5.5.1"), (["MAIL FROM:<a@example.org>"], "554 5.5.1")],
)
async def test_a_chunk_that_nobody_wants_is_read_and_refused(before: list[str], reply: str) -> None:
    async with serving(Inbox()) as server, server.talk() as client:
        await client.hello()
        for line in before:
            await client.ask(line)
        assert (await bdat(client, b"RSET\r\nNOOP\r\n", last=True)).startswith(reply)
        assert (await client.ask("VRFY x")).startswith("252 ")


async def test_other_ways_into_the_message_are_closed_once_chunks_have_begun() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        await bdat(client, b"old\r\n", last=False)
        for line in ("DATA", "RCPT TO:<c@example.org>", "MAIL FROM:<a@example.org>"):
            assert (await client.ask(line)).startswith("503 5.5.1")
        assert (await client.ask("RSET")).startswith("250 ")
        await client.envelope()
        assert (await bdat(client, b"new\r\n", last=True)).startswith("250 ")
    assert inbox.only.data == b"new\r\n"


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"bare\nnewline\r\n", "550 5.5.2"),
        (b"bare\rreturn\r\n", "550 5.5.2"),
        (b"a\r\n\0.\r\nb\r\n", "550 5.5.2"),
        (b"x" * 1001, "552 5.3.4"),
    ],
)
async def test_what_data_refuses_bdat_refuses_too(octets: bytes, reply: str) -> None:
    inbox = Inbox()
    async with serving(inbox, max_message_size=1000) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await bdat(client, octets, last=True)).startswith(reply)
        await client.envelope()
        assert (await bdat(client, b"x" * 998 + b"\r\n", last=True)).startswith("250 ")
    assert len(inbox.only.data) == 1000


async def test_a_message_too_big_is_refused_at_the_chunk_that_shows_it_and_the_rest_is_read() -> None:
    inbox = Inbox()
    async with serving(inbox, max_message_size=1000) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await bdat(client, b"x" * 900, last=False)).startswith("250 ")
        assert (await bdat(client, b"x" * 200_000, last=False)).startswith("552 5.3.4")
        assert (await bdat(client, b"x" * 10, last=True)).startswith("503 ")
    assert inbox.submissions == []


async def test_bare_newlines_are_normalized_if_so_configured() -> None:
    inbox = Inbox()
    async with serving(inbox, bare_newlines="normalize") as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await bdat(client, b"a\n.\nb", last=True)).startswith("250 ")
    assert inbox.only.data == b"a\r\n.\r\nb\r\n"


@pytest.mark.parametrize(
    "line", ["BDAT", "BDAT x", "BDAT -1", "BDAT 1 FIRST", "BDAT 1LAST", "BDAT " + "9" * 21]
)
async def test_a_chunk_of_unknown_size_ends_the_session(line: str) -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await client.ask(line)).startswith("421 4.5.4")
        assert await client.closed()
    assert inbox.submissions == []


@pytest.mark.parametrize("end", ["RSET", "EHLO client.test", "QUIT", ""])
async def test_chunks_that_are_given_up_leave_nothing_in_memory(end: str) -> None:
    inbox = Inbox()
    async with serving(inbox, max_memory=1000) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await bdat(client, b"x" * 900, last=False)).startswith("250 ")
        if end:
            await client.ask(end)
        else:
            client.writer.write_eof()
            await client.closed()
        async with server.talk() as other:
            await other.hello()
            await other.envelope()
            assert (await bdat(other, b"y" * 998, last=False)).startswith("250 ")
            async with server.talk() as third:
                await third.hello()
                await third.envelope()
                assert (await bdat(third, b"z" * 900, last=True)).startswith("452 4.3.1")


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_the_cuts_between_chunks_change_nothing(octets: bytes, cuts: list[int]) -> None:
    def read(*blocks: bytes) -> tuple[bytes, object]:
        chunks = Chunks(limit=50, header_limit=10**9, bare_newlines="refuse")
        for block in blocks:
            chunks.feed(block)
        chunks.finish()
        return chunks.message, chunks.refusal

    edges = [0, *sorted(cut for cut in cuts if cut <= len(octets)), len(octets)]
    whole = read(octets)
    assert read(*(octets[start:end] for start, end in pairwise(edges))) == whole
    message, refusal = whole
    assert (refusal is None) == (message != b"" or octets == b"")
    assert refusal in (None, replies.BARE_NEWLINE, replies.DISGUISED_END, replies.MESSAGE_TOO_BIG)
