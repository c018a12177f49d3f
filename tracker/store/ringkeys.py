"""Which keys are in use: a program that holds another key ring must not start, or old links would die."""

from __future__ import annotations

import hashlib
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


async def first_uses(database: Database) -> dict[bytes, datetime]:
    """Since when the store knows each key, by its id. Raises StoreUnavailable."""
    query = select(ring_keys.c.key_id, ring_keys.c.first_used)
    rows = await database.read(lambda connection: connection.execute(query).all())
    return {bytes(row.key_id): row.first_used for row in rows}


async def agree(database: Database, ring: KeyRing, keys_file: str, now: datetime) -> None:
    """Checks the ring against the keys the store has seen and notes the new ones.

    Raises KeyRingError when one is missing from the ring, or when the store's erased people were made unrecognisable
    with another permanent secret; StoreUnavailable."""
    permanent = fingerprint(ring)

    def compare(connection: Connection) -> tuple[set[bytes], bool]:
        seen = connection.execute(select(ring_keys.c.key_id, ring_keys.c.permanent)).all()
        used = {bytes(row.key_id) for row in seen}
        missing, other = used - ring.keys.keys(), any(bytes(row.permanent) != permanent for row in seen)
        if not missing and not other:
            new = [
                {"key_id": key, "permanent": permanent, "first_used": now}
                for key in sorted(ring.keys.keys() - used)
            ]
            if new:
                connection.execute(insert(ring_keys), new)
        return missing, other

    missing, other = await database.change(compare)
    if missing:
        names = ", ".join(sorted(key.hex() for key in missing))
        raise KeyRingError(
            f"{keys_file}: the store has mail that was sealed with key {names}, which this ring lacks; "
            "its links would die. Copy the key ring from the node that made it, or from the backup"
        )
    if other:
        raise KeyRingError(
            f"{keys_file}: [permanent] secret is not the one the store was made with; who was erased would not be "
            "recognised and be tracked again. Copy the key ring from the node that made it, or from the backup"
        )


def fingerprint(ring: KeyRing) -> bytes:
    """Tells one permanent secret from another, and nothing of either."""
    return hashlib.blake2b(key=ring.permanent, digest_size=16, person=b"candor-permanent").digest()
