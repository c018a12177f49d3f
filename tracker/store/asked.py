"""Questions about many keys at once, on the driver itself: what every message and every hit waits for."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam
from sqlalchemy.engine import Dialect

_MOST_KEYS = 900  # SQLite's oldest limit on bound parameters is 999


class Question:
    """`query`, of those rows whose `column` is one of the keys."""

    def __init__(self, query: Select[Any], column: ColumnElement[Any]) -> None:
        self._query = query
        self._column = column
        names = [one.name for one in query.selected_columns]
        made: Any = namedtuple("_made", names)  # type: ignore[misc]
        self._made = made._make

    def ask(self, connection: Connection, keys: Sequence[Any]) -> list[Any]:
        """The rows as named tuples, with values as the driver gives them. Raises SQLAlchemyError.

        The statement depends on how many keys there are; so that there are only a few statements, the last key is
        repeated up to a round number."""
        rows: list[Any] = []
        for start in range(0, len(keys), _MOST_KEYS):
            some = list(keys[start : start + _MOST_KEYS])
            number = min(1 << (len(some) - 1).bit_length(), _MOST_KEYS)
            some += some[-1:] * (number - len(some))
            result = connection.exec_driver_sql(
                _statement(self._query, self._column, number, connection.dialect), tuple(some)
            )
            rows += map(self._made, result.cursor.fetchall())
            result.close()
        return rows


@lru_cache(maxsize=128)
def _statement(query: Select[Any], column: ColumnElement[Any], number: int, dialect: Dialect) -> str:
    keys = bindparam("keys", [None] * number, expanding=True, type_=column.type)
    compiled = query.where(column.in_(keys)).compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    return str(compiled)
