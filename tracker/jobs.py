"""What is done by itself: the nightly purge, the signing of the ledger's head, the look at the last minutes' hits.

Every program of ours runs this, and no node is special: a job that is due is taken by whoever comes first. After
downtime what is overdue is done soon after the start. A job that fails is logged and tried again after a while, later
each time; mail and hits never wait for one.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial

from tracker import log
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.rolling import Rolling
from tracker.store import jobs as turns
from tracker.store.database import Database
from tracker.store.once import Once

_HOLD = timedelta(minutes=5)
_FIRST_LOOK = 60.0
"""Seconds after the start, give or take a half: a program that has just come up has other things to do."""
_LOOK_AGAIN = 300.0
"""Seconds between two looks at what is due, give or take a fifth, so that nodes do not look together."""
_REVIEW_EVERY = timedelta(minutes=5)
_REVIEWED_AT_FIRST = timedelta(days=1)
"""How far back hits are judged together when that was never done, or not for long."""
_FIRST_RETRY, _LONGEST_RETRY = timedelta(minutes=5), timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something to be done once a day, from `at` (UTC) on, or `every` so often. `work` is given the time and says what
    it did, which goes into the log where it is not empty."""

    name: str
    at: time = time()
    every: timedelta | None = None
    work: Callable[[datetime], Awaitable[str]]

    def next(self, now: datetime) -> datetime:
        """When it is due after it was done now."""
        if self.every is not None:
            return now + self.every
        today = datetime.combine(now.date(), self.at, now.tzinfo)
        return today if today > now else today + timedelta(days=1)


def nightly(domain: Domain, *, first_look: float = _FIRST_LOOK) -> Jobs:
    """The jobs of every program; the first look at them is about so many seconds after the start."""

    async def purge(now: datetime) -> str:
        await Once(domain.database).forget(now)
        return str(await domain.purge.run(now.date()))

    async def sign(now: datetime) -> str:
        head = await domain.proof.head(now, daily=True)
        return "the ledger is empty" if head is None else f"row {head.seq}"

    async def review(now: datetime) -> str:
        last = await domain.database.read(lambda connection: turns.done_at(connection, "review"))
        since = max(last or now - _REVIEWED_AT_FIRST, now - _REVIEWED_AT_FIRST) - 2 * _REVIEW_EVERY
        changed = await domain.verdicts.catch_up(now, since=since)
        return f"{changed} verdicts" if changed else ""

    jobs = (
        Job(name="purge", at=time(2, 30), work=purge),
        Job(name="sign-head", at=time(0, 5), work=sign),
        Job(name="review", every=_REVIEW_EVERY, work=review),
    )
    return Jobs(domain.database, jobs, first_look=first_look, rolling=Rolling(domain.database))


class Jobs:
    """`start()`, and `await stop()`. `clock` is the database's unless it is given."""

    def __init__(
        self,
        database: Database,
        jobs: Sequence[Job],
        *,
        clock: Callable[[], Awaitable[datetime]] | None = None,
        first_look: float = _FIRST_LOOK,
        rolling: Rolling | None = None,
        look_again: float = _LOOK_AGAIN,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock or self._database_time
        self._first_look = first_look
        self._look_again = look_again
        self._rolling = rolling
        self._name = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())
        if self._rolling is not None:
            self._rolling.start()

    async def stop(self) -> None:
        """Breaks off what runs: it is as due as before, here after the next start or on another node now."""
        if self._rolling is not None:
            await self._rolling.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> list[str]:
        """Does what is due now and nobody is at; gives the names of what was done. Never raises but when cancelled."""
        did = []
        for job in self._jobs:
            try:
                if await self._do(job):
                    did.append(job.name)
            except (
                StoreError
            ) as error:  # the job is held or due still: the next look, or another node, sees to it
                log.job_failed(job.name, str(error))
        return did

    async def _run(self) -> None:
        await asyncio.sleep(self._first_look * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
        while True:
            await self.look()
            await asyncio.sleep(self._look_again * random.uniform(0.8, 1.2))  # noqa: S311

    async def _do(self, job: Job) -> bool:
        now = await self._clock()
        taken = await self._database.change(
            lambda connection: turns.claim(connection, job.name, holder=self._name, now=now, hold=_HOLD)
        )
        if not taken:
            return False
        work = asyncio.create_task(self._work(job, now))
        holding = asyncio.create_task(self._hold(job, work))
        try:
            await asyncio.wait({work})
        finally:
            work.cancel()
            holding.cancel()
            await asyncio.gather(work, holding, return_exceptions=True)
            if work.cancelled():  # we are stopping; or another process has it, then this changes nothing
                await self._give_back(job)
        return not work.cancelled() and work.result()

    async def _work(self, job: Job, now: datetime) -> bool:
        try:
            did = await job.work(now)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one job, the others and the mail go on
            await self._failed(job, error)
            return False
        ended = await self._clock()
        await self._database.change(
            lambda connection: turns.done(
                connection, job.name, holder=self._name, now=ended, due_at=job.next(ended)
            )
        )
        if did:
            log.job_done(job.name, did)
        return True

    async def _failed(self, job: Job, error: Exception) -> None:
        """Tried again after a while that doubles each time. Only the store's own words are free of values."""
        log.job_failed(job.name, str(error) if isinstance(error, StoreError) else type(error).__name__)
        now = await self._clock()
        before = await self._database.read(lambda connection: turns.failures(connection, job.name))
        again = min(_FIRST_RETRY * 2 ** min(before, 10), _LONGEST_RETRY)
        await self._database.change(
            lambda connection: turns.failed(
                connection, job.name, holder=self._name, now=now, due_at=now + again
            )
        )

    async def _hold(self, job: Job, work: asyncio.Task[bool]) -> None:
        """Prolongs the hold as long as the work goes on, which ends when another process has taken it over."""
        while True:
            await asyncio.sleep(_HOLD.total_seconds() / 4)
            with suppress(StoreError):
                until = await self._clock() + _HOLD
                still = partial(turns.prolong, name=job.name, holder=self._name, until=until)
                held = await self._database.change(still)
                if not held:
                    work.cancel()
                    return

    async def _give_back(self, job: Job) -> None:
        with suppress(StoreError):
            now = await self._clock()
            await self._database.change(
                lambda connection: turns.give_back(connection, job.name, holder=self._name, now=now)
            )

    async def _database_time(self) -> datetime:
        return await self._database.read(turns.database_time)
