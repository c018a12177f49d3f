"""Who works on what: leases that run out, work that was taken over, commits nobody heard of, rows nobody can read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text, update
from support.people import GRANTED, LOOSE, SENDER, UNKNOWN, copies, newsletter, rows, send, statuses
from support.sites import Site, domain_of, running, site, until
from support.stores import Stores
from support.upstream import ScriptedUpstream, on, say, slow
from support.waiting import let_leases_run_out, nothing_waits

from relay.config import QueueTable
from relay.queue import LEASE_SECONDS, Queue
from relay.store import claims
from relay.store.schema import queue
from relay.store.spool import database_now
from tracker.domain import Domain

LATER = "451 4.2.0 Later, please"
HOURS = {"queue": {"first_retry": "1h"}, "relay": {"wait_for_upstream": "0s"}}


@asynccontextmanager
async def with_mail_that_waits(
    folder: Path, store_url: str, *people: str
) -> AsyncIterator[tuple[Site, Domain, Queue]]:
    """A store with mail for these people that was tried once, and the queue of a process that does nothing."""
    async with ScriptedUpstream(on("rcpt", say(LATER))) as upstream:
        where = site(folder, store_url, upstream.url, **HOURS)
        async with running(where) as domain:
            for person in people:
                assert (await send(where.smtp_port, newsletter(), person))[0] == 250
            await until(lambda: tried(domain, len(people)), "the first tries are over")
    async with domain_of(where) as domain:
        await domain.database.change(due_now)
        yield where, domain, Queue(domain.database, QueueTable())


async def tried(domain: Domain, messages: int) -> bool:
    waiting = await rows(domain, queue)
    return len(waiting) == messages and all(row["tries"] == 1 and not row["lease"] for row in waiting)


def due_now(connection: Connection) -> None:
    connection.execute(update(queue).values(due_at=0.0))


async def seconds_left(domain: Domain) -> list[float]:
    """How long each lease still holds."""
    now = await domain.database.read(
        lambda connection: connection.execute(select(database_now())).scalar_one()
    )
    return [row["due_at"] - now for row in await rows(domain, queue)]


async def test_a_claim_that_nobody_heard_of_is_not_held_for_ever(store_url: str, tmp_path: Path) -> None:
    async with with_mail_that_waits(tmp_path, store_url, GRANTED, UNKNOWN) as (_, domain, mine):
        await domain.database.change(
            lambda connection: claims.claim(connection, lease=mine.lease, lease_seconds=1.0, messages=1)
        )
        await domain.database.change(let_leases_run_out)
        await mine.renew()
        assert max(await seconds_left(domain)) < 0, "renewed though nobody works on it"
        assert len((await mine.claim(10)).claimed) == 2
        await domain.database.change(let_leases_run_out)
        await mine.renew()
        assert min(await seconds_left(domain)) > LEASE_SECONDS / 2


async def test_a_process_does_not_take_its_own_work_for_somebody_else_s(
    store_url: str, tmp_path: Path
) -> None:
    async with with_mail_that_waits(tmp_path, store_url, GRANTED) as (_, domain, mine):
        assert len((await mine.claim(10)).claimed) == 1
        await domain.database.change(let_leases_run_out)  # the store was away for longer than a lease
        assert (await mine.claim(10)).claimed == ()
        assert min(await seconds_left(domain)) > LEASE_SECONDS / 2


async def test_what_it_has_just_let_go_of_is_not_left_under_a_lease_that_nobody_works_on(
    store_url: str, tmp_path: Path
) -> None:
    """A try has been written down, what is still owed is due at once, and the process has yet to hear of it."""
    async with with_mail_that_waits(tmp_path, store_url, GRANTED) as (_, domain, mine):
        (taken,) = (await mine.claim(10)).claimed
        await domain.database.change(
            lambda connection: connection.execute(update(queue).values(lease="", due_at=0.0))
        )
        assert (await mine.claim(10)).claimed == ()
        mine.let_go(one.delivery_id for one in taken.waiting)
        assert len((await mine.claim(10)).claimed) == 1


async def test_of_what_was_taken_over_nothing_is_written(store_url: str, tmp_path: Path) -> None:
    rules = (on("rcpt", say("550 5.1.1 No such user"), match=LOOSE), on("dot", slow(0.5)))
    async with ScriptedUpstream(on("connect", slow(0.5)), *rules) as upstream:
        where = site(tmp_path, store_url, upstream.url, **HOURS)
        async with running(where) as domain:
            assert (await send(where.smtp_port, newsletter(), UNKNOWN, LOOSE))[0] == 250
            await until(lambda: upstream.connections, "the try is under way")
            await domain.database.change(
                lambda connection: connection.execute(
                    update(queue).values(lease="another", due_at=database_now() + 3600.0)
                )
            )
            await until(lambda: upstream.received, "the try is over")
            await asyncio.sleep(0.5)
            assert set((await statuses(domain)).values()) == {"queued"}
            assert {row["lease"] for row in await rows(domain, queue)} == {"another"}
            assert not [one for one in upstream.received if SENDER in one.addresses], (
                "a report, though not ours"
            )


async def test_a_commit_that_came_too_late_to_be_heard_of_sends_nothing_twice(
    stores: Stores, tmp_path: Path
) -> None:
    tables = {"relay": {"wait_for_upstream": "300ms"}, "queue": {"first_retry": "100ms"}}
    async with (
        stores.fresh("postgresql", tmp_path) as store_url,
        ScriptedUpstream(on("dot", slow(1.5))) as upstream,
    ):
        store = {"url": store_url, "write_within": "1s"}
        where = site(tmp_path, store_url, upstream.url, store=store, **tables)
        async with running(where) as domain:
            sending = asyncio.create_task(send(where.smtp_port, newsletter(), GRANTED, UNKNOWN))
            await upstream.said("DATA")
            # The first keeps the writer busy until the second and what must be kept wait together; the second
            # then makes their common commit take longer than anybody waits.
            busy = [asyncio.create_task(domain.database.change(sleeping(0.6), within=30))]
            await asyncio.sleep(0.1)
            busy.append(asyncio.create_task(domain.database.change(sleeping(1.3), within=30)))
            assert (await sending)[0] == 250
            await asyncio.gather(*busy)
            await until(lambda: nothing_waits(domain), "what was kept in vain is gone")
            assert set(copies(upstream.received)) == {GRANTED, UNKNOWN}
            assert set((await statuses(domain)).values()) == {"accepted"}


def sleeping(seconds: float) -> Callable[[Connection], None]:
    def sleep(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    return sleep


DAMAGE = {
    "the client is no object": "UPDATE spool SET client = '[]' WHERE message_id = :id",
    "the message is gone": "DELETE FROM spool WHERE message_id = :id",
    "the envelope is of another release": """UPDATE spool SET envelope = '{"colour": 1}' WHERE message_id = :id""",
    "the JSON is none": "UPDATE spool SET client = 'x{' WHERE message_id = :id",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_row_is_set_aside_and_the_rest_is_served(
    store_kind: str, store_url: str, tmp_path: Path, damage: str
) -> None:
    if store_kind == "postgresql" and damage == "the JSON is none":
        pytest.skip("PostgreSQL's type cannot hold it")
    async with with_mail_that_waits(tmp_path, store_url, GRANTED, UNKNOWN) as (_, domain, mine):
        first, second = await rows(domain, queue)
        statement = text(DAMAGE[damage])
        await domain.database.change(
            lambda connection: connection.execute(statement, {"id": first["message_id"]})
        )
        claimed = (await mine.claim(10)).claimed
        assert [one.submission.id for one in claimed] == [second["message_id"]]
        states = {row["message_id"]: row["state"] for row in await rows(domain, queue)}
        assert states == {first["message_id"]: "damaged", second["message_id"]: "waiting"}


@pytest.mark.parametrize(
    "situation", ["nothing waits", "all is for later", "all is held by others", "damaged"]
)
async def test_the_worker_rests_while_there_is_nothing_to_do(
    store_url: str, tmp_path: Path, situation: str
) -> None:
    people = () if situation == "nothing waits" else (GRANTED, UNKNOWN)
    changes: dict[str, dict[str, Any]] = {
        "all is for later": {"due_at": database_now() + 3600.0},
        "all is held by others": {"lease": "another", "due_at": database_now() + 3600.0},
        "damaged": {"state": "damaged"},
    }
    async with with_mail_that_waits(tmp_path, store_url, *people) as (where, domain, _):
        if situation in changes:
            await domain.database.change(
                lambda connection: connection.execute(update(queue).values(**changes[situation]))
            )
        async with running(where) as watched:
            asked = statements(watched)
            await until(lambda: asked, "the worker looks")
            began, before = time.monotonic(), len(asked)
            await asyncio.sleep(0.7)
            assert len(asked) - before < 12 * (time.monotonic() - began), asked


def statements(domain: Domain) -> list[str]:
    """What the database is asked from now on."""
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    for engine in domain.database.engines:
        event.listen(engine, "before_cursor_execute", note)
    return asked


async def test_what_is_taken_in_goes_on_from_memory_while_nothing_older_waits(
    store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url, **HOURS)
        async with running(where) as domain:
            await until(lambda: is_open(domain), "the store answers")
            await asyncio.sleep(0.5)  # the worker has seen that nothing waits
            asked = statements(domain)
            assert (await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN))[0] == 250
            await until(lambda: nothing_waits(domain), "it is sent")
            assert set(copies(upstream.received)) == {GRANTED, UNKNOWN}
            kept = [one for one in asked if one.startswith("INSERT INTO spool")]
            read = [one for one in asked if one.startswith("SELECT") and "deliveries.mode" in one]
            assert (len(kept), read) == (1, [])


async def is_open(domain: Domain) -> bool:
    return await rows(domain, queue) == []
