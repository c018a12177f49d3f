"""The engine: SQLite or PostgreSQL behind one batching writer, coalesced readers and a breaker.

Callers never wait on a driver: they wait on a future, for as long as they said, while one task per direction
speaks to the database. When the database is slow, locked or gone, callers hear `StoreUnavailable` within their
limit, later ones at once, until a probe finds it back. A write whose caller has gone is not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.config import without_password
from tracker.errors import StoreError, StoreUnavailable
from tracker.store import migrate
from tracker.store.breaker import Breaker
from tracker.store.company import Company
from tracker.store.engines import reason, translated
from tracker.store.postgresql import Postgresql
from tracker.store.prepared import Statement, execute
from tracker.store.sqlite import Sqlite
from tracker.store.writer import Late, Shared, Writer, end, in_time

__all__ = ["Database", "Statement", "execute"]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

Fetch = Callable[[Connection, list[K]], dict[K, V]]

_MOST_KEYS = 900  # SQLite's oldest limit on bound parameters is 999
_LEAST_PATIENCE = 2.0
_MOMENT = 0.0015
"""Seconds that those who may wait do wait for others to share their question."""
_CUT_AGAIN = 0.05


class Database:
    """Open with `await Database.open(url)`, close with `await close()`."""

    def __init__(self, url: str, *, ask_within: float, write_within: float) -> None:
        self._url = make_url(url)
        self.dialect = "sqlite" if self._url.drivername.startswith("sqlite") else "postgresql"
        self.ask_within = ask_within
        self.write_within = write_within
        kind = Sqlite if self.dialect == "sqlite" else Postgresql
        self._server: Sqlite | Postgresql = kind(self._url, ask_within, write_within)
        self.reads = Breaker("reads", self._probe_read, patience=max(ask_within, _LEAST_PATIENCE))
        self.writes = Breaker("writes", self._probe_write, patience=max(write_within, _LEAST_PATIENCE))
        self._is_awaited = False
        self._writer = Writer(self)
        self._coalescers: list[Coalescer[Any, Any]] = []
        self._abandoned: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str, *, ask_within: float = 1.0, write_within: float = 5.0) -> Database:
        """Connects and brings the tables up to date. Raises StoreUnavailable, StoreError."""
        database = cls(url, ask_within=ask_within, write_within=write_within)
        try:
            if database.dialect == "sqlite" and (file := database._url.database):
                _make_private(Path(file))
            await database.transact(migrate.upgrade)
        except BaseException as error:
            await database.close()
            if isinstance(error, OSError | SQLAlchemyError):
                kind = type(translated(error))
                raise kind(f"cannot open the store {database.shown_url}: {reason(error)}") from None
            raise
        return database

    @classmethod
    def awaited(
        cls, url: str, reason: str, *, ask_within: float = 1.0, write_within: float = 5.0
    ) -> Database:
        """One that is away, for this `reason`, until `there` is called: whoever that is has opened it elsewhere, so that
        its tables are up to date."""
        database = cls(url, ask_within=ask_within, write_within=write_within)
        database._is_awaited = True
        database.reads.trip(reason)
        database.writes.trip(reason)
        return database

    def there(self) -> None:
        """An awaited store is there: it answers from the next look on."""
        self._is_awaited = False

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return without_password(self._url.render_as_string(hide_password=True))

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None where there is none."""
        name = self._url.database if self.dialect == "sqlite" else None
        return Path(name) if name and name != ":memory:" else None

    @property
    def engines(self) -> set[Engine]:
        """What statements go through: for whoever wants to listen."""
        return {self._server.reading, self._server.writing}

    async def session(self) -> AsyncConnection:
        """Of PostgreSQL, a connection of its own that stays open until its user or the store is closed, each statement
        its own transaction. Raises OSError, SQLAlchemyError."""
        assert isinstance(self._server, Postgresql)  # noqa: S101 - a file has no sessions
        return await self._server.session()

    async def end_session(self, session: AsyncConnection) -> None:
        """Closes what `session` gave, and with it whatever locks it holds."""
        assert isinstance(self._server, Postgresql)  # noqa: S101
        await self._server.end_session(session, self.ask_within)

    async def close(self) -> None:
        """Finishes what was handed over, as far as the database goes along, then lets go of every connection."""
        await self._writer.close(self.write_within)
        for coalescer in self._coalescers:
            await coalescer.close(self.ask_within)
        await self.reads.close()
        await self.writes.close()
        await end(self._abandoned, self.ask_within)
        await self._server.close(self.ask_within)

    async def write(
        self, *statements: Statement, within: float | None = None, may_wait: bool = False
    ) -> None:
        """Runs the statements in one transaction, shared with whoever else is waiting; returns once it is on
        disk. `may_wait`: for a moment, where others are likely to come. Raises StoreUnavailable, StoreError."""
        await self._writer.submit(
            statements, self.write_within if within is None else within, may_wait=may_wait
        )

    async def change(self, work: Callable[[Connection], T], *, within: float | None = None) -> T:
        """Runs a read-modify-write inside a transaction. It may run twice (alone, when its batch failed), so it
        keeps no state outside the connection. Raises StoreUnavailable, StoreError, and what `work` raises."""
        result: T = await self._writer.submit(work, self.write_within if within is None else within)
        return result

    async def together(
        self,
        work: Callable[[Connection, list[K]], Sequence[T]],
        item: K,
        *,
        within: float | None = None,
        may_wait: bool = False,
    ) -> T:
        """A read-modify-write for `item` that all who wait with the same `work` share: it is called once for their
        items, in one transaction, and gives a result for each. As `change` otherwise; `may_wait` as for `write`."""
        shared = Shared(work, item)
        result: T = await self._writer.submit(
            shared, self.write_within if within is None else within, may_wait=may_wait
        )
        return result

    async def read(self, work: Callable[[Connection], T], *, within: float | None = None) -> T:
        """Runs a query for a page or a command. Hot paths use `coalesced`. Raises StoreUnavailable, StoreError, and
        what `work` raises."""
        return await self._ask(self.run_read(work), within)

    async def view(self, work: Callable[[Connection], T], *, within: float | None = None) -> T:
        """As `read`, but all that `work` asks sees one state of the database: for sums over several tables."""
        return await self._ask(self._run_view(work), within)

    async def _ask(self, asking: Coroutine[Any, Any, T], within: float | None) -> T:
        try:
            self.reads.check()
        except StoreError:
            asking.close()
            raise
        # A task of its own: a driver may take seconds to give up a query that nobody waits for any more.
        task = asyncio.create_task(asking)
        try:
            done, _ = await asyncio.wait({task}, timeout=self.ask_within if within is None else within)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        if not done:
            self._abandon(task)
            raise StoreUnavailable("the store did not answer in time")
        return task.result()

    async def forget(self) -> None:
        """Cuts SQLite's write-ahead log, which still holds erased pages as they were until it is checkpointed.

        Raises StoreUnavailable when others use the log for so long that it could not be cut."""
        if self.dialect != "sqlite":
            return
        try:
            async with asyncio.timeout(self.write_within + self.ask_within):
                while await self.read(_cut_log, within=self.write_within + self.ask_within):  # noqa: ASYNC110
                    await asyncio.sleep(_CUT_AGAIN)
        except TimeoutError:
            raise StoreUnavailable(
                "what was erased is gone from the tables, but the write-ahead log, in use by others, may still hold "
                "it: erase again"
            ) from None

    async def run_read(self, work: Callable[[Connection], T]) -> T:
        return await self._translated(self._server.read(work))

    async def _run_view(self, work: Callable[[Connection], T]) -> T:
        # Nothing is begun before somebody awaits it: `_ask` may close us first.
        return await self._translated(self._server.view(work))

    async def _translated(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            return await asking
        except (OSError, SQLAlchemyError) as error:
            raise translated(error) from error

    def coalesced(self, fetch: Fetch[K, V], *, may_wait: bool = False) -> Coalescer[K, V]:
        """A reader that answers everybody who asked while the last query ran with the next one. `may_wait`: that is
        put off for a moment where others are likely to ask."""
        coalescer = Coalescer(self, fetch, Company(_MOMENT) if may_wait else None)
        self._coalescers.append(coalescer)
        return coalescer

    async def _probe_read(self) -> None:
        self._check_awaited()
        await self.run_read(lambda connection: connection.execute(text("SELECT 1")).close())

    async def _probe_write(self) -> None:
        self._check_awaited()
        await self.transact(lambda connection: connection.execute(text("SELECT 1")).close())

    def _check_awaited(self) -> None:
        if self._is_awaited:
            raise StoreUnavailable("the store was not there yet")

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction of its own; again when the database gave it up for another's sake."""
        return await self._server.transact(work)

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._abandoned.add(task)
        task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # seen: nobody is left to hear it


_Waiting = list[tuple[Collection[K], asyncio.Future[dict[K, V]]]]


class Coalescer(Generic[K, V]):
    """Asks for many callers at once. Keys without an answer are absent from the result."""

    def __init__(self, database: Database, fetch: Fetch[K, V], company: Company | None = None) -> None:
        self._database = database
        self._fetch = fetch
        self._company = company
        self._waiting: _Waiting[K, V] = []
        self._task: asyncio.Task[None] | None = None

    async def get(self, keys: Collection[K], *, within: float | None = None) -> dict[K, V]:
        """What the store knows of `keys`. Raises StoreUnavailable when it does not say in time."""
        self._database.reads.check()
        future: asyncio.Future[dict[K, V]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            found = await in_time(future, self._database.ask_within if within is None else within)
        except Late:
            self._database.reads.trip("a question took too long")
            raise StoreUnavailable("the store did not answer in time") from None
        return {key: found[key] for key in keys if key in found}

    async def close(self, within: float) -> None:
        """Answers whoever waits, as far as the database goes along."""
        if self._task is not None:
            await end({self._task}, within)

    async def _run(self) -> None:
        waiting: _Waiting[K, V] = []
        try:
            while self._waiting:
                if self._company is not None:
                    await self._company.gather(self._waiting)
                waiting, self._waiting = self._waiting, []
                waiting = [(keys, future) for keys, future in waiting if not future.done()]
                if waiting:
                    await self._answer(waiting)
        finally:
            self._task = None
            _fail((*waiting, *self._waiting), StoreUnavailable("the store was closed"))
            self._waiting.clear()

    async def _answer(self, waiting: _Waiting[K, V]) -> None:
        keys = list({key for some, _ in waiting for key in some})
        found: dict[K, V] = {}
        try:
            async with asyncio.timeout(self._database.ask_within * 2):
                for start in range(0, len(keys), _MOST_KEYS):
                    found |= await self._ask(keys[start : start + _MOST_KEYS])
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the callers
            await self._failed(waiting, translated(error))
        else:
            for _, future in waiting:
                if not future.done():
                    future.set_result(found)

    async def _failed(self, waiting: _Waiting[K, V], error: Exception) -> None:
        """One bad key fails only who asked for it, as with writes."""
        if isinstance(error, StoreUnavailable):
            self._database.reads.trip(str(error))
            _fail(waiting, error)
        elif len(waiting) > 1:
            for one in waiting:
                await self._answer([one])
        else:
            _fail(waiting, error)

    async def _ask(self, keys: list[K]) -> dict[K, V]:
        return await self._database.run_read(lambda connection: self._fetch(connection, keys))


def _fail(waiting: Iterable[tuple[Any, asyncio.Future[Any]]], error: Exception) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)


def _cut_log(connection: Connection) -> int:
    return int(connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).scalar_one())


def _make_private(file: Path) -> None:
    """People's addresses and choices will stand in it: nobody else on the machine may read them. SQLite gives its
    other files the mode of this one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        file.touch(mode=0o600)
