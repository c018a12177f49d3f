"""What is particular to a driver: how its engine is set up, and what its errors mean for us.

Two kinds of trouble matter: the database is away (asking again later may help), and what was asked cannot be
done (asking again never will). A driver's own words are shown only as far as they hold no values.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, ClauseElement, Connection, Executable, event, text
from sqlalchemy.exc import DBAPIError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import AsyncAdaptedQueuePool

from tracker.errors import StoreError, StoreUnavailable

_SQLITE_AWAY = frozenset({3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 23, 26})
"""PERM BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT FULL CANTOPEN PROTOCOL AUTH NOTADB."""
_POSTGRESQL_AWAY = ("08", "28", "3D", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE: connection, login, no such database, deadlock, resources, lock not had in time, shutting
down or starting up, the system's own trouble."""
_DEADLOCK = "40"
_BAD_DATA = "22"
_ERASURES = 0x657261736564  # "erased": PostgreSQL's advisory locks are numbers


class BeforeErasures(Executable, ClauseElement):
    """As a statement: erasures wait until this transaction is over, and one under way is waited for; what comes after
    it in the transaction sees who was erased. Writers never wait for each other here."""

    inherit_cache = False


@compiles(BeforeErasures)
def _one_writer_anyway(_element: BeforeErasures, _compiler: Any, **_more: Any) -> str:
    return "DELETE FROM contacts WHERE 0"  # SQLite; what is run for many rows may be no question


@compiles(BeforeErasures, "postgresql")
def _share_lock(_element: BeforeErasures, _compiler: Any, **_more: Any) -> str:
    return f"SELECT pg_advisory_xact_lock_shared({_ERASURES})"


def hold_writers(connection: Connection) -> None:
    """For an erasure: the other side of `BeforeErasures`."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ERASURES})


def sqlite(url: URL, patience: float, *, pool: int, writer: bool) -> AsyncEngine:
    """An engine on a SQLite file. `patience`: seconds its user waits; the driver gives up a little earlier."""
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
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


_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


def postgresql(url: URL, ask_within: float, write_within: float) -> AsyncEngine:
    """An engine on a PostgreSQL server. `sslmode` in the URL is understood as libpq does."""
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


def hang_up(engine: AsyncEngine) -> None:
    """From now on the engine's connections are closed without a good-bye, which a hanging server would not answer."""

    def close(connection: Any) -> None:
        driver = connection.driver_connection
        driver.terminate() if hasattr(driver, "terminate") else driver.stop()

    engine.dialect.do_close = close  # type: ignore[method-assign, assignment]


def translated(error: Exception) -> Exception:
    """The store's word for a driver's error: StoreUnavailable where waiting may help, StoreError where not.
    Errors that are no driver's stay as they are."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, OSError | PoolTimeout):
        return StoreUnavailable(reason(error))
    if isinstance(error, DBAPIError):
        return StoreUnavailable(reason(error)) if _is_away(error) else StoreError(reason(error))
    return StoreError(reason(error)) if isinstance(error, SQLAlchemyError) else error


def gave_way(error: DBAPIError) -> bool:
    """PostgreSQL ended the transaction to solve a deadlock: run again, it will go through."""
    return str(getattr(error.orig, "sqlstate", None)).startswith(_DEADLOCK)


def reason(error: BaseException) -> str:
    """The driver's first line, without statement, parameters and values: those hold addresses."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first = next(iter(str(cause).splitlines()), "")
    if _is_bad_data(cause):
        first = first.partition(": ")[0]
    return f"{type(cause.__cause__ or cause).__name__}: {first}"[:200]


def _is_away(error: DBAPIError) -> bool:
    cause = error.orig
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_AWAY
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return error.connection_invalidated or state.startswith(_POSTGRESQL_AWAY)
    # Without a code it is the driver that speaks: the connection is gone, unless we asked for nonsense.
    return cause is not None and not isinstance(error, ProgrammingError) and not _is_bad_data(cause)


def _is_bad_data(cause: BaseException) -> bool:
    state = getattr(cause, "sqlstate", None)
    return isinstance(cause.__cause__ or cause, ValueError) or bool(state and state.startswith(_BAD_DATA))
