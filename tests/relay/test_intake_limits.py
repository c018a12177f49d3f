"""What one client, or all together, may not use up: connections, time, memory, patience."""

from __future__ import annotations

import asyncio
import resource
import sys
from contextlib import AsyncExitStack
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.smtp import LOOPBACK, Inbox, serving, settings

from relay.intake.limits import Connections, Failures, Memory, client_key, possible_connections
from relay.intake.settings import client_address, is_within
from relay.replies import Reply, accepted
from relay.submission import Submission

# --- connections ---


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_client"])
async def test_a_connection_too_many_hears_421_at_the_banner_and_the_next_finds_room(limit: str) -> None:
    async with serving(Inbox(), **{limit: 2}) as server, AsyncExitStack() as stack:
        first = await stack.enter_async_context(server.talk())
        second = await stack.enter_async_context(server.talk())
        await first.hello()
        await second.hello()
        async with server.talk() as third:
            assert (await third.reply()).startswith("421 4.7.0 Too many connections")
            assert await third.closed()
        assert (await first.ask("QUIT")).startswith("221 ")
        assert await first.closed()
        async with server.talk() as fourth:
            assert (await fourth.reply()).startswith("220 ")


def test_connections_are_counted_per_client_and_in_all() -> None:
    connections = Connections()
    enter = {"most": 3, "most_per_client": 2}
    assert connections.enter("a", **enter) is None
    assert connections.enter("a", **enter) is None
    assert connections.enter("a", **enter) is not None
    assert connections.enter("b", **enter) is None
    assert connections.enter("c", **enter) is not None
    connections.leave("a")
    assert connections.enter("c", **enter) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::1", "::2", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
    ],
)
def test_an_ipv6_client_is_its_network_of_64_bits(one: str, other: str, same: bool) -> None:
    assert (client_key(ip_address(one)) == client_key(ip_address(other))) is same


def test_an_ipv4_address_inside_an_ipv6_one_is_taken_for_what_it_is() -> None:
    assert is_within(client_address("::ffff:127.0.0.1"), LOOPBACK)
    assert not is_within(client_address("::ffff:192.0.2.1"), LOOPBACK)
    assert not is_within(client_address("no address"), (ip_network("0.0.0.0/0"), ip_network("::/0")))


@pytest.mark.parametrize(
    ("soft", "possible"), [(1024, 896), (200, 100), (65_536, 65_408), (resource.RLIM_INFINITY, sys.maxsize)]
)
async def test_file_descriptors_are_kept_in_reserve(
    soft: int, possible: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert possible_connections() == possible


async def test_the_limit_on_connections_never_exceeds_what_descriptors_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.intake.server.possible_connections", lambda: 1)
    async with (
        serving(Inbox(), max_connections=10) as server,
        server.talk() as first,
        server.talk() as second,
    ):
        assert (await first.reply()).startswith("220 ")
        assert (await second.reply()).startswith("421 ")


# --- errors ---


async def test_too_many_errors_end_the_session() -> None:
    async with serving(Inbox(), max_errors=3) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask("FOO")).startswith("500 ")
        assert (await client.ask("DATA")).startswith("503 ")
        assert (await client.ask("BAR")).startswith("421 4.7.0")
        assert await client.closed()


JUNK = ("NOOP", "RSET", "VRFY a", "HELP", "EHLO client.test", "HELO client.test")


@pytest.mark.parametrize("command", JUNK)
async def test_too_many_commands_that_bring_no_message_nearer_end_the_session(command: str) -> None:
    async with serving(Inbox(), max_junk_commands=3) as server, server.talk() as client:
        await client.hello()  # the first of them
        for _ in range(2):
            assert (await client.ask(command)).startswith("2")
        assert (await client.ask(command)).startswith("421 4.7.0 Too many commands without a message")
        assert await client.closed()


async def test_opening_a_transaction_and_dropping_it_brings_no_message_nearer() -> None:
    async with serving(Inbox(), max_junk_commands=4) as server, server.talk() as client:
        await client.hello()
        for _ in range(3):
            await client.envelope()
            assert (await client.ask("RSET")).startswith("250 ")
        await client.envelope()
        assert (await client.ask("RSET")).startswith("421 ")


async def test_a_message_taken_pardons_the_commands_before_it_and_one_refused_does_not() -> None:
    inbox = Inbox()
    async with serving(inbox, max_junk_commands=3) as server, server.talk() as client:
        await client.hello()
        for _ in range(4):
            assert (await client.ask("NOOP")).startswith("250 ")
            assert (await client.ask("RSET")).startswith("250 ")
            await client.envelope()
            assert (await client.data(b".\r\n")).startswith("250 ")
        for _ in range(3):
            assert (await client.ask("NOOP")).startswith("250 ")
        await client.envelope()
        assert (await client.data(b"bare\n\r\n.\r\n")).startswith("550 ")
        assert (await client.ask("NOOP")).startswith("421 ")
    assert len(inbox.submissions) == 4


async def test_refused_recipients_are_no_errors_and_a_message_taken_clears_the_count() -> None:
    async with serving(Inbox(), max_errors=2) as server, server.talk() as client:
        await client.hello()
        for _ in range(3):
            await client.ask("FOO")
            await client.envelope()
            for _ in range(5):
                assert (await client.ask("RCPT TO:<broken>")).startswith("501 ")
            assert (await client.data(b".\r\n")).startswith("250 ")


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST /x HTTP/1.0", "CONNECT a:25 HTTP/1.1", "get /"])
async def test_http_is_shown_the_door(line: str) -> None:
    async with serving(Inbox()) as server, server.talk() as client:
        await client.reply()
        await client.send(line.encode() + b"\r\nHost: x\r\n\r\n")
        assert (await client.reply()).startswith("421 ")
        assert await client.closed()


async def test_many_commands_at_once_leave_others_their_turn() -> None:
    checks: list[int] = []
    turns = 0

    def check() -> None:
        checks.append(turns)

    async with serving(Inbox(), check=check, max_junk_commands=10**9) as server, server.talk() as client:
        await client.hello()

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await client.send(b"MAIL FROM:<>\r\nRSET\r\n" * 1000)
        for _ in range(2000):
            assert (await client.reply()).startswith("250 ")
        task.cancel()
    assert len(set(checks)) >= 10


# --- time ---


async def test_a_client_that_says_nothing_is_told_421() -> None:
    async with serving(Inbox(), command_timeout=0.05) as server, server.talk() as client:
        assert (await client.reply()).startswith("220 ")
        assert (await client.reply()).startswith("421 4.4.2")
        assert await client.closed()


async def drip(send: Any, octets: bytes) -> None:
    try:
        while True:
            await send(octets)
            await asyncio.sleep(0.01)
    except (ConnectionError, RuntimeError):  # the latter is uvloop's word for a closed connection
        pass


async def test_the_deadline_is_for_the_whole_command_however_it_drips_in() -> None:
    async with serving(Inbox(), command_timeout=1.0) as server, server.talk() as client:
        await client.hello()
        dripping = asyncio.create_task(drip(client.send, b"N"))
        assert (await client.reply()).startswith("421 4.4.2")
        dripping.cancel()


async def test_a_client_slower_than_the_lowest_rate_is_told_421() -> None:
    inbox = Inbox()
    async with serving(inbox, data_timeout=0.2, lowest_data_rate=100_000) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        await client.ask("DATA")
        dripping = asyncio.create_task(drip(client.send, b"x\r\n"))
        assert (await client.reply()).startswith("421 4.4.2")
        dripping.cancel()
    assert inbox.submissions == []


async def test_a_slow_client_above_the_lowest_rate_has_all_the_time_it_needs() -> None:
    inbox = Inbox()
    async with serving(inbox, data_timeout=1.0, lowest_data_rate=10) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        await client.ask("DATA")
        for _ in range(130):
            await client.send(b"x\r\n")
            await asyncio.sleep(0.01)
        await client.send(b".\r\n")
        assert (await client.reply()).startswith("250 ")
    assert inbox.only.data == b"x\r\n" * 130


async def test_no_deadline_runs_while_the_message_is_delivered() -> None:
    async def deliver(submission: Submission) -> Reply:
        await asyncio.sleep(1.2)
        return accepted(submission.id.hex())

    async with serving(deliver, command_timeout=1.0, data_timeout=1.0) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await client.data(b".\r\n")).startswith("250 ")


async def test_a_client_that_never_reads_is_cut_off() -> None:
    async with serving(Inbox(), command_timeout=0.3, max_junk_commands=10**9) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
        async with asyncio.timeout(60):  # it ends when the connection does
            await drip(lambda octets: send_all(writer, octets), b"HELP\r\n" * 10_000)
        assert server.intake.sessions == 0
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        del reader


async def test_a_client_that_never_reads_is_cut_off_after_its_delivery_too() -> None:
    """Its replies fill the socket while nothing is expected of it; the last one finds no room."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def deliver(submission: Submission) -> Reply:
        begun.set()
        await go_on.wait()
        return Reply(code=250, detail="0.0", text="Ok\n" * 2_000_000)

    async with serving(deliver, command_timeout=1.0, max_junk_commands=10**9) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=1024)
        await send_all(writer, b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n.\r\n")
        await begun.wait()
        go_on.set()
        async with asyncio.timeout(60):  # it ends when the connection does
            await drip(lambda o: send_all(writer, o), b"NOOP\r\n" * 10_000)
        assert server.intake.sessions == 0
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        del reader


async def send_all(writer: asyncio.StreamWriter, octets: bytes) -> None:
    writer.write(octets)
    await writer.drain()


# --- memory ---


async def test_a_message_that_finds_no_room_in_memory_is_put_off_and_the_next_is_taken() -> None:
    inbox = Inbox()
    async with (
        serving(inbox, max_memory=100_000, max_message_size=90_000) as server,
        server.talk() as first,
        server.talk() as second,
    ):
        for client in (first, second):
            await client.hello()
            await client.envelope()
            await client.ask("DATA")
        await first.send(b"x" * 80_000)
        # What the first holds is known once the loop has read it.
        await asyncio.sleep(0.05)
        await second.send(b"y" * 80_000 + b"\r\n.\r\n")
        assert (await second.reply()).startswith("452 4.3.1")
        await first.send(b"\r\n.\r\n")
        assert (await first.reply()).startswith("250 ")
        await second.envelope()
        assert (await second.data(b"y" * 80_000 + b"\r\n.\r\n")).startswith("250 ")
    assert [s.data[:1] for s in inbox.submissions] == [b"x", b"y"]


def test_claims_on_memory_never_exceed_it_but_one_alone_may_always_grow() -> None:
    memory = Memory()
    one, two = memory.claim(most=100), memory.claim(most=100)
    assert one.resize(150)
    assert not two.resize(1)
    assert one.resize(60)
    assert two.resize(40)
    assert not two.resize(41)
    heir = one.passed_on()
    one.release()
    assert memory.held == 100
    heir.release()
    two.release()
    assert memory.held == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120)), max_size=40))
def test_memory_is_always_the_sum_of_the_claims(steps: list[tuple[int, int]]) -> None:
    memory = Memory()
    claims, held = [memory.claim(most=100) for _ in range(4)], [0, 0, 0, 0]
    for who, size in steps:
        if claims[who].resize(size):
            held[who] = size
        assert memory.held == sum(held)
        assert sum(held) <= 100 or sum(size > 0 for size in held) == 1


# --- wrong passwords ---


def test_each_failed_login_makes_the_next_slower_until_it_is_forgotten() -> None:
    failures = Failures()
    delays = []
    for n in range(8):
        delays.append(failures.delay("a", unit=1.0, now=float(n)))
        failures.note("a", now=float(n))
    assert delays == [0, 1, 2, 4, 8, 16, 30, 30]
    assert failures.delay("b", unit=1.0, now=8.0) == 0
    assert failures.delay("a", unit=1.0, now=2000.0) == 0
    failures.forgive("a")
    assert failures.delay("a", unit=1.0, now=8.0) == 0


def test_the_memory_of_failures_is_bounded() -> None:
    failures = Failures()
    for n in range(10_001):
        failures.note(str(n), now=0.0)
    assert failures.count("0", now=0.0) == 0
    assert failures.count("10000", now=0.0) == 1


# --- settings that cannot work ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_recipients": 99},
        {"max_message_size": 0},
        {"max_connections": 0},
        {"max_connections_per_client": 0},
        {"max_errors": 0},
        {"max_junk_commands": 0},
        {"command_timeout": 0},
        {"data_timeout": -1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[-1]):
        settings(**wrong)


async def test_new_settings_hold_for_new_sessions_only() -> None:
    async with serving(Inbox()) as server, server.talk() as old:
        assert "SIZE 1000000" in await old.hello()
        server.intake.reconfigure(settings(max_message_size=5, hostname="new.test"), None, users=None)
        async with server.talk() as new:
            assert (await new.reply()).startswith("220 new.test ")
            assert "SIZE 5\n" in await new.ask("EHLO client.test")
        assert "SIZE 1000000" in await old.ask("EHLO client.test")
