"""Saved segments: a name, a definition as JSON, who saved it and when. What a definition may say is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from tracker.errors import InvalidValue, NotFound
from tracker.store.database import Database
from tracker.store.schema import segments

LONGEST_NAME = 64
MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A segment as it is kept."""

    name: str
    definition: Mapping[str, Any]
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str


class Segments:
    """Reads and writes of saved segments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> list[Saved]:
        """By name. Raises StoreUnavailable."""
        query = select(segments).order_by(segments.c.name)
        return await self._database.read(
            lambda connection: [_saved(row) for row in connection.execute(query)]
        )

    async def get(self, name: str) -> Saved:
        """Raises NotFound, StoreUnavailable."""
        return await self._database.read(lambda connection: get(connection, name))

    async def save(
        self, name: str, definition: Mapping[str, Any], *, by: str, now: datetime, replace: bool
    ) -> None:
        """Keeps it; with `replace` in the place of one of that name. Raises InvalidValue, StoreUnavailable."""
        checked_name(name)

        def work(connection: Connection) -> None:
            row = {"definition": dict(definition), "changed_at": now, "changed_by": by}
            mine = segments.c.name == name
            if connection.execute(select(segments.c.name).where(mine).with_for_update()).first() is None:
                if len(connection.execute(select(segments.c.name)).all()) >= MOST:
                    raise InvalidValue(f"there are {MOST} segments already: delete one first")
                new = {**row, "name": name, "created_at": now, "created_by": by}
                connection.execute(insert(segments).values(new))
            elif replace:
                connection.execute(update(segments).where(mine).values(row))
            else:
                raise InvalidValue(f"there is a segment {name!r} already")

        await self._database.change(work)

    async def delete(self, name: str) -> None:
        """Raises NotFound, StoreUnavailable."""

        def work(connection: Connection) -> None:
            if connection.execute(delete(segments).where(segments.c.name == name)).rowcount == 0:
                raise NotFound(f"there is no segment {name!r}")

        await self._database.change(work)


def get(connection: Connection, name: str) -> Saved:
    """Raises NotFound."""
    row = connection.execute(select(segments).where(segments.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"there is no segment {name!r}")
    return _saved(row)


def checked_name(name: str) -> str:
    """Raises InvalidValue for what nobody could type or tell from another."""
    if not (1 <= len(name) <= LONGEST_NAME) or not name.isprintable() or name != name.strip():
        raise InvalidValue(
            f"{name[:80]!r} cannot be a segment's name: expected 1 to {LONGEST_NAME} printable characters, without "
            "blanks around them"
        )
    return name


def _saved(row: Any) -> Saved:
    return Saved(
        name=row.name,
        definition=dict(row.definition),
        created_at=row.created_at,
        created_by=row.created_by,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
    )
