"""SQLite: one thread that writes and a few that read, each with a connection of its own.

A transaction is one errand to its thread, whatever its number of statements. The thread may have to wait for another
process; whoever asked need not: an errand that is given up is left out, or broken off where it has begun.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tracker.errors import StoreUnavailable

T = TypeVar("T")

_READERS = 6
_NAP = 3
"""Milliseconds the driver itself waits for the write lock at a time: after 1 and 3 it gives up, and is told to try
again. Left to itself it would soon sleep 100 at a time, and find the lock taken again."""
_BUSY = 5
_CHECKPOINT_AFTER, _CHECKPOINTS_APART = 1000, 1.0
"""Rows changed, and seconds since the last one, until what the log holds is brought into the database's own file. While
that goes on commits wait longer for the disk: the more seldom, the fewer they are."""
_FULL_LOG = 6000
"""Pages of the log after which the writer brings in, between two commits, the few that came while that was done beside
it: only so the log begins anew while there is always something to write."""
_LOG_PAGES = 16_000
"""Pages after which it does all of that, in somebody's commit: where nobody else came to it."""


class _Errand(Generic[T]):
    """A piece of work for a thread, and who waits for it."""

    def __init__(
        self, work: Callable[[Connection], T], future: asyncio.Future[T], over: Callable[[_Errand[T]], None]
    ) -> None:
        """`over` is called in the loop when the thread has done with it."""
        self._work = work
        self._over = over
        self._loop = future.get_loop()
        self._future = future
        self._guard = threading.Lock()
        self._driver: sqlite3.Connection | None = None
        self._given_up = False

    def run(self, connect: Callable[[], Connection]) -> None:
        """In the thread."""
        try:
            connection = self._begin(connect)
            result = self._work(connection)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it goes to who asked
            self._end()
            self._tell(self._fail, error)
        else:
            self._end()
            self._tell(self._succeed, result)

    def give_up(self) -> None:
        """In the loop: nobody waits any more."""
        with self._guard:
            self._given_up = True
            if self._driver is not None:
                self._driver.interrupt()

    def _begin(self, connect: Callable[[], Connection]) -> Connection:
        connection = connect()
        with self._guard:
            if self._given_up:
                raise asyncio.CancelledError
            self._driver = connection.connection.driver_connection
        return connection

    def _end(self) -> None:
        """From here on an interruption would hit another's work."""
        with self._guard:
            self._driver = None

    def _tell(self, what: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(what, value)

    def _succeed(self, result: T) -> None:
        self._over(self)
        if not self._future.done():
            self._future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        self._over(self)
        if not self._future.done():
            # A future takes no StopIteration.
            self._future.set_exception(RuntimeError() if isinstance(error, StopIteration) else error)


class _File:
    """The database's file, as it was when it was first opened. Deleted or replaced it would go on taking what nobody
    can find again."""

    def __init__(self, name: str | None) -> None:
        self._name = name if name and not name.startswith((":memory:", "file:")) else None
        self._identity: tuple[int, int] | None = None

    def opened(self) -> None:
        """There is a connection to it."""
        if self._name is not None and self._identity is None:
            self._identity = self._found(self._name)

    def check(self) -> None:
        """Raises StoreUnavailable where the name leads to no file, or to another."""
        if (
            self._name is not None
            and self._identity is not None
            and self._found(self._name) != self._identity
        ):
            raise StoreUnavailable(
                "the store's file was deleted or replaced while it was open; put it back, or restart on the new one"
            )

    @staticmethod
    def _found(name: str) -> tuple[int, int] | None:
        try:
            found = os.stat(name)
        except OSError:
            return None
        return found.st_dev, found.st_ino


class _Threads:
    """As many threads as there is work for, up to `most`; each opens its connection when it first needs it."""

    def __init__(self, name: str, engine: Engine, most: int, file: _File) -> None:
        self._name = name
        self._engine = engine
        self._most = most
        self._file = file
        self._ended: list[asyncio.Future[None]] = []
        """One for each thread."""
        self._errands: SimpleQueue[_Errand[Any] | None] = SimpleQueue()
        self._open: set[_Errand[Any]] = set()

    async def run(self, work: Callable[[Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        errand = _Errand(work, future, self._open.discard)
        self._open.add(errand)
        if len(self._open) > len(self._ended) < self._most:
            self._start()
        self._errands.put(errand)
        try:
            return await future
        except asyncio.CancelledError:
            errand.give_up()
            raise

    async def close(self, within: float) -> None:
        """Breaks off what nobody waited for to the end, and lets go of the connections, as far as that works so soon."""
        for errand in self._open:
            errand.give_up()
        for _ in self._ended:
            self._errands.put(None)
        if self._ended:
            await asyncio.wait(self._ended, timeout=within)

    def _start(self) -> None:
        ended = asyncio.get_running_loop().create_future()
        self._ended.append(ended)
        threading.Thread(target=self._serve, args=(ended,), name=f"store-{self._name}", daemon=True).start()

    def _serve(self, ended: asyncio.Future[None]) -> None:
        connection: Connection | None = None

        def connect() -> Connection:
            nonlocal connection
            self._file.check()  # the driver would make a new one where it is gone
            if connection is None or connection.invalidated:
                connection = self._engine.connect()
                self._file.opened()
            return connection

        while (errand := self._errands.get()) is not None:
            errand.run(connect)
            del errand  # nor its result, while there is nothing to do
        if connection is not None:
            with suppress(SQLAlchemyError):  # what is committed is in the log, and stays there
                connection.close()
        with suppress(RuntimeError):  # the loop did not wait for us
            ended.get_loop().call_soon_threadsafe(ended.set_result, None)


class Sqlite:
    """Transactions and reads on a SQLite file. `patience` is seconds; the driver gives up a little earlier than whoever
    waits, so that no thread is left waiting for a lock."""

    def __init__(self, url: URL, ask_within: float, write_within: float) -> None:
        url = url.set(drivername="sqlite")
        self.writing = _engine(url, write_within, writer=True)
        self.reading = _engine(url, ask_within, writer=False)
        self._patience = write_within * 0.8
        self._file = _File(url.database)
        self._writer = _Threads("writer", self.writing, 1, self._file)
        self._readers = _Threads("reader", self.reading, _READERS, self._file)
        self._checkpoints = _Threads("checkpoint", self.reading, 1, self._file)
        self._checkpoint: asyncio.Task[None] | None = None
        self._changes = self._brought_in = 0
        self._next_checkpoint = 0.0

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction that has the write lock from its beginning. Raises OSError, SQLAlchemyError."""
        result = await self._writer.run(lambda connection: self._transact(connection, work))
        if not 0 <= self._changes - self._brought_in < _CHECKPOINT_AFTER:  # a new connection counts anew
            self._checkpoint_beside()
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work`, each of whose statements sees one state of the database. Raises OSError, SQLAlchemyError."""
        return await self._readers.run(lambda connection: _read(connection, work))

    async def view(self, work: Callable[[Connection], T]) -> T:
        """Runs `work`, all of whose statements see one state of the database. Raises OSError, SQLAlchemyError."""
        return await self._readers.run(lambda connection: _view(connection, work))

    async def close(self, within: float) -> None:
        """Lets go of every connection."""
        await self._checkpoints.close(within)
        if self._checkpoint is not None:
            await asyncio.gather(self._checkpoint, return_exceptions=True)
        await self._readers.close(within)
        await self._writer.close(within)

    def _transact(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        latest = time.monotonic() + self._patience
        while True:
            try:
                transaction = connection.begin()
            except OperationalError as error:
                connection.rollback()
                if not is_busy(error) or time.monotonic() >= latest:
                    raise
            else:
                break
        with transaction:
            result = work(connection)
        self._file.check()
        self._changes = connection.connection.driver_connection.total_changes  # type: ignore[union-attr]
        return result

    def _checkpoint_beside(self) -> None:
        """The driver would do it within a commit, whose callers would wait for ten times as many octets."""
        if self._checkpoint is None and time.monotonic() >= self._next_checkpoint:
            self._brought_in = self._changes
            self._checkpoint = asyncio.create_task(self._bring_in())

    async def _bring_in(self) -> None:
        with suppress(
            OSError, SQLAlchemyError, StoreUnavailable
        ):  # it stays in the log, which is as good a place
            if await self._checkpoints.run(_checkpoint) >= _FULL_LOG:
                await self._writer.run(_checkpoint)
        self._next_checkpoint = time.monotonic() + _CHECKPOINTS_APART
        self._checkpoint = None


def _checkpoint(connection: Connection) -> int:
    """Gives the pages of the log. Holds nobody up: what others still read or write now is left for the next time."""
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        _, pages, _ = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        raise DBAPIError.instance("PRAGMA wal_checkpoint", None, error, sqlite3.Error) from error
    return int(pages)


def _read(connection: Connection, work: Callable[[Connection], T]) -> T:
    try:
        return work(connection)
    finally:
        connection.rollback()  # SQLAlchemy's own notion of a transaction; the database has none open


def _view(connection: Connection, work: Callable[[Connection], T]) -> T:
    def in_one(connection: Connection) -> T:
        connection.exec_driver_sql("BEGIN").close()
        try:
            return work(connection)
        finally:
            connection.exec_driver_sql("ROLLBACK").close()

    return _read(connection, in_one)


def is_busy(error: OperationalError) -> bool:
    return (getattr(error.orig, "sqlite_errorcode", 0) & 0xFF) == _BUSY


def _engine(url: URL, patience: float, *, writer: bool) -> Engine:
    # Readers see one statement's snapshot each: no BEGIN.
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="SERIALIZABLE" if writer else "AUTOCOMMIT"
    )
    pragmas = [
        f"PRAGMA busy_timeout={int(patience * 800)}",
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA secure_delete=ON",
    ]
    if writer:
        # In WAL mode only the first statement of a transaction ever waits.
        pragmas += [f"PRAGMA busy_timeout={_NAP}", f"PRAGMA wal_autocheckpoint={_LOG_PAGES}"]

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # sqlite3's own BEGIN is deferred: two writers would deadlock
        for pragma in pragmas:
            connection.execute(pragma).close()

    if writer:

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            try:
                driver.execute("BEGIN IMMEDIATE").close()
            except sqlite3.Error as error:
                raise DBAPIError.instance("BEGIN IMMEDIATE", None, error, sqlite3.Error) from error

    return engine
