"""Questions for the rows of many keys, compiled once for each number of keys and run on the driver itself."""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

_Converter = Callable[[Any], Any]


class Question:
    """A query whose only parameters are lists, each in an `IN` of its own (`bindparam(..., expanding=True)`)."""

    def __init__(self, query: Select[Any]) -> None:
        self._query = query
        self._asked: dict[tuple[tuple[str, int], ...], _Compiled] = {}

    def rows(self, connection: Connection, **lists: Sequence[Any]) -> Sequence[Any]:
        """With the columns as attributes. None of the lists is empty. Raises SQLAlchemyError."""
        if connection.dialect.name != "sqlite" or connection.engine.dispatch.before_cursor_execute:
            return connection.execute(self._query, lists).all()
        # A key asked for twice is answered once; and so few different statements are kept prepared.
        padded = {
            name: [*keys, *[keys[-1]] * (_padded(len(keys)) - len(keys))] for name, keys in lists.items()
        }
        shape = tuple((name, len(keys)) for name, keys in padded.items())
        compiled = self._asked.get(shape)
        if compiled is None:
            compiled = self._asked[shape] = _Compiled(self._query, connection.dialect, padded)
        return compiled.rows(connection, padded)


class _Compiled:
    """A question for lists of certain lengths, on SQLite."""

    def __init__(self, query: Select[Any], dialect: Dialect, lists: dict[str, list[Any]]) -> None:
        compiled = query.params(lists).compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        self._sql = str(compiled)
        places = (name.rpartition("_") for name in compiled.positiontup or ())
        self._order = list(dict.fromkeys(name for name, _, _ in places))
        columns = query.selected_columns
        self._row = namedtuple("Row", columns.keys())  # type: ignore[misc]
        self._converters: list[tuple[int, _Converter]] = [
            (place, convert)
            for place, column in enumerate(columns)
            if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
        ]

    def rows(self, connection: Connection, lists: dict[str, list[Any]]) -> list[Any]:
        driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        try:
            found = driver.execute(self._sql, [key for name in self._order for key in lists[name]]).fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(self._sql, None, error, sqlite3.Error) from error
        return [self._row(*self._converted(row)) for row in found]

    def _converted(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for place, convert in self._converters:
            values[place] = convert(values[place])
        return values


def _padded(length: int) -> int:
    return 1 << (length - 1).bit_length()
