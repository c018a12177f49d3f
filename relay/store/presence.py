"""Which processes are there: so that whoever starts after a crash goes on with a dead process's mail at once.

A process is there as long as it holds a lock that the system takes from it when it dies: with SQLite the lock on a
file beside the database, with PostgreSQL an advisory lock of a session that it keeps open. Only whose lock can be had
is dead. In any doubt (no file, another machine, no permission) it may be alive, and its leases run out by themselves;
should one be taken for dead that lives, what it was sending is sent twice, and none of it is lost.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import socket
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tracker.store.database import Database
from tracker.store.engines import translated

_SUFFIX = ".alive"
_HAVE = text("SELECT pg_try_advisory_lock(:key)")
_LET_GO = text("SELECT pg_advisory_unlock(:key)")


class Presence:
    """`announce()`, `departed(…)`, `close()`. `name` is this process's, `NODE/PID/TOKEN`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(8)}"
        self._file: int | None = None
        self._session: AsyncConnection | None = None

    async def announce(self) -> None:
        """From now on others can tell that this process is there. Raises StoreUnavailable, StoreError."""
        if self._database.file is not None:
            if self._file is None:
                await asyncio.to_thread(self._lock_own)
        elif self._database.dialect == "postgresql":
            await self._have(self.name)

    async def departed(self, names: Collection[str]) -> list[str]:
        """Those of the processes that are known to be dead. Raises StoreUnavailable, StoreError."""
        if self._database.file is not None:
            tokens = await asyncio.to_thread(self._sweep)
            return [one for one in names if one.rpartition("/")[2] in tokens]
        node = self.name.partition("/")[0]
        dead = []
        # Another machine may only be cut off from the store, and come back.
        for one in names if self._database.dialect == "postgresql" else ():
            if one.partition("/")[0] == node and one != self.name and await self._have(one):
                await self._ask(_LET_GO, one)
                dead.append(one)
        return dead

    async def close(self) -> None:
        """It goes in good order, and holds nothing."""
        if self._file is not None:
            self._path(self.name.rpartition("/")[2]).unlink(missing_ok=True)
            os.close(self._file)
            self._file = None
        if self._session is not None:
            session, self._session = self._session, None
            await self._database.end_session(session)

    def _path(self, token: str) -> Path:
        assert self._database.file is not None  # noqa: S101 - asked by the callers
        return self._database.file.with_name(f"{self._database.file.name}-{token}{_SUFFIX}")

    def _lock_own(self) -> None:
        """Raises OSError."""
        path = self._path(self.name.rpartition("/")[2])
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # somebody who sweeps may hold it for a moment
        self._file = descriptor

    def _sweep(self) -> set[str]:
        """The tokens of the dead, whose files are then gone."""
        prefix = self._path("").name.removesuffix(_SUFFIX)
        files = self._path("").parent.glob(f"*{_SUFFIX}")
        return {
            file.name.removeprefix(prefix).removesuffix(_SUFFIX)
            for file in files
            if file.name.startswith(prefix) and _was_left(file)
        }

    async def _have(self, name: str) -> bool:
        """Whether the lock is ours now; our session is opened again where it was lost."""
        try:
            async with asyncio.timeout(self._database.write_within):
                return await self._ask(_HAVE, name)
        except (OSError, SQLAlchemyError) as error:  # a timeout is an OSError
            session, self._session = self._session, None
            if session is not None:
                await self._database.end_session(session)
            raise translated(error) from error

    async def _ask(self, question: object, name: str) -> bool:
        if self._session is None:
            self._session = await self._database.session()
        key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
        answer = await self._session.execute(question, {"key": key})  # type: ignore[call-overload]
        return bool(answer.scalar_one())


def _was_left(file: Path) -> bool:
    """Whether nobody holds the file's lock; then it is gone."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
