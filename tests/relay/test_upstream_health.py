"""When a server is left alone, when it is tried again, what is said of it, and how many connections it is asked for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.transactions import client_of, server, to, upstream_of
from support.upstream import Act, ScriptedUpstream, drop, hang, on, say, slow

from relay import replies
from relay.outcome import Status
from relay.upstream import Condition, SmtpUpstream, parse_url
from relay.upstream.health import Entry, Health
from relay.upstream.slots import Slots

SETTINGS = replace(
    parse_url("smtp://mail.example"), failures_until_down=3, first_pause=2.0, longest_pause=10.0
)
REPLY = replies.UPSTREAM_UNREACHABLE


def down(at: float = 0.0) -> Health:
    health = Health(SETTINGS, random.Random(1))
    assert [health.failed(REPLY, at) for _ in range(3)] == [False, False, True]
    return health


# The circuit.


def test_a_success_in_between_begins_the_count_anew() -> None:
    health = Health(SETTINGS)
    for _ in range(5):
        assert not health.failed(REPLY, 0.0)
        assert not health.failed(REPLY, 0.0)
        assert not health.succeeded()
    assert (health.condition, health.enter(0.0)) == (Condition.UP, Entry.YES)


def test_after_some_failures_in_a_row_it_is_left_alone_for_about_so_long() -> None:
    pauses = set()
    for seed in range(200):
        health = Health(SETTINGS, random.Random(seed))
        for _ in range(3):
            health.failed(REPLY, 100.0)
        pauses.add(health.seconds_left(100.0))
        assert health.enter(101.4) is Entry.NO
    assert 1.5 <= min(pauses) < 1.6
    assert 2.4 < max(pauses) <= 2.5


def test_then_one_probes_and_the_others_wait_for_what_it_finds() -> None:
    health = down()
    assert health.enter(5.0) is Entry.AS_PROBE
    assert (health.enter(5.0), health.condition) == (Entry.NO, Condition.PROBING)
    assert health.succeeded()
    health.probe_over()
    assert (health.enter(5.0), health.condition, health.failures) == (Entry.YES, Condition.UP, 0)


def test_a_probe_that_fails_doubles_the_pause_up_to_a_limit() -> None:
    health, now, pauses = down(), 0.0, []
    for _ in range(6):
        now += health.seconds_left(now)
        assert health.enter(now) is Entry.AS_PROBE
        assert not health.failed(REPLY, now, as_probe=True)
        health.probe_over()
        pauses.append(health.seconds_left(now))
    for pause, middle in zip(pauses, (4, 8, 10, 10, 10, 10), strict=True):
        assert middle * 0.75 <= pause <= middle * 1.25


def test_a_probe_that_found_nothing_out_is_followed_by_another() -> None:
    health = down()
    assert health.enter(5.0) is Entry.AS_PROBE
    health.probe_over()
    assert health.enter(5.0) is Entry.AS_PROBE


def test_what_was_under_way_when_it_went_down_does_not_prolong_it() -> None:
    health = down()
    before = health.seconds_left(0.0)
    assert not any(health.failed(REPLY, 1.0) for _ in range(20))
    assert health.seconds_left(0.0) == before


# Over sockets.


async def statuses(client: Any, number: int) -> list[Status]:
    return [(await client.send(to(f"r{n}@example.net")))[0].status for n in range(number)]


async def test_a_server_that_is_down_is_not_asked_and_this_is_said_once() -> None:
    settings = {"failures_until_down": 3, "first_pause": 1000.0}
    async with (
        ScriptedUpstream(on("connect", say("421 4.3.2 Closed"))) as first,
        ScriptedUpstream() as second,
        upstream_of(
            server("first", first.url, **settings), server("second", second.url, priority=20)
        ) as both,
    ):
        with capture_logs() as logged:
            assert await statuses(both, 10) == [Status.ACCEPTED] * 10
        assert first.connections == 3
        (line,) = (line for line in logged if line["event"] == "upstream-down")
        assert (line["upstream"], line["reply"], line["failures"]) == ("first", "421 4.3.2", 3)
        first_state, second_state = both.states()
    assert first_state.condition is Condition.DOWN
    assert first_state.down_until is not None
    assert first_state.down_until > datetime.now(UTC)
    assert first_state.last_error == "421 4.3.2 Closed"
    assert first_state.last_error_at is not None
    assert (second_state.condition, second_state.last_error) == (Condition.UP, "")
    assert (second_state.connections, second_state.idle, second_state.limit) == (1, 1, 20)


async def test_when_all_are_down_mail_is_put_off_at_once_with_the_last_reason() -> None:
    settings = {"failures_until_down": 1, "first_pause": 1000.0, "longest_pause": 1000.0}
    async with (
        ScriptedUpstream(on("connect", say("450 4.3.2 Closed"))) as only,
        upstream_of(server("only", only.url, **settings)) as upstream,
    ):
        assert upstream.pause() == 0.0
        assert await statuses(upstream, 1) == [Status.DEFERRED]
        assert 700.0 < upstream.pause() <= 1250.0
        (outcome,) = await upstream.send(to("ann@example.net"))
    assert (outcome.status, outcome.reply.enhanced, outcome.host) == (Status.DEFERRED, "4.3.2", "")
    assert only.connections == 1


async def test_while_one_server_may_be_asked_there_is_no_pause() -> None:
    settings = {"failures_until_down": 1, "first_pause": 1000.0}
    async with (
        ScriptedUpstream(on("connect", drop())) as first,
        ScriptedUpstream() as second,
        upstream_of(
            server("first", first.url, **settings), server("second", second.url, priority=20)
        ) as both,
    ):
        await statuses(both, 1)
        assert both.states()[0].condition is Condition.DOWN
        assert both.pause() == 0.0


async def test_one_message_probes_the_others_wait_for_it_and_all_go() -> None:
    settings = {"failures_until_down": 1, "first_pause": 0.0}
    rules = (on("connect", drop(), times=1), on("dot", slow(0.2), times=1))
    async with (
        ScriptedUpstream(*rules) as only,
        upstream_of(server("only", only.url, **settings)) as upstream,
    ):
        assert await statuses(upstream, 1) == [Status.DEFERRED]
        with capture_logs() as logged:
            sending = [asyncio.create_task(upstream.send(to(f"r{n}@example.net"))) for n in range(5)]
            await only.said(".")
            assert upstream.states()[0].condition is Condition.PROBING
            assert only.open_connections == 1
            outcomes = await asyncio.gather(*sending)
    assert {outcome.status for (outcome,) in outcomes} == {Status.ACCEPTED}
    assert [line["event"] for line in logged] == ["upstream-up"]


async def test_a_probe_that_hangs_holds_nobody_up_for_long() -> None:
    settings = {"failures_until_down": 1, "first_pause": 0.0, "probe_patience": 0.05}
    rules = (on("connect", drop(), times=1), on("dot", hang()))
    async with (
        ScriptedUpstream(*rules) as only,
        upstream_of(server("only", only.url, **settings)) as upstream,
    ):
        assert await statuses(upstream, 1) == [Status.DEFERRED]
        probe = asyncio.create_task(upstream.send(to("probe@example.net")))
        await only.said(".")
        assert await statuses(upstream, 2) == [Status.DEFERRED] * 2
        assert not probe.done()
        probe.cancel()
    assert only.verbs.count("MAIL") == 1


async def test_a_probe_that_fails_puts_all_off_who_waited_for_it() -> None:
    settings = {"failures_until_down": 1, "first_pause": 0.0}
    async with (
        ScriptedUpstream(on("connect", drop(), times=1), on("mail", slow(0.1)), on("rcpt", drop())) as only,
        upstream_of(server("only", only.url, **settings)) as upstream,
    ):
        assert await statuses(upstream, 1) == [Status.DEFERRED]
        sending = [asyncio.create_task(upstream.send(to(f"r{n}@example.net"))) for n in range(3)]
        outcomes = await asyncio.gather(*sending)
    assert {outcome.status for (outcome,) in outcomes} == {Status.DEFERRED}
    assert only.verbs.count("RCPT") <= 3


async def test_while_the_first_is_probed_mail_goes_to_the_next() -> None:
    settings = {"failures_until_down": 1, "first_pause": 0.0}
    rules = (on("connect", drop(), times=1), on("dot", slow(0.3), times=1))
    async with (
        ScriptedUpstream(*rules) as first,
        ScriptedUpstream() as second,
        upstream_of(
            server("first", first.url, **settings), server("second", second.url, priority=20)
        ) as both,
    ):
        await statuses(both, 1)
        probe = asyncio.create_task(both.send(to("probe@example.net")))
        await first.said(".")
        assert await statuses(both, 2) == [Status.ACCEPTED] * 2
        assert not probe.done()
        assert (await probe)[0].status is Status.ACCEPTED
        assert await statuses(both, 1) == [Status.ACCEPTED]
    assert len(second.received) == 1 + 2
    assert len(first.received) == 2


async def test_who_waited_for_a_connection_when_it_went_down_goes_to_the_next() -> None:
    settings = {"failures_until_down": 1, "first_pause": 1000.0, "max_connections": 1}
    rules = (on("mail", slow(0.2)), on("rcpt", drop()))
    async with (
        ScriptedUpstream(*rules) as first,
        ScriptedUpstream() as second,
        upstream_of(
            server("first", first.url, **settings), server("second", second.url, priority=20)
        ) as both,
    ):
        outcomes = await asyncio.gather(*(both.send(to(f"r{n}@example.net")) for n in range(5)))
    assert {outcome.status for (outcome,) in outcomes} == {Status.ACCEPTED}
    assert len(second.received) == 5
    assert first.connections == 1


async def test_a_cancelled_probe_makes_way_for_another() -> None:
    settings = {"failures_until_down": 1, "first_pause": 0.0}
    rules = (on("connect", drop(), times=1), on("dot", hang(), times=1))
    async with ScriptedUpstream(*rules) as only, client_of(only.url, **settings) as client:
        assert await statuses(client, 1) == [Status.DEFERRED]
        probe = asyncio.create_task(client.send(to("probe@example.net")))
        await only.said(".")
        waiting = asyncio.create_task(client.send(to("ann@example.net")))
        await asyncio.sleep(0)
        probe.cancel()
        assert (await waiting)[0].status is Status.ACCEPTED


@pytest.mark.parametrize("act", [drop(), drop("421 4.4.2 You were idle")], ids=["dropped", "421"])
async def test_a_kept_connection_that_has_ended_is_no_failure(act: Act) -> None:
    rules = on("mail", act, after=1, times=1)
    async with ScriptedUpstream(rules) as only, client_of(only.url, failures_until_down=1) as client:
        assert await statuses(client, 2) == [Status.ACCEPTED] * 2
        assert client.state().failures == 0


async def test_answers_about_the_mail_say_nothing_of_the_servers_health() -> None:
    rules = on("rcpt", say("451 4.7.1 Greylisted"))
    async with ScriptedUpstream(rules) as only, client_of(only.url, failures_until_down=1) as client:
        assert await statuses(client, 3) == [Status.DEFERRED] * 3
        assert client.state().condition is Condition.UP


async def test_the_state_shows_neither_password_nor_addresses() -> None:
    said = say("421 4.7.0 hunter2 is no password for ann@example.net, <joe@example.org>")
    async with ScriptedUpstream(on("connect", said)) as only:
        client = SmtpUpstream(parse_url(f"smtp://joe:hunter2@127.0.0.1:{only.port}"))
        await statuses(client, 1)
        state = client.state()
        await client.close(grace=0)
    assert state.last_error == "421 4.7.0 … is no password for …, <…>"
    assert "hunter2" not in repr(state)


# Too many connections.


class Crowded(ScriptedUpstream):
    """Takes only so many connections at a time; tells one more 421."""

    places = 2
    complaint = "421 4.7.0 Too many connections"

    def act_for(self, stage: str, line: str) -> Act | None:
        if stage == "connect" and self.open_connections > self.places:
            return drop(self.complaint)
        return super().act_for(stage, line)


@asynccontextmanager
async def crowded(**settings: Any) -> AsyncIterator[tuple[Crowded, SmtpUpstream]]:
    async with Crowded(on("dot", slow(0.01))) as crowd, client_of(crowd.url, **settings) as client:
        yield crowd, client


@pytest.mark.parametrize("complaint", ["421 4.7.0 Too many connections", "450 4.7.0 Too many connections"])
async def test_a_server_of_few_connections_gets_all_the_mail_over_few(
    complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Crowded, "complaint", complaint)
    async with crowded(max_connections=12) as (crowd, client):
        outcomes = await asyncio.gather(*(client.send(to(f"r{n}@example.net")) for n in range(40)))
        assert {outcome.status for (outcome,) in outcomes} == {Status.ACCEPTED}
        assert client.state().limit == 2
        assert client.state().condition is Condition.UP
    assert len(crowd.received) == 40
    assert crowd.connections <= 12  # who was refused once waits for its turn


async def test_a_server_that_complains_with_no_connection_open_is_a_failure() -> None:
    rules = on("connect", say("421 4.7.0 Too many"))
    async with ScriptedUpstream(rules) as only, client_of(only.url, max_connections=5) as client:
        outcomes = await asyncio.gather(*(client.send(to(f"r{n}@example.net")) for n in range(8)))
        assert {outcome.status for (outcome,) in outcomes} == {Status.DEFERRED}
        assert client.state().condition is Condition.DOWN


async def test_after_a_while_more_connections_are_tried_again() -> None:
    async with crowded(max_connections=8, calm_seconds=0.05) as (crowd, client):
        await asyncio.gather(*(client.send(to(f"r{n}@example.net")) for n in range(20)))
        assert client.state().limit < 8
        crowd.places = 8
        async with asyncio.timeout(20):
            while client.state().limit < 8:
                await asyncio.sleep(0.01)
        crowd.most_connections = 0
        await asyncio.gather(*(client.send(to(f"r{n}@example.net")) for n in range(60)))
    assert crowd.most_connections == 8


# Slots.


async def hold(slots: Slots, log: list[int], number: int, *, first: bool = False) -> None:
    await slots.acquire(first=first)
    try:
        log.append(number)
        await asyncio.sleep(0)
    finally:
        slots.release()


async def test_slots_are_given_out_in_order_and_whoever_comes_back_is_first() -> None:
    slots, log = Slots(1, calm_seconds=1000.0), list[int]()
    await slots.acquire()
    tasks = [asyncio.create_task(hold(slots, log, number)) for number in range(3)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(hold(slots, log, 99, first=True)))
    await asyncio.sleep(0)
    assert (slots.held, slots.waiting) == (1, 4)
    slots.release()
    await asyncio.gather(*tasks)
    assert log == [99, 0, 1, 2]
    assert (slots.held, slots.waiting) == (0, 0)


@pytest.mark.parametrize("seed", range(30))
async def test_whoever_is_cancelled_takes_no_slot_along(seed: int) -> None:
    chance, log = random.Random(seed), list[int]()
    slots = Slots(3, calm_seconds=1000.0)
    tasks = []
    for number in range(40):
        tasks.append(asyncio.create_task(hold(slots, log, number)))
        if chance.random() < 0.5:
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            chance.choice(tasks).cancel()
        if chance.random() < 0.1:
            slots.lower(chance.randint(1, 3))
        assert slots.held <= 3
    await asyncio.gather(*tasks, return_exceptions=True)
    slots.reset()
    assert (slots.held, slots.waiting, slots.limit) == (0, 0, 3)
    await asyncio.gather(*(hold(slots, log, number) for number in range(5)))
