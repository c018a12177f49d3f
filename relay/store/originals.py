"""Messages as they came, kept for some days so that an operator can see what was clicked where.

Only where `[admin] previews_days` says so. What one person was written is theirs: with the erasure of anybody whom a
message went to, it goes as a whole, since nobody can tell whom of several it greets.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from relay.store.schema import originals
from relay.submission import Submission
from tracker.moments import isoformat
from tracker.store.database import Statement
from tracker.store.schema import deliveries

_AT_ONCE = 100
_KEEP = insert(originals)


def keeping_original(submission: Submission, data: bytes) -> Statement:
    """The statement that keeps a message to be looked at, as these octets."""
    row = {"message_id": submission.id, "kept_at": submission.received_at, "data": data}
    return _KEEP, [row]


def original_of(connection: Connection, message_id: bytes, *, since: datetime) -> bytes | None:
    """A message as it came; None where it was not kept, or came before `since`."""
    query = select(originals.c.data).where(originals.c.message_id == message_id, originals.c.kept_at >= since)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else bytes(found)


def is_kept(connection: Connection, message_id: bytes, *, since: datetime) -> bool:
    query = select(originals.c.message_id).where(
        originals.c.message_id == message_id, originals.c.kept_at >= since
    )
    return connection.execute(query).first() is not None


def remove(connection: Connection, messages: Collection[bytes]) -> None:
    """Lets go of these."""
    some = sorted(messages)
    for start in range(0, len(some), 500):
        theirs = originals.c.message_id.in_(some[start : start + 500])
        connection.execute(delete(originals).where(theirs))


def expire(connection: Connection, before: datetime) -> int:
    """Lets go of some that came before then; gives how many."""
    query = select(originals.c.message_id).where(originals.c.kept_at < before).limit(_AT_ONCE)
    ids = list(connection.execute(query).scalars())
    remove(connection, ids)
    return len(ids)


def expired(connection: Connection, before: datetime) -> int:
    query = select(func.count()).select_from(originals).where(originals.c.kept_at < before)
    return int(connection.execute(query).scalar_one())


def kept_for(connection: Connection, address: str) -> list[dict[str, Any]]:
    """Those that went to a person, ready for JSON."""
    query = (
        select(originals.c.message_id, originals.c.kept_at, func.length(originals.c.data).label("size"))
        .where(
            originals.c.message_id.in_(
                select(deliveries.c.message_id).where(deliveries.c.recipient == address)
            )
        )
        .order_by(originals.c.kept_at, originals.c.message_id)
    )
    return [
        {"message": bytes(row.message_id).hex(), "kept_at": isoformat(row.kept_at), "size": row.size}
        for row in connection.execute(query)
    ]
