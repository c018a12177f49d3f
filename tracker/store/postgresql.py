"""PostgreSQL: a pool of connections in the caller's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

T = TypeVar("T")

_MOST_TRIES = 3
_DEADLOCK = "40"
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


class Postgresql:
    """Transactions, reads and sessions on a server."""

    def __init__(self, url: URL, ask_within: float, write_within: float) -> None:
        self._engine = _engine(url, ask_within, write_within)
        # Each statement sees what is committed when it begins, with BEGIN or without.
        self._asking = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._viewing = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._sessions: list[AsyncConnection] = []
        self.reading = self.writing = self._engine.sync_engine

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction of its own; again when the database gave it up for another's sake.
        Raises OSError, SQLAlchemyError."""
        for tries in range(_MOST_TRIES):
            try:
                async with self._engine.begin() as connection:
                    return await connection.run_sync(work)
            except DBAPIError as error:
                if tries + 1 == _MOST_TRIES or not _gave_way(error):
                    raise
        raise AssertionError("the last try returns or raises")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work`, each of whose statements sees one state of the database. Raises OSError, SQLAlchemyError."""
        async with self._asking.connect() as connection:
            return await connection.run_sync(work)

    async def view(self, work: Callable[[Connection], T]) -> T:
        """Runs `work`, all of whose statements see one state of the database. Raises OSError, SQLAlchemyError."""
        async with self._viewing.connect() as connection:
            return await connection.run_sync(work)

    async def session(self) -> AsyncConnection:
        """A connection of its own that stays open until its user or the store is closed, each statement its own
        transaction. Raises OSError, SQLAlchemyError."""
        connection = await self._engine.connect()
        self._sessions.append(connection)
        return await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def end_session(self, session: AsyncConnection, within: float) -> None:
        """Closes what `session` gave, and with it whatever locks it holds."""
        if session in self._sessions:
            self._sessions.remove(session)
        await _hang_up(session, within)

    async def close(self, within: float) -> None:
        """Lets go of every connection; of those that do not answer without a good-bye."""
        for session in self._sessions:
            await _hang_up(session, within)
        try:
            async with asyncio.timeout(within):
                await self._engine.dispose()
        except TimeoutError:
            self._engine.dialect.do_close = _terminate  # type: ignore[method-assign, assignment]
            await self._engine.dispose()


def _engine(url: URL, ask_within: float, write_within: float) -> AsyncEngine:
    """`sslmode` in the URL is understood as libpq does."""
    query = dict(url.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg", query=query),
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
        cursor = connection.cursor()
        cursor.execute(_DURABLE)
        cursor.close()
        connection.commit()

    return engine


def _gave_way(error: DBAPIError) -> bool:
    """It ended the transaction to solve a deadlock: run again, it will go through."""
    return str(getattr(error.orig, "sqlstate", None)).startswith(_DEADLOCK)


def _terminate(connection: Any) -> None:
    connection.driver_connection.terminate()


async def _hang_up(session: AsyncConnection, within: float) -> None:
    """Ends it for good, with whatever it holds: in the pool it would go on."""
    with suppress(OSError, SQLAlchemyError):
        async with asyncio.timeout(within):
            if not session.closed:
                await session.invalidate()
            await session.close()
