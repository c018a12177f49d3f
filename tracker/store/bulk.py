"""Many rows at once, for a command that has nothing else to do.

The programs' writer hands every statement to the driver's thread and waits for it; a batch of an import is one
such errand altogether, on a SQLite connection of its own. On PostgreSQL it goes the writer's way.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tracker.store.database import Database
from tracker.store.engines import translated
from tracker.store.sqlite import is_busy

T = TypeVar("T")

_PATIENCE = 30.0
"""Seconds a batch waits for its turn: nobody else waits for it."""
_NAP = 0.25
"""Seconds the driver itself waits for the write lock at a time: between two of them a batch can be given up."""
_PRAGMAS = (
    f"PRAGMA busy_timeout={int(_NAP * 1000)}",
    "PRAGMA journal_mode=WAL",
    # A commit does not wait for the disk: `_sync` sees to that beside the next batch, so that nobody waits for the
    # write lock meanwhile. A power cut leaves the database whole, as it was at some commit before (sqlite.org/wal.html),
    # and whoever commits with FULL puts everything before it on disk as well: it is one log.
    "PRAGMA synchronous=NORMAL",
    "PRAGMA secure_delete=ON",
    # New addresses fall all over their index: more of it in memory, 96 MiB.
    "PRAGMA cache_size=-98304",
    # The log is folded in between transactions (`fold_log`), not at the end of every one.
    "PRAGMA wal_autocheckpoint=0",
)


class Bulk:
    """Reads and changes as `Database` has them; one caller at a time. Open with `Bulk.of(database)`."""

    def __init__(self, database: Database, connection: Connection | None) -> None:
        self._database = database
        self._connection = connection
        self._given_up = threading.Event()
        self._syncing: asyncio.Task[None] | None = None

    @property
    def is_one_connection(self) -> bool:
        """Whether reads and changes go over the same connection, nobody else's."""
        return self._connection is not None

    @classmethod
    @asynccontextmanager
    async def of(cls, database: Database) -> AsyncIterator[Bulk]:
        if database.file is None:
            yield cls(database, None)
            return
        engine = create_engine(make_url(f"sqlite:///{database.file}"), isolation_level="AUTOCOMMIT")

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            for pragma in _PRAGMAS:
                connection.execute(pragma).close()

        try:
            with engine.connect() as connection:
                bulk = cls(database, connection)
                try:
                    yield bulk
                finally:
                    await bulk._synced()
        except SQLAlchemyError as error:
            raise translated(error) from error
        finally:
            engine.dispose()

    async def read(self, work: Callable[[Connection], T], *, within: float = _PATIENCE) -> T:
        """Raises StoreUnavailable, StoreError."""
        if self._connection is None:
            return await self._database.read(work, within=within)
        return await self._run(work)

    async def change(self, work: Callable[[Connection], T], *, within: float = _PATIENCE) -> T:
        """In a transaction; `work` may run twice. On SQLite it is on disk when the next one begins, or when the `Bulk`
        is left. Raises StoreUnavailable, StoreError."""
        if self._connection is None:
            return await self._database.change(work, within=within)
        await self._synced()
        result = await self._run(lambda connection: self._transact(connection, work))
        self._syncing = asyncio.create_task(asyncio.to_thread(_sync, f"{self._database.file}-wal"))
        return result

    async def fold_log(self) -> None:
        """Moves SQLite's write-ahead log into the database as far as nobody reads it; writers go on meanwhile."""
        if self._connection is not None:
            await self._run(_fold_log)

    async def _synced(self) -> None:
        """Everything that is committed is on disk."""
        if self._syncing is None:
            return
        await asyncio.wait({self._syncing})  # which goes on where nobody waits any more
        try:
            self._syncing.result()
        except OSError as error:
            raise translated(error) from error

    async def _run(self, work: Callable[[Connection], T]) -> T:
        assert self._connection is not None  # noqa: S101 - asked by the callers
        errand = asyncio.create_task(asyncio.to_thread(work, self._connection))
        try:
            return await asyncio.shield(errand)
        except asyncio.CancelledError:
            # The connection is the thread's until it is done with it: what has begun is committed.
            self._given_up.set()
            await asyncio.wait({errand})
            if not errand.cancelled():
                errand.exception()  # seen: nobody is left to hear it
            raise
        except (OSError, SQLAlchemyError) as error:
            raise translated(error) from error

    def _transact(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        self._begin(connection)
        try:
            result = work(connection)
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            if connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
                connection.exec_driver_sql("ROLLBACK")
            raise
        return result

    def _begin(self, connection: Connection) -> None:
        latest = time.monotonic() + _PATIENCE
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if not is_busy(error) or self._given_up.is_set() or time.monotonic() >= latest:
                    raise
            else:
                return


def _fold_log(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()


def _sync(log: str) -> None:
    """SQLite's locks are on other files than its log: closing this one lets go of none (POSIX's are the process's)."""
    file = os.open(log, os.O_RDONLY)
    try:
        getattr(os, "fdatasync", os.fsync)(file)
    finally:
        os.close(file)
