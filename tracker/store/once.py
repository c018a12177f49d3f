"""What was asked under an `Idempotency-Key`, and what was answered: the same asked again gets the same answer.

Kept is a digest of the key and of the request, and the answer, for a day. Answers kept here name nobody: whoever gives
them sees to that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tracker.store.database import Database
from tracker.store.schema import api_answers

KEPT = timedelta(hours=24)
_GIVEN_UP = timedelta(minutes=5)
"""After which a request that was never answered is taken for dead, and may be made again."""


class Taken(Enum):
    """Why a request may not be carried out."""

    RUNNING = "running"
    OTHER = "other"
    """The key was used for something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer that was given before."""

    status: int
    body: bytes
    location: str


class Once:
    """`begin`, then `keep` or `give_up`. All raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, whose: str, key: str, request: bytes, now: datetime) -> bytes | Kept | Taken:
        """The mark of a request that is to be carried out now; or what was answered before, or why not. `whose`: the
        API key's id, `request`: a digest of all that makes it what it is."""
        mark = hashlib.sha256(f"{whose}\n{key}".encode()).digest()

        def work(connection: Connection) -> bytes | Kept | Taken:
            dead = (api_answers.c.status == 0) & (api_answers.c.at < now - _GIVEN_UP)
            connection.execute(delete(api_answers).where((api_answers.c.at < now - KEPT) | dead))
            module = sqlite if connection.dialect.name == "sqlite" else postgresql
            new = {"mark": mark, "request": request, "at": now, "status": 0, "body": b"", "location": ""}
            made = connection.execute(module.insert(api_answers).values(new).on_conflict_do_nothing())
            if made.rowcount == 1:
                return mark
            row = connection.execute(select(api_answers).where(api_answers.c.mark == mark)).one_or_none()
            if row is None:  # given up by its holder just now
                return Taken.RUNNING
            if bytes(row.request) != request:
                return Taken.OTHER
            if row.status == 0:
                return Taken.RUNNING
            return Kept(status=row.status, body=bytes(row.body), location=row.location)

        return await self._database.change(work)

    async def keep(self, mark: bytes, answer: Kept) -> None:
        """It was carried out, and this was the answer."""
        ours = update(api_answers).where(api_answers.c.mark == mark)
        values = {"status": answer.status, "body": answer.body, "location": answer.location}
        await self._database.write((ours.values(**values), [{}]))

    async def forget(self, now: datetime) -> None:
        """What was kept for long enough goes."""
        await self._database.write((delete(api_answers).where(api_answers.c.at < now - KEPT), [{}]))

    async def give_up(self, mark: bytes) -> None:
        """It was not carried out, and may be asked again."""
        await self._database.write((delete(api_answers).where(api_answers.c.mark == mark), [{}]))
