"""Which keys are in use: a program that holds another key ring must not start, or old links would die."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select

from tracker.errors import KeyRingError
from tracker.store.database import Database
from tracker.store.schema import ring_keys
from tracker.tokens import KeyRing


async def sealed_with(database: Database) -> set[bytes]:
    """The ids of the keys that mail on record was sealed with. Raises StoreUnavailable."""
    rows = await database.read(lambda connection: connection.execute(select(ring_keys.c.key_id)).all())
    return {bytes(row.key_id) for row in rows}


async def agree(database: Database, ring: KeyRing, keys_file: str, now: datetime) -> None:
    """Checks the ring against the keys the store has seen and notes the new ones.

    Raises KeyRingError when one is missing from the ring, StoreUnavailable."""

    def compare(connection: Connection) -> set[bytes]:
        used = {bytes(row.key_id) for row in connection.execute(select(ring_keys.c.key_id))}
        missing = used - ring.keys.keys()
        if not missing:
            new = [{"key_id": key, "first_used": now} for key in sorted(ring.keys.keys() - used)]
            if new:
                connection.execute(insert(ring_keys), new)
        return missing

    missing = await database.change(compare)
    if missing:
        names = ", ".join(sorted(key.hex() for key in missing))
        raise KeyRingError(
            f"{keys_file}: the store has mail that was sealed with key {names}, which this ring lacks; "
            "its links would die. Copy the key ring from the node that made it, or from the backup"
        )
