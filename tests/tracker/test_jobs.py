"""What is done by itself: once by one of all nodes, again when it failed, soon after downtime."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.lives import hit, newsletter
from support.sites import until
from support.tracking import configuration, dump, opened, say

from tracker.domain import Domain
from tracker.errors import StoreUnavailable
from tracker.jobs import Job, Jobs, nightly
from tracker.store import jobs as turns
from tracker.store.database import Database
from tracker.store.schema import Moment, jobs

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    async def __call__(self) -> datetime:
        return self.now


class Work:
    """Notes when it was done; fails as often as told."""

    def __init__(self, *, failing: int = 0, error: Exception | None = None) -> None:
        self.at: list[datetime] = []
        self._failing = failing
        self._error = error or RuntimeError("joe@people.example")

    async def __call__(self, now: datetime) -> str:
        self.at.append(now)
        await asyncio.sleep(0)
        if len(self.at) <= self._failing:
            raise self._error
        return "did it"


def a_job(work: Any, name: str = "sweep") -> Job:
    return Job(name=name, at=time(2, 30), work=work)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 5, 1, 2, 29, tzinfo=UTC), datetime(2026, 5, 1, 2, 30, tzinfo=UTC)),
        (datetime(2026, 5, 1, 2, 30, tzinfo=UTC), datetime(2026, 5, 2, 2, 30, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 0, tzinfo=UTC), datetime(2027, 1, 1, 2, 30, tzinfo=UTC)),
    ],
)
def test_a_job_is_due_at_its_hour(now: datetime, due: datetime) -> None:
    assert a_job(Work()).next(now) == due


async def test_it_is_done_at_first_then_once_a_night(database: Database) -> None:
    clock, work = Clock(), Work()
    runner = Jobs(database, [a_job(work)], clock=clock)
    assert [await runner.look(), await runner.look()] == [["sweep"], []]
    clock.now += timedelta(hours=14)  # 02:00
    assert await runner.look() == []
    clock.now += timedelta(minutes=30)
    assert [await runner.look(), await runner.look()] == [["sweep"], []]
    clock.now += timedelta(days=30)  # nobody was there
    assert [await runner.look(), await runner.look()] == [["sweep"], []]
    assert len(work.at) == 3


async def test_of_many_nodes_one_does_it(store_url: str) -> None:
    clock, work = Clock(), Work()
    nodes = [await Database.open(store_url, ask_within=20, write_within=30) for _ in range(4)]
    try:
        runners = [Jobs(node, [a_job(work)], clock=clock) for node in nodes]
        for _ in range(3):
            await asyncio.gather(*(runner.look() for runner in runners))
        assert len(work.at) == 1
    finally:
        for node in nodes:
            await node.close()


async def test_one_that_fails_is_tried_again_later_each_time_and_others_go_on(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, failing, other = Clock(), Work(failing=3), Work()
    runner = Jobs(database, [a_job(failing), a_job(other, "other")], clock=clock)
    waited = []
    for _ in range(4):
        await runner.look()
        begun, tries = clock.now, len(failing.at)
        while len(failing.at) == tries and tries < 4:
            clock.now += timedelta(minutes=5)
            await runner.look()
        waited.append((clock.now - begun) // timedelta(minutes=1))
    assert waited[:3] == [5, 10, 20]
    assert (len(failing.at), len(other.at)) == (4, 1)
    said = capsys.readouterr()
    assert "RuntimeError" in said.out + said.err
    assert "people.example" not in said.out + said.err


async def test_a_node_that_dies_at_it_is_followed_by_another(database: Database) -> None:
    clock, work = Clock(), Work()
    hold = timedelta(minutes=5)
    assert await database.change(
        lambda connection: turns.claim(connection, "sweep", holder="dead", now=clock.now, hold=hold)
    )
    runner = Jobs(database, [a_job(work)], clock=clock)
    assert await runner.look() == []
    clock.now += hold
    assert await runner.look() == ["sweep"]


async def test_stopping_breaks_it_off_and_leaves_it_due(database: Database) -> None:
    clock, begun = Clock(), asyncio.Event()

    async def endless(_now: datetime) -> str:
        begun.set()
        await asyncio.sleep(3600)
        return "never"

    runner = Jobs(database, [a_job(endless)], clock=clock, first_look=0)
    runner.start()
    await begun.wait()
    await runner.stop()
    assert await Jobs(database, [a_job(Work())], clock=clock).look() == ["sweep"]


async def test_who_has_lost_their_hold_changes_nothing(database: Database) -> None:
    clock, other = Clock(), "other"

    async def overtaken(now: datetime) -> str:
        clock.now = now + timedelta(minutes=6)
        assert await database.change(
            lambda connection: turns.claim(
                connection, "sweep", holder=other, now=clock.now, hold=timedelta(minutes=5)
            )
        )
        return "too late"

    await Jobs(database, [a_job(overtaken)], clock=clock).look()
    held = await database.change(
        lambda connection: turns.prolong(connection, "sweep", holder=other, until=clock.now)
    )
    assert held


async def test_a_store_that_is_away_fails_the_job_and_nothing_else(database: Database) -> None:
    work = Work(failing=1, error=StoreUnavailable("the store is away"))
    clock = Clock()
    runner = Jobs(database, [a_job(work)], clock=clock)
    assert await runner.look() == []
    clock.now += timedelta(minutes=5)
    assert await runner.look() == ["sweep"]


async def test_the_database_s_clock_is_a_clock(database: Database) -> None:
    now = await database.read(turns.database_time)
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=5)
    assert isinstance(jobs.c.due_at.type, Moment)


async def test_every_program_purges_and_signs_by_itself(store_url: str, tmp_path: Path) -> None:
    async with opened(configuration(store_url, tmp_path)) as domain:
        await say(domain, "joe@people.example", "granted")
        long_ago = datetime.now(UTC) - timedelta(days=1200)
        for copy in (await newsletter(domain, long_ago)).values():
            await hit(domain, copy, long_ago)
        runner = nightly(domain, first_look=0.0)
        runner.start()
        try:
            await until(lambda: _is_done(domain), "all are done")
        finally:
            await runner.stop()
        left = await dump(domain)
    assert left["events"] == left["deliveries"] == []
    assert len(left["ledger_heads"]) == 1


async def _is_done(domain: Domain) -> bool:
    rows = (await dump(domain))["jobs"]
    return {row[0] for row in rows if row[4] is not None} >= {"purge", "review", "sign-head"}
