"""The engine: SQLite or PostgreSQL behind one batching writer, coalesced readers and a breaker.

Callers never wait on a driver: they wait on a future, for as long as they said, while one task per direction
speaks to the database. When the database is slow, locked or gone, callers hear `StoreUnavailable` within their
limit, later ones at once, until a probe finds it back. A write whose caller has gone is not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Executable, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from tracker import log
from tracker.errors import StoreError, StoreUnavailable
from tracker.store import migrate

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

Statement = tuple[Executable, Sequence[Mapping[str, Any]]]
"""A statement and its rows. Statements that are the same object share one `executemany` in a batch."""

Fetch = Callable[[Connection, list[K]], dict[K, V]]

_MOST_JOBS = 500
_MOST_KEYS = 900  # SQLite's oldest limit on bound parameters is 999
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_PROBE_PAUSE = 0.5
_GOOD_BYE = 5.0


class Database:
    """Open with `await Database.open(url)`, close with `await close()`."""

    def __init__(self, url: str, *, ask_within: float, write_within: float) -> None:
        self._url = make_url(url)
        self.dialect = "sqlite" if self._url.drivername.startswith("sqlite") else "postgresql"
        self.ask_within = ask_within
        self.write_within = write_within
        if self.dialect == "sqlite":
            self._writing = _sqlite(self._url.database, write_within, pool=1, writer=True)
            self._reading = _sqlite(self._url.database, ask_within, pool=6, writer=False)
        else:
            self._writing = self._reading = _postgresql(self._url, ask_within, write_within)
        self.reads = Breaker("reads", self._probe_read)
        self.writes = Breaker("writes", self._probe_write)
        self._writer = _Writer(self)

    @classmethod
    async def open(cls, url: str, *, ask_within: float = 1.0, write_within: float = 5.0) -> Database:
        """Connects and brings the tables up to date. Raises StoreUnavailable, StoreError."""
        database = cls(url, ask_within=ask_within, write_within=write_within)
        try:
            if database.dialect == "sqlite" and (file := database._url.database):
                Path(file).parent.mkdir(parents=True, exist_ok=True)
            await migrate.upgrade(database._writing)
        except (OSError, SQLAlchemyError) as error:
            await database.close()
            raise StoreUnavailable(f"cannot open the store {database.shown_url}: {_reason(error)}") from None
        return database

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    async def close(self) -> None:
        """Finishes what was handed over, then lets go of every connection."""
        await self._writer.close()
        await self.reads.close()
        await self.writes.close()
        for engine in {self._reading, self._writing}:
            # A connection whose other end hangs cannot be closed politely.
            with suppress(TimeoutError):
                async with asyncio.timeout(_GOOD_BYE):
                    await engine.dispose()

    async def write(self, *statements: Statement, within: float | None = None) -> None:
        """Runs the statements in one transaction, shared with whoever else is waiting; returns once it is on
        disk. Raises StoreUnavailable, StoreError."""
        await self._writer.submit(statements, self.write_within if within is None else within)

    async def change(self, work: Callable[[Connection], T], *, within: float | None = None) -> T:
        """Runs a read-modify-write inside a transaction. It may run twice (alone, when its batch failed), so it
        keeps no state outside the connection. Raises StoreUnavailable, StoreError, and what `work` raises."""
        result: T = await self._writer.submit(work, self.write_within if within is None else within)
        return result

    async def read(self, work: Callable[[Connection], T], *, within: float | None = None) -> T:
        """Runs a query for a page or a command. Hot paths use `coalesced`. Raises StoreUnavailable."""
        self.reads.check()
        limit = self.ask_within if within is None else within
        try:
            async with asyncio.timeout(limit):
                return await self.run_read(work)
        except TimeoutError:
            raise StoreUnavailable("the store did not answer in time") from None

    async def forget(self) -> None:
        """Cuts SQLite's write-ahead log, which still holds erased pages as they were until it is checkpointed."""
        if self.dialect == "sqlite":
            await self.run_read(
                lambda connection: connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            )

    async def run_read(self, work: Callable[[Connection], T]) -> T:
        try:
            async with self._reading.connect() as connection:
                return await connection.run_sync(work)
        except (OSError, SQLAlchemyError) as error:
            raise translated(error) from error

    def coalesced(self, fetch: Fetch[K, V]) -> Coalescer[K, V]:
        """A reader that answers everybody who asked while the last query ran with the next one."""
        return Coalescer(self, fetch)

    async def _probe_read(self) -> None:
        await self.run_read(lambda connection: connection.execute(text("SELECT 1")))

    async def _probe_write(self) -> None:
        async with self._writing.begin() as connection:
            await connection.execute(text("SELECT 1"))

    async def transact(self, work: Callable[[Connection], T]) -> T:
        async with self._writing.begin() as connection:
            return await connection.run_sync(work)


class Breaker:
    """Closed while the database answers. A failure trips it; a probe in the background closes it again."""

    def __init__(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._probe = probe
        self._watch: asyncio.Task[None] | None = None

    @property
    def tripped(self) -> bool:
        return self._watch is not None

    def check(self) -> None:
        """Raises StoreUnavailable while tripped."""
        if self._watch is not None:
            raise StoreUnavailable("the store is away")

    def trip(self, reason: str) -> None:
        if self._watch is None:
            log.store_away(self._name, reason)
            self._watch = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(_PROBE_PAUSE)
            with suppress(
                Exception
            ):  # whatever it is, it is not back; a probe that died would never ask again
                async with asyncio.timeout(_PROBE_PAUSE * 4):
                    await self._probe()
                self._watch = None
                log.store_back(self._name)
                return

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None


@dataclass(slots=True)
class _Job:
    work: tuple[Statement, ...] | Callable[[Connection], Any]
    future: asyncio.Future[Any]


class _Writer:
    """One task that commits whatever queued up while its last commit ran."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: list[_Job] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, work: tuple[Statement, ...] | Callable[[Connection], Any], within: float) -> Any:
        self._database.writes.check()
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(within):
                return await job.future
        except TimeoutError:
            self._database.writes.trip("a write took too long")
            raise StoreUnavailable("the store did not take a write in time") from None

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._jobs:
                jobs, self._jobs = self._jobs[:_MOST_JOBS], self._jobs[_MOST_JOBS:]
                # Whoever stopped waiting was told so: doing it now would surprise them.
                wanted = [job for job in jobs if not job.future.done()]
                if wanted:
                    await self._commit(wanted)
        finally:
            self._task = None

    async def _commit(self, jobs: list[_Job]) -> None:
        try:
            # Longer than any caller waits: the limit is here only so that a dead connection ends one day.
            async with asyncio.timeout(self._database.write_within * 2):
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
            self._database.writes.trip(_reason(error))
            jobs += self._jobs
            self._jobs.clear()
        elif len(jobs) > 1:
            for job in jobs:
                if not job.future.done():
                    await self._commit([job])
            return
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(final)


def execute(connection: Connection, statements: Iterable[Statement]) -> None:
    """Runs the statements, all rows of the same statement together, in the order each was first met."""
    grouped: dict[int, tuple[Executable, list[Mapping[str, Any]]]] = {}
    for statement, rows in statements:
        if rows:
            grouped.setdefault(id(statement), (statement, []))[1].extend(rows)
    for statement, together in grouped.values():
        connection.execute(statement, together)


def _run_batch(connection: Connection, jobs: list[_Job]) -> list[Any]:
    execute(connection, (one for job in jobs if not callable(job.work) for one in job.work))
    return [job.work(connection) if callable(job.work) else None for job in jobs]


class Coalescer(Generic[K, V]):
    """Asks for many callers at once. Keys without an answer are absent from the result."""

    def __init__(self, database: Database, fetch: Fetch[K, V]) -> None:
        self._database = database
        self._fetch = fetch
        self._waiting: list[tuple[Collection[K], asyncio.Future[dict[K, V]]]] = []
        self._task: asyncio.Task[None] | None = None

    async def get(self, keys: Collection[K], *, within: float | None = None) -> dict[K, V]:
        """What the store knows of `keys`. Raises StoreUnavailable when it does not say in time."""
        self._database.reads.check()
        future: asyncio.Future[dict[K, V]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._database.ask_within if within is None else within):
                found = await future
        except TimeoutError:
            self._database.reads.trip("a question took too long")
            raise StoreUnavailable("the store did not answer in time") from None
        return {key: found[key] for key in keys if key in found}

    async def _run(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                waiting = [(keys, future) for keys, future in waiting if not future.done()]
                await self._answer(waiting)
        finally:
            self._task = None

    async def _answer(self, waiting: list[tuple[Collection[K], asyncio.Future[dict[K, V]]]]) -> None:
        keys = list({key for some, _ in waiting for key in some})
        found: dict[K, V] = {}
        try:
            async with asyncio.timeout(self._database.ask_within * 2):
                for start in range(0, len(keys), _MOST_KEYS):
                    found |= await self._ask(keys[start : start + _MOST_KEYS])
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the callers
            final = translated(error)
            if isinstance(final, StoreUnavailable):
                self._database.reads.trip(_reason(error))
            for _, future in waiting:
                if not future.done():
                    future.set_exception(final)
        else:
            for _, future in waiting:
                if not future.done():
                    future.set_result(found)

    async def _ask(self, keys: list[K]) -> dict[K, V]:
        return await self._database.run_read(lambda connection: self._fetch(connection, keys))


def translated(error: Exception) -> Exception:
    """The store's word for a driver's error: StoreUnavailable where waiting may help, StoreError where not."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, TimeoutError | OSError):
        return StoreUnavailable(_reason(error))
    if isinstance(error, DBAPIError):
        return StoreUnavailable(_reason(error)) if _may_pass(error) else StoreError(_reason(error))
    # A value that no database can hold: SQLite's driver raises what Python raised.
    return StoreError(_reason(error)) if isinstance(error, SQLAlchemyError | UnicodeError) else error


_PASSING = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58")
"""Classes and codes of PostgreSQL's errors (appendix A of its manual) that say nothing about the statement:
connection, read-only standby, login, database, serialization, resources, locks, shutdown and start-up, system."""


def _may_pass(error: DBAPIError) -> bool:
    """Is it the database that is in trouble, and not the statement?"""
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return bool(state.startswith(_PASSING))
    # asyncpg calls a value that it cannot send an interface error too.
    refused = error.orig is not None and isinstance(error.orig.__cause__, ValueError)
    return error.connection_invalidated or (
        isinstance(error, OperationalError | InterfaceError) and not refused
    )


def _reason(error: Exception) -> str:
    """The driver's first line, without statement and parameters: those hold addresses."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else ''}"[:200]


def _sqlite(file: str | None, patience: float, *, pool: int, writer: bool) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{file or ':memory:'}",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=patience * 2,
        # Readers see one statement's snapshot each: no BEGIN, no ROLLBACK, two hand-offs less to the thread.
        isolation_level="SERIALIZABLE" if writer else "AUTOCOMMIT",
        pool_reset_on_return="rollback" if writer else None,
    )
    # The driver gives up before its caller does, so that no thread is left waiting for a lock.
    pragmas = (
        f"PRAGMA busy_timeout={int(patience * 800)}",
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA secure_delete=ON",
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # sqlite3's own BEGIN is deferred: two writers would deadlock
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    if writer:

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql(url: Any, ask_within: float, write_within: float) -> AsyncEngine:
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=8,
        max_overflow=4,
        pool_timeout=ask_within * 2,
        connect_args={
            "timeout": max(ask_within, write_within),
            "server_settings": {"application_name": "candor", "lock_timeout": str(int(write_within * 1000))},
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # What we call written is on disk, whatever the server's default; who asked for more than that keeps it.
        connection.execute(_DURABLE)
        connection.commit()

    return engine
