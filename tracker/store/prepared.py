"""Statements compiled once for a database, their rows brought into the driver's form by hand.

SQLAlchemy does the same at every execution; where a message or a hit is a handful of statements with a row or two
each, that is most of what they cost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Boolean, Connection, Executable, LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

from tracker.errors import StoreError
from tracker.store.schema import Moment, moment_text

Statement = tuple[Executable, Sequence[Mapping[str, Any]]]
"""A statement and its rows. Statements that are the same object share one `executemany` in a batch."""
IDEMPOTENT = "candor_idempotent"
"""An execution option of statements that do nothing the second time: of rows that are alike one is run."""
_Key = tuple[str, frozenset[str]]
_Row = tuple[Any, ...]
_Converter = Callable[[Any], Any]


class Prepared:
    """A statement for rows that name all of `columns` and nothing else."""

    def __init__(self, statement: Executable, dialect: Dialect, columns: frozenset[str]) -> None:
        compiled: SQLCompiler = statement.compile(  # type: ignore[attr-defined]
            dialect=dialect, column_keys=sorted(columns), for_executemany=True
        )
        self.sql = str(compiled)
        self._is_idempotent = bool(statement.get_execution_options().get(IDEMPOTENT))
        names = tuple(compiled.positiontup or ())
        self._names = names
        self._pick = _picker(names)
        self._converters = [
            (place, convert)
            for place, name in enumerate(names)
            if (convert := _converter(compiled, name, dialect)) is not None
        ]
        self._constants = {name: compiled.binds[name].effective_value for name in {*names} - columns}

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Raises SQLAlchemyError; StoreError where a value is of the wrong kind."""
        if not self._names:
            connection.exec_driver_sql(self.sql).close()
            return
        try:
            values = [self._values(row) for row in rows]
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            # Its words may quote the value.
            raise StoreError(f"{type(error).__name__}: a value does not fit its column") from None
        if self._is_idempotent:
            values = list(dict.fromkeys(values))
        drive(connection, self.sql, values)

    def _values(self, row: Mapping[str, Any]) -> _Row:
        values = self._pick({**self._constants, **row} if self._constants else row)
        if not self._converters:
            return values
        changed = list(values)
        for place, convert in self._converters:
            changed[place] = convert(changed[place])
        return tuple(changed)


def drive(connection: Connection, sql: str, rows: Sequence[_Row]) -> None:
    """Runs a statement for rows that are in the driver's form: what SQLAlchemy would do for it takes longer than the
    statement. Raises SQLAlchemyError."""
    if connection.dialect.name != "sqlite" or connection.engine.dispatch.before_cursor_execute:
        connection.exec_driver_sql(sql, list(rows)).close()
        return
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        if len(rows) == 1:  # which may be any statement
            driver.execute(sql, rows[0]).close()
        else:
            driver.executemany(sql, rows).close()
    except sqlite3.Error as error:
        raise DBAPIError.instance(sql, None, error, sqlite3.Error) from error


_ROWS_TOGETHER = 25
"""Rows of one INSERT: fewer cost more each, and so do more."""


def insert_many(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[_Row]) -> None:
    """Into a table of SQLite, several rows by each statement: that is a quarter less work than row by row, and the thread
    hands the interpreter on so much more seldom. Values as the driver takes them. Raises SQLAlchemyError."""
    marks = f"({', '.join('?' * len(columns))})"
    into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608
    together = len(rows) // _ROWS_TOGETHER * _ROWS_TOGETHER
    if together:
        flat, step = list(chain.from_iterable(rows[:together])), _ROWS_TOGETHER * len(columns)
        some = [tuple(flat[start : start + step]) for start in range(0, len(flat), step)]
        drive(connection, into + ", ".join([marks] * _ROWS_TOGETHER), some)
    if together < len(rows):
        drive(connection, into + marks, rows[together:])


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], _Row]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple(row[name] for name in names)


def _converter(compiled: SQLCompiler, name: str, dialect: Dialect) -> _Converter | None:
    kind = compiled.binds[name].type
    if dialect.name == "sqlite" and isinstance(kind, LargeBinary | Boolean):
        return None  # the driver takes them as they are
    if dialect.name == "sqlite" and isinstance(kind, Moment):
        return moment_text
    return kind.dialect_impl(dialect).bind_processor(dialect)


_prepared: WeakKeyDictionary[Executable, dict[_Key, Prepared]] = WeakKeyDictionary()


def _prepare(statement: Executable, dialect: Dialect, row: Mapping[str, Any]) -> Prepared:
    known = _prepared.get(statement)
    if known is None:
        known = _prepared[statement] = {}
    key = dialect.name, frozenset(row)
    found = known.get(key)
    if found is None:
        found = known[key] = Prepared(statement, dialect, key[1])
    return found


def execute(connection: Connection, statements: Iterable[Statement]) -> None:
    """Runs the statements, all rows of the same statement together, in the order each was first met. The rows of one
    name the same columns."""
    grouped: dict[int, tuple[Executable, list[Mapping[str, Any]]]] = {}
    for statement, rows in statements:
        if rows:
            grouped.setdefault(id(statement), (statement, []))[1].extend(rows)
    for statement, together in grouped.values():
        _prepare(statement, connection.dialect, together[0]).run(connection, together)
