"""Questions for the rows of many keys, compiled once for each number of keys and run on the driver itself."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from tracker.store.schema import Moment, moment_of, moment_text

_Converter = Callable[[Any], Any]
_Parameter = tuple[str, Any]
"""Its name, and its value where the query itself says it."""


class Question:
    """A query whose parameters are lists, each in an `IN` of its own (`bindparam(..., expanding=True)`), and moments."""

    def __init__(self, query: Select[Any]) -> None:
        self._query = query
        self._asked: dict[tuple[tuple[str, int], ...], _Compiled] = {}

    def rows(self, connection: Connection, **given: Sequence[Any] | datetime) -> Sequence[Any]:
        """With the columns as attributes. None of the lists is empty. Raises SQLAlchemyError."""
        if connection.dialect.name != "sqlite" or connection.engine.dispatch.before_cursor_execute:
            return connection.execute(self._query, given).all()
        moments = {name: one for name, one in given.items() if isinstance(one, datetime)}
        lists = {name: one for name, one in given.items() if not isinstance(one, datetime)}
        # A key asked for twice is answered once; and so few different statements are kept prepared.
        padded = {
            name: [*keys, *[keys[-1]] * (_padded(len(keys)) - len(keys))] for name, keys in lists.items()
        }
        shape = tuple((name, len(keys)) for name, keys in padded.items())
        compiled = self._asked.get(shape)
        if compiled is None:
            compiled = self._asked[shape] = _Compiled(self._query, connection.dialect, padded, moments)
        return compiled.rows(connection, padded, moments)


class _Compiled:
    """A question for lists of certain lengths, on SQLite."""

    def __init__(
        self, query: Select[Any], dialect: Dialect, lists: dict[str, list[Any]], moments: dict[str, datetime]
    ) -> None:
        compiled = query.params({**lists, **moments}).compile(
            dialect=dialect, compile_kwargs={"render_postcompile": True}
        )
        self._sql = str(compiled)
        self._order: list[_Parameter] = []
        for name in compiled.positiontup or ():
            whole, _, number = name.rpartition("_")
            if whole in lists and number.isdigit():  # one of so many, which stand together
                if self._order[-1:] != [(whole, None)]:
                    self._order.append((whole, None))
            else:
                self._order.append((name, compiled.binds[name].value))
        columns = query.selected_columns
        self._row: Any = namedtuple("Row", columns.keys())  # type: ignore[misc]
        self._converters: list[tuple[int, _Converter]] = [
            (place, convert)
            for place, column in enumerate(columns)
            if (convert := _converter(column.type, dialect)) is not None
        ]

    def rows(
        self, connection: Connection, lists: dict[str, list[Any]], moments: dict[str, datetime]
    ) -> list[Any]:
        driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        values: list[Any] = []
        for name, constant in self._order:
            if name in lists:
                values += lists[name]
            else:
                values.append(moment_text(moments[name]) if name in moments else constant)
        try:
            found = driver.execute(self._sql, values).fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(self._sql, None, error, sqlite3.Error) from error
        make = self._row._make
        if not self._converters:
            return [make(row) for row in found]
        return [make(self._converted(row)) for row in found]

    def _converted(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for place, convert in self._converters:
            values[place] = convert(values[place])
        return values


def _converter(kind: TypeEngine[Any], dialect: Dialect) -> _Converter | None:
    if isinstance(kind, Moment):
        return moment_of
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def _padded(length: int) -> int:
    return 1 << (length - 1).bit_length()
