"""What is particular to a database: how its tables are locked, and what its driver's errors mean for us.

Two kinds of trouble matter: the database is away (asking again later may help), and what was asked cannot be
done (asking again never will). A driver's own words are shown only as far as they hold no values.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement, Connection, Executable, text
from sqlalchemy.exc import DBAPIError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles

from tracker.errors import StoreError, StoreUnavailable

_SQLITE_AWAY = frozenset({3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 23, 26})
"""PERM BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT FULL CANTOPEN PROTOCOL AUTH NOTADB."""
_POSTGRESQL_AWAY = ("08", "28", "3D", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE: connection, login, no such database, deadlock, resources, lock not had in time, shutting
down or starting up, the system's own trouble."""
_BAD_DATA = "22"
_ERASURES = 0x657261736564  # "erased": PostgreSQL's advisory locks are numbers


class BeforeErasures(Executable, ClauseElement):
    """As a statement: erasures wait until this transaction is over, and one under way is waited for; what comes after
    it in the transaction sees who was erased. Writers never wait for each other here."""

    inherit_cache = False


@compiles(BeforeErasures)
def _one_writer_anyway(_element: BeforeErasures, _compiler: Any, **_more: Any) -> str:
    return "SELECT 1"  # SQLite


@compiles(BeforeErasures, "postgresql")
def _share_lock(_element: BeforeErasures, _compiler: Any, **_more: Any) -> str:
    return f"SELECT pg_advisory_xact_lock_shared({_ERASURES})"


def hold_writers(connection: Connection) -> None:
    """For an erasure: the other side of `BeforeErasures`."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ERASURES})


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
