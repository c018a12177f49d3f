"""The keys of programs that use the API: made, listed, revoked, and found by what a request brings.

Of a key's last use only the day is kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tracker.apikeys import Fresh, checked_name, checked_scopes, digest, fresh, id_in
from tracker.errors import InvalidValue, NotFound
from tracker.store.database import Database
from tracker.store.schema import api_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, but for its secret."""

    id: str
    """Twelve hex digits."""
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    last_used: str | None
    """The day (`YYYY-MM-DD`, UTC); None for never."""
    revoked_at: datetime | None


class ApiKeys:
    """`await ApiKeys(database).create(…)`, `.list()`, `.revoke(…)`, `.of(token)`. All raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, name: str, scopes: Collection[str], *, by: str, now: datetime
    ) -> tuple[ApiKey, Fresh]:
        """A new key. Raises InvalidValue for a name or scope that cannot be, and for a name that is taken."""
        wanted, made = checked_scopes(scopes), fresh()
        row = {
            "id": made.id,
            "name": checked_name(name),
            "digest": made.digest,
            "scopes": list(wanted),
            "created_at": now,
            "created_by": by,
        }

        def work(connection: Connection) -> ApiKey:
            taken = select(api_keys.c.id).where(api_keys.c.name == name, api_keys.c.revoked_at.is_(None))
            if connection.execute(taken).first() is not None:
                raise InvalidValue(
                    f"there is a key {name!r} already; revoke it first, or choose another name"
                )
            connection.execute(insert(api_keys).values(row))
            return _key(connection.execute(select(api_keys).where(api_keys.c.id == made.id)).one())

        return await self._database.change(work), made

    async def list(self) -> list[ApiKey]:
        """Latest first, revoked ones too."""

        def work(connection: Connection) -> list[ApiKey]:
            query = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
            return [_key(row) for row in connection.execute(query)]

        return await self._database.read(work)

    async def revoke(self, named: str, *, now: datetime) -> ApiKey:
        """By id, or by the name of one that holds; from then on it opens nothing. Raises NotFound."""

        def work(connection: Connection) -> ApiKey:
            fits = (api_keys.c.id == named) | (api_keys.c.name == named)
            holds = select(api_keys).where(fits, api_keys.c.revoked_at.is_(None))
            row = connection.execute(holds.order_by(api_keys.c.id == named)).first()
            if row is None:
                raise NotFound(f"there is no key {named!r} that holds")
            ours = api_keys.c.id == row.id
            connection.execute(update(api_keys).where(ours).values(revoked_at=now))
            return _key(connection.execute(select(api_keys).where(ours)).one())

        return await self._database.change(work)

    async def of(self, token: str, now: datetime) -> ApiKey | None:
        """The key that this is, if it holds; its use is noted once a day."""
        id_ = id_in(token)
        if id_ is None:
            return None
        query = select(api_keys).where(api_keys.c.id == id_, api_keys.c.revoked_at.is_(None))
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None or not hmac.compare_digest(bytes(row.digest), digest(token)):
            return None
        today = f"{now:%Y-%m-%d}"
        if row.last_used != today:
            used = update(api_keys).where(api_keys.c.id == id_).values(last_used=today)
            await self._database.write((used, [{}]))
        return _key(row)


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        created_by=row.created_by,
        last_used=row.last_used,
        revoked_at=row.revoked_at,
    )
