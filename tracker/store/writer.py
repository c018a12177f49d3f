"""One task that commits for everybody: whatever queued up while its last commit ran goes into the next transaction,
grouped by statement. A batch that fails is tried again caller by caller, so that one bad row fails only its owner.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from tracker.errors import CandorError, StoreError, StoreUnavailable
from tracker.store.breaker import Breaker
from tracker.store.company import Company
from tracker.store.engines import reason, translated
from tracker.store.prepared import Statement, execute

T = TypeVar("T")

_MOST_JOBS = 500
_MOMENT = 0.003
"""Seconds that those who may wait do wait for others to share their transaction."""


class Transactions(Protocol):
    """What the writer needs of the database."""

    writes: Breaker
    write_within: float

    @property
    def transact(self) -> Callable[[Callable[[Connection], list[Any]]], Awaitable[list[Any]]]: ...


@dataclass(frozen=True, slots=True)
class Shared:
    work: Callable[[Connection, list[Any]], Sequence[Any]]
    item: Any


_Work = tuple[Statement, ...] | Callable[[Connection], Any] | Shared


@dataclass(slots=True)
class _Job:
    work: _Work
    within: float
    may_wait: bool
    future: asyncio.Future[Any]

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Batch:
    """What one transaction does: whatever waits when it begins. `run` may be called in another thread, and again where
    the database gave the first run up."""

    def __init__(self, waiting: deque[_Job], patience: float) -> None:
        self._waiting = waiting
        self._patience = max(patience, *(job.within for job in waiting))
        self._guard = threading.Lock()
        self._is_over = False
        self.jobs: list[_Job] = []

    @property
    def limit(self) -> float:
        """Longer than any caller waits: it is here only so that a dead connection ends one day."""
        return self._patience * 2

    def run(self, connection: Connection) -> list[Any]:
        with self._guard:
            if self._is_over:
                raise StoreUnavailable("the store is away")
            if not self.jobs:
                self._take()
        return _run_batch(connection, self.jobs)

    def end(self) -> list[_Job]:
        """From now on it takes nobody, should its transaction begin after all; gives whom it took."""
        with self._guard:
            self._is_over = True
        return self.jobs

    def _take(self) -> None:
        # Who may take longer goes into the next, whose limit is theirs.
        while self._waiting and len(self.jobs) < _MOST_JOBS and self._waiting[0].within <= self._patience:
            job = self._waiting.popleft()
            # Whoever stopped waiting was told so: doing it now would surprise them.
            if not job.future.done():
                self.jobs.append(job)


class Writer:
    """One task that commits whatever queued up until its transaction could begin."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._jobs: deque[_Job] = deque()
        self._company = Company(_MOMENT)
        self._task: asyncio.Task[None] | None = None

    async def submit(self, work: _Work, within: float, *, may_wait: bool = False) -> Any:
        """`may_wait`: for a moment, where others are likely to come; anybody else's work is begun at once."""
        self._database.writes.check()
        job = _Job(work, within, may_wait, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            return await in_time(job.future, within)
        except Late:
            self._database.writes.trip("a write took too long")
            raise StoreUnavailable("the store did not take a write in time") from None

    async def close(self, within: float) -> None:
        if self._task is not None:
            await end({self._task}, within)

    async def _run(self) -> None:
        try:
            while self._jobs:
                if all(job.may_wait for job in self._jobs):
                    await self._company.gather(self._jobs)
                await self._commit(_Batch(self._jobs, self._database.write_within))
        finally:
            self._task = None
            self._fail_waiting(StoreUnavailable("the store was closed"))

    def _fail_waiting(self, error: Exception) -> None:
        while self._jobs:
            self._jobs.popleft().fail(error)

    async def _commit(self, batch: _Batch) -> None:
        try:
            async with asyncio.timeout(batch.limit):
                results = await self._database.transact(batch.run)
        except asyncio.CancelledError:
            for job in batch.end():
                job.fail(StoreUnavailable("the store was closed"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the callers
            await self._failed(batch.end(), error)
        else:
            for job, result in zip(batch.jobs, results, strict=True):
                if not job.future.done():
                    job.future.set_result(result)

    async def _failed(self, jobs: list[_Job], error: Exception) -> None:
        """One bad row fails only its owner: unless the database itself is away, each job gets its own try."""
        final = translated(error)
        if isinstance(final, StoreUnavailable):
            self._database.writes.trip(reason(error))
            for job in jobs:
                job.fail(final)
            self._fail_waiting(final)
        elif len(jobs) > 1:
            for job in jobs:
                if self._database.writes.tripped:
                    job.fail(StoreUnavailable("the store is away"))
                elif not job.future.done():
                    await self._commit(_Batch(deque([job]), self._database.write_within))
        elif jobs:
            jobs[0].fail(_for_caller(final, jobs[0]))


def _for_caller(error: Exception, job: _Job) -> Exception:
    """What a function raised is its owner's; of statements the store says itself what is wrong with them."""
    ours = not isinstance(job.work, tuple) or isinstance(error, CandorError)
    return error if ours else StoreError(reason(error))


def _run_batch(connection: Connection, jobs: list[_Job]) -> list[Any]:
    shared: dict[Any, list[Any]] = {}
    for job in jobs:
        if isinstance(job.work, Shared):
            shared.setdefault(job.work.work, []).append(job.work.item)
    # First of all: the queue's end of a message is shared work. What it lets go of makes room for what is kept now, and
    # a page that is freed and filled again is written once.
    results = {work: iter(work(connection, items)) for work, items in shared.items()}
    execute(connection, (one for job in jobs if isinstance(job.work, tuple) for one in job.work))
    return [_result(connection, job, results) for job in jobs]


def _result(connection: Connection, job: _Job, shared: Mapping[Any, Iterator[Any]]) -> Any:
    if isinstance(job.work, tuple):
        return None
    return next(shared[job.work.work]) if isinstance(job.work, Shared) else job.work(connection)


class Late(Exception):
    """The time is up."""


async def in_time(future: asyncio.Future[T], within: float) -> T:
    """What comes of a future that is only ours, or Late after so many seconds: a limit that costs less than
    `asyncio.timeout`, for what nearly always comes in time."""
    timer = future.get_loop().call_later(within, _too_late, future)
    try:
        return await future
    finally:
        timer.cancel()


def _too_late(future: asyncio.Future[T]) -> None:
    if not future.done():
        future.set_exception(Late())


async def end(tasks: Collection[asyncio.Task[Any]], within: float) -> None:
    """Lets the tasks finish for so long, then cancels them."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=within)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
