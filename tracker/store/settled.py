"""Up to which event everything is there, so that a reader who goes on from there misses nothing.

On PostgreSQL an id is given before its transaction is over, so that a lower one may come after a higher. Whoever writes
an event holds a lock on the table from before the id is given until the transaction is over, and PostgreSQL tells who
does (`pg_locks`): once those are gone who held one after the highest id was seen, nobody can come below it. On SQLite
there is one writer at a time.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, func, select, text

from tracker.store.database import Database
from tracker.store.schema import events

_WRITERS = text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND relation = to_regclass('events')"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND mode = 'RowExclusiveLock' AND granted"
)
_PATIENCE = 2.0
_LOOK_AGAIN = 0.02


async def settled_until(database: Database, *, after: int, patience: float = _PATIENCE) -> int:
    """The highest id up to which every event there will ever be is there now; `after` when that cannot be told because
    somebody has been writing for longer than `patience`. Raises StoreUnavailable."""
    highest = await database.read(lambda one: one.execute(select(func.max(events.c.id))).scalar_one()) or 0
    if highest <= after:
        return after
    if database.dialect == "sqlite":
        return int(highest)
    clock = asyncio.get_running_loop().time
    until = clock() + patience
    writing = await database.read(_writers)
    while writing:
        if clock() > until:
            return after
        await asyncio.sleep(_LOOK_AGAIN)
        writing &= await database.read(_writers)
    return int(highest)


def _writers(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(_WRITERS).scalars())
