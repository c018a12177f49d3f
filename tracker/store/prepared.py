"""Statements compiled once for a database, their rows brought into the driver's form by hand.

SQLAlchemy does the same at every execution; where a message or a hit is a handful of statements with a row or two
each, that is most of what they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from tracker.errors import StoreError

Statement = tuple[Executable, Sequence[Mapping[str, Any]]]
"""A statement and its rows. Statements that are the same object share one `executemany` in a batch."""
IDEMPOTENT = "candor_idempotent"
"""An execution option of statements that do nothing the second time: of rows that are alike one is run."""

_Key = tuple[str, frozenset[str]]
_Row = tuple[Any, ...]


class Prepared:
    """A statement for rows that name all of `columns` and nothing else."""

    def __init__(self, statement: Executable, dialect: Dialect, columns: frozenset[str]) -> None:
        compiled: SQLCompiler = statement.compile(  # type: ignore[attr-defined]
            dialect=dialect, column_keys=sorted(columns), for_executemany=True
        )
        self.sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._converters = [(name, _converter(compiled, name, dialect)) for name in self._names]
        self._constants = {
            name: compiled.binds[name].effective_value for name in self._names if name not in columns
        }
        self._is_idempotent = bool(statement.get_execution_options().get(IDEMPOTENT))

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
        connection.exec_driver_sql(self.sql, values).close()

    def _values(self, row: Mapping[str, Any]) -> _Row:
        if self._constants:
            row = {**self._constants, **row}
        return tuple(
            [row[name] if convert is None else convert(row[name]) for name, convert in self._converters]
        )


def _converter(compiled: SQLCompiler, name: str, dialect: Dialect) -> Callable[[Any], Any] | None:
    return compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)


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
