"""One task that commits for everybody: whatever queued up while its last commit ran goes into the next transaction,
grouped by statement. A batch that fails is tried again caller by caller, so that one bad row fails only its owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Executable

from tracker.errors import CandorError, StoreError, StoreUnavailable
from tracker.store.breaker import Breaker
from tracker.store.engines import reason, translated

Statement = tuple[Executable, Sequence[Mapping[str, Any]]]
"""A statement and its rows. Statements that are the same object share one `executemany` in a batch."""

_MOST_JOBS = 500


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
    future: asyncio.Future[Any]

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Writer:
    """One task that commits whatever queued up while its last commit ran."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._jobs: list[_Job] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, work: _Work, within: float) -> Any:
        self._database.writes.check()
        job = _Job(work, within, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(within):
                return await job.future
        except TimeoutError:
            self._database.writes.trip("a write took too long")
            raise StoreUnavailable("the store did not take a write in time") from None

    async def close(self, within: float) -> None:
        if self._task is not None:
            await end({self._task}, within)

    async def _run(self) -> None:
        jobs: list[_Job] = []
        try:
            while self._jobs:
                jobs, self._jobs = self._jobs[:_MOST_JOBS], self._jobs[_MOST_JOBS:]
                # Whoever stopped waiting was told so: doing it now would surprise them.
                wanted = [job for job in jobs if not job.future.done()]
                if wanted:
                    await self._commit(wanted)
        finally:
            self._task = None
            for job in (*jobs, *self._jobs):
                job.fail(StoreUnavailable("the store was closed"))
            self._jobs.clear()

    async def _commit(self, jobs: list[_Job]) -> None:
        try:
            # Longer than any caller waits: the limit is here only so that a dead connection ends one day.
            async with asyncio.timeout(max(self._database.write_within, *(job.within for job in jobs)) * 2):
                results = await self._database.transact(lambda connection: _run_batch(connection, jobs))
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the callers
            await self._failed(jobs, error)
        else:
            for job, result in zip(jobs, results, strict=True):
                if not job.future.done():
                    job.future.set_result(result)

    async def _failed(self, jobs: list[_Job], error: Exception) -> None:
        """One bad row fails only its owner: unless the database itself is away, each job gets its own try."""
        final = translated(error)
        if isinstance(final, StoreUnavailable):
            self._database.writes.trip(reason(error))
            for job in (*jobs, *self._jobs):
                job.fail(final)
            self._jobs.clear()
        elif len(jobs) > 1:
            for job in jobs:
                if self._database.writes.tripped:
                    job.fail(StoreUnavailable("the store is away"))
                elif not job.future.done():
                    await self._commit([job])
        else:
            jobs[0].fail(_for_caller(final, jobs[0]))


def _for_caller(error: Exception, job: _Job) -> Exception:
    """What a function raised is its owner's; of statements the store says itself what is wrong with them."""
    ours = not isinstance(job.work, tuple) or isinstance(error, CandorError)
    return error if ours else StoreError(reason(error))


def execute(connection: Connection, statements: Iterable[Statement]) -> None:
    """Runs the statements, all rows of the same statement together, in the order each was first met."""
    grouped: dict[int, tuple[Executable, list[Mapping[str, Any]]]] = {}
    for statement, rows in statements:
        if rows:
            grouped.setdefault(id(statement), (statement, []))[1].extend(rows)
    for statement, together in grouped.values():
        connection.execute(statement, together)


def _run_batch(connection: Connection, jobs: list[_Job]) -> list[Any]:
    execute(connection, (one for job in jobs if isinstance(job.work, tuple) for one in job.work))
    shared: dict[Any, list[Any]] = {}
    for job in jobs:
        if isinstance(job.work, Shared):
            shared.setdefault(job.work.work, []).append(job.work.item)
    results = {work: iter(work(connection, items)) for work, items in shared.items()}
    return [_result(connection, job, results) for job in jobs]


def _result(connection: Connection, job: _Job, shared: Mapping[Any, Iterator[Any]]) -> Any:
    if isinstance(job.work, tuple):
        return None
    return next(shared[job.work.work]) if isinstance(job.work, Shared) else job.work(connection)


async def end(tasks: Collection[asyncio.Task[Any]], within: float) -> None:
    """Lets the tasks finish for so long, then cancels them."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=within)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
