"""Connections are kept, shared fairly, never too many, and never used when they are no longer good."""

from __future__ import annotations

import asyncio

import pytest
from support.transactions import client_of, to
from support.upstream import (
    USUAL_EXTENSIONS,
    Act,
    ScriptedUpstream,
    adding,
    drop,
    garbage,
    hang,
    on,
    say,
    slow,
)

from relay.outcome import Status
from relay.upstream import SmtpUpstream


async def send_some(client: SmtpUpstream, number: int) -> list[Status]:
    """One after the other."""
    return [(await client.send(to(f"r{n}@example.net")))[0].status for n in range(number)]


async def test_one_connection_serves_message_after_message() -> None:
    async with ScriptedUpstream() as server, client_of(server.url) as client:
        assert await send_some(client, 10) == [Status.ACCEPTED] * 10
    assert server.connections == 1
    assert server.verbs.count("EHLO") == 1
    assert "NOOP" not in server.verbs


async def test_there_are_never_more_connections_than_allowed_and_all_of_them_are_used() -> None:
    async with (
        ScriptedUpstream(on("dot", slow(0.02))) as server,
        client_of(server.url, max_connections=3) as client,
    ):
        outcomes = await asyncio.gather(*(client.send(to(f"r{n}@example.net")) for n in range(20)))
    assert {outcome.status for (outcome,) in outcomes} == {Status.ACCEPTED}
    assert (server.connections, server.most_connections) == (3, 3)
    assert len(server.received) == 20


async def test_who_waits_longest_is_served_first() -> None:
    async with ScriptedUpstream() as server, client_of(server.url, max_connections=1) as client:
        sending = [asyncio.create_task(client.send(to(f"r{n}@example.net"))) for n in range(12)]
        await asyncio.gather(*sending)
    assert [mail.addresses for mail in server.received] == [(f"r{n}@example.net",) for n in range(12)]


async def test_who_gives_up_waiting_keeps_nobody_from_being_served() -> None:
    async with (
        ScriptedUpstream(on("dot", slow(0.1), times=1)) as server,
        client_of(server.url, max_connections=1) as client,
    ):
        first, second, third = (asyncio.create_task(client.send(to(f"r{n}@example.net"))) for n in range(3))
        await server.said(".")
        second.cancel()
        assert (await third)[0].status is Status.ACCEPTED
        assert (await first)[0].status is Status.ACCEPTED
    assert len(server.received) == 2


@pytest.mark.parametrize("extensions", [USUAL_EXTENSIONS, ()], ids=["pipelined", "none"])
async def test_a_connection_that_ended_while_it_was_kept_is_nobodys_trouble(
    extensions: tuple[str, ...],
) -> None:
    async with ScriptedUpstream(extensions=extensions) as server, client_of(server.url) as client:
        assert await send_some(client, 1) == [Status.ACCEPTED]
        await server.hang_up()
        assert await send_some(client, 1) == [Status.ACCEPTED]
    assert server.connections == 2


@pytest.mark.parametrize("extensions", [USUAL_EXTENSIONS, ()], ids=["pipelined", "none"])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("act", [drop(), drop("421 4.4.2 You were idle")], ids=["dropped", "421"])
async def test_a_kept_connection_that_ends_before_the_message_is_replaced_once(
    stage: str, act: Act, extensions: tuple[str, ...]
) -> None:
    rules = on(stage, act, after=1, times=1)
    async with ScriptedUpstream(rules, extensions=extensions) as server, client_of(server.url) as client:
        assert await send_some(client, 2) == [Status.ACCEPTED] * 2
    assert server.connections == 2
    assert len(server.received) == 2


@pytest.mark.parametrize("act", [garbage(), hang()], ids=["garbage", "hang"])
async def test_a_kept_connection_that_fails_in_another_way_is_trouble(act: Act) -> None:
    rules = on("mail", act, after=1, times=1)
    async with ScriptedUpstream(rules) as server, client_of(server.url, command_timeout=1.0) as client:
        assert await send_some(client, 2) == [Status.ACCEPTED, Status.DEFERRED]


async def test_after_one_dead_connection_the_other_kept_ones_are_not_tried() -> None:
    async with (
        ScriptedUpstream(on("dot", slow(0.05), times=2), messages_max=1) as server,
        client_of(server.url) as client,
    ):
        await asyncio.gather(send_some(client, 1), send_some(client, 1))
        assert await send_some(client, 1) == [Status.ACCEPTED]
    assert server.verbs.count("MAIL") == 2 + 2


async def test_an_upstream_of_one_message_a_connection_takes_many_recipients_all_the_same() -> None:
    everyone = [f"r{number}@example.net" for number in range(5)]
    async with ScriptedUpstream(recipients_max=1, messages_max=1) as server, client_of(server.url) as client:
        outcomes = await client.send(to(*everyone))
    assert {outcome.status for outcome in outcomes} == {Status.ACCEPTED}
    assert server.connections == 5


async def test_a_replacement_that_ends_too_is_not_replaced() -> None:
    async with ScriptedUpstream(on("mail", drop(), after=1)) as server, client_of(server.url) as client:
        assert await send_some(client, 2) == [Status.ACCEPTED, Status.DEFERRED]
    assert server.connections == 2


async def test_a_new_connection_that_ends_is_not_replaced() -> None:
    async with ScriptedUpstream(on("mail", drop())) as server, client_of(server.url) as client:
        assert await send_some(client, 1) == [Status.DEFERRED]
    assert server.connections == 1


@pytest.mark.parametrize("stage", ["content", "dot"])
async def test_nothing_is_silently_sent_again_once_the_message_was_on_its_way(stage: str) -> None:
    async with (
        ScriptedUpstream(on(stage, drop(), after=1, times=1)) as server,
        client_of(server.url) as client,
    ):
        assert await send_some(client, 2) == [Status.ACCEPTED, Status.DEFERRED]
    assert server.connections == 1


async def test_replies_already_heard_are_kept_when_a_kept_connection_is_replaced() -> None:
    rules = (on("rcpt", say("550 5.1.1 Nobody"), match="ann"), on("rcpt", drop(), match="bob", times=1))
    async with ScriptedUpstream(*rules) as server, client_of(server.url) as client:
        await send_some(client, 1)
        outcomes = await client.send(to("ann@example.net", "bob@example.net"))
    assert [outcome.status for outcome in outcomes] == [Status.BOUNCED, Status.ACCEPTED]
    assert sum("ann@" in command for command in server.commands) == 1


async def test_a_unanimous_transaction_is_asked_afresh_when_a_kept_connection_is_replaced() -> None:
    rules = (on("rcpt", say("550 5.1.1 Nobody"), match="ann"), on("rcpt", drop(), match="bob", times=1))
    async with ScriptedUpstream(*rules) as server, client_of(server.url) as client:
        await send_some(client, 1)
        outcomes = await client.send(to("ann@example.net", "bob@example.net", unanimous=True))
    assert [outcome.status for outcome in outcomes] == [Status.DEFERRED] * 2
    assert len(server.received) == 1


@pytest.mark.parametrize("words", ["421 4.4.2 You are idle", "no SMTP", "250 2.0.0 Taken, I said", "250-"])
async def test_a_connection_that_speaks_unasked_is_not_used_again(words: str) -> None:
    async with ScriptedUpstream() as server, client_of(server.url) as client:
        assert await send_some(client, 1) == [Status.ACCEPTED]
        server.interrupt(words)
        await server.all_gone()
        assert await send_some(client, 1) == [Status.ACCEPTED]
    assert server.connections == 2


async def test_a_connection_that_answers_twice_is_not_used_again() -> None:
    rules = on("dot", adding("250 2.0.0 I said"), times=1)
    async with ScriptedUpstream(rules) as server, client_of(server.url) as client:
        assert await send_some(client, 2) == [Status.ACCEPTED] * 2
    assert server.connections == 2


async def test_surplus_connections_are_left_to_grow_old() -> None:
    async with ScriptedUpstream(on("dot", slow(0.05), times=2)) as server, client_of(server.url) as client:
        await asyncio.gather(send_some(client, 1), send_some(client, 1))
        await send_some(client, 4)
    assert server.connections == 2
    assert len({mail.connection for mail in server.received[2:]}) == 1


async def test_a_connection_retires_after_so_many_messages() -> None:
    settings = {"messages_per_connection": 3, "max_connections": 1}
    async with (
        ScriptedUpstream(on("quit", slow(0.05))) as server,
        client_of(server.url, **settings) as client,
    ):
        assert await send_some(client, 7) == [Status.ACCEPTED] * 7
    assert [mail.connection for mail in server.received] == [1, 1, 1, 2, 2, 2, 3]
    assert server.verbs.count("QUIT") == 3
    assert server.most_connections == 1


async def test_a_connection_retires_after_so_many_seconds() -> None:
    async with ScriptedUpstream() as server, client_of(server.url, seconds_per_connection=0) as client:
        assert await send_some(client, 3) == [Status.ACCEPTED] * 3
    assert server.connections == 3


async def test_a_connection_nobody_needs_is_let_go_politely() -> None:
    async with ScriptedUpstream() as server, client_of(server.url, idle_seconds=0.05) as client:
        assert await send_some(client, 1) == [Status.ACCEPTED]
        await server.said("QUIT")
        await server.all_gone()
        assert await send_some(client, 1) == [Status.ACCEPTED]
    assert server.connections == 2


async def test_an_upstream_that_does_not_answer_quit_holds_nothing_up() -> None:
    async with ScriptedUpstream(on("quit", hang())) as server, client_of(server.url) as client:
        await send_some(client, 1)
        await client.close(grace=0)
        assert server.verbs[-1] == "QUIT"
        await server.all_gone()


async def test_an_upstream_that_comes_back_is_used_again() -> None:
    async with ScriptedUpstream() as server, client_of(server.url) as client:
        assert await send_some(client, 1) == [Status.ACCEPTED]
        await server.__aexit__(None, None, None)
        assert await send_some(client, 1) == [Status.DEFERRED]
        await server.__aenter__()
        assert await send_some(client, 1) == [Status.ACCEPTED]
