"""What mail keeps of people in tables of its own, for the tracker's export, erasure and purge.

Spool and queue hold an address until its mail is settled. Somebody who is erased meanwhile gets that mail all the same,
untracked, and their row goes with it; so an erasure takes nothing from the queue. An address that takes no mail stays
suppressed after an erasure, by its keyed hash.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from relay.store.originals import expire, expired, kept_for, remove
from relay.store.schema import queue, return_paths, spool, suppressions
from tracker.address import erased_key, normalize
from tracker.errors import InvalidAddress
from tracker.moments import isoformat
from tracker.store.schema import deliveries
from tracker.tokens import KeyRing


class Holdings:
    """Fulfils `tracker.store.holders.Holder`."""

    def export(
        self, connection: Connection, address: str, ring: KeyRing
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """`queue`: mail that is still owed to the person; `suppression`: why they get none; `return_paths`: messages
        of theirs of which reports come back to them; `originals`: messages to them that are kept to be looked at."""
        key = erased_key(address, ring.permanent)
        return {
            "queue": _waiting(connection, address),
            "suppression": _suppressed(connection, key),
            "return_paths": _return_paths(connection, key),
            "originals": kept_for(connection, address),
        }

    def erase(self, connection: Connection, address: str, ring: KeyRing) -> None:
        key = erased_key(address, ring.permanent)
        mine = update(suppressions).where(suppressions.c.person_key == key)
        connection.execute(mine.values(address=None, note=""))
        connection.execute(delete(return_paths).where(return_paths.c.sender_key == key))

    def forget_content(self, connection: Connection, messages: Collection[bytes]) -> None:
        remove(connection, messages)

    def expire(self, connection: Connection, before: datetime) -> int:
        return expire(connection, before)

    def expired(self, connection: Connection, before: datetime) -> int:
        return expired(connection, before)

    def purge(self, connection: Connection, messages: Collection[bytes]) -> None:
        """What waits leaves the queue with its last recipient, and not before."""
        connection.execute(delete(return_paths).where(return_paths.c.message_id.in_(messages)))
        remove(connection, messages)


def _suppressed(connection: Connection, key: bytes) -> list[dict[str, Any]]:
    return [
        {
            "reason": row.reason,
            "note": row.note,
            "bounces": row.bounces,
            "since": None if row.since is None else isoformat(row.since),
            "last_at": isoformat(row.last_at),
        }
        for row in connection.execute(select(suppressions).where(suppressions.c.person_key == key))
    ]


def _return_paths(connection: Connection, key: bytes) -> list[dict[str, Any]]:
    rows = connection.execute(select(return_paths).where(return_paths.c.sender_key == key))
    return [{"message": bytes(row.message_id).hex(), "sender": row.sender} for row in rows]


def _waiting(connection: Connection, address: str) -> list[dict[str, Any]]:
    """By the delivery, which has the address in normal form, or, where that names nobody any more, by the address as
    it was given: in any case, and with the domain in either of its forms."""
    local = address.rpartition("@")[0]
    given = func.lower(queue.c.address).startswith(f"{local}@", autoescape=True)
    query = (
        select(
            queue,
            deliveries.c.recipient,
            spool.c.sender,
            spool.c.received_at,
            func.length(spool.c.data).label("size"),
        )
        .outerjoin(deliveries, deliveries.c.id == queue.c.delivery_id)
        .outerjoin(spool, spool.c.message_id == queue.c.message_id)
        .where(or_(deliveries.c.recipient == address, given))
        .order_by(queue.c.queued_at, queue.c.delivery_id)
    )
    return [
        _row(row)
        for row in connection.execute(query)
        if row.recipient == address or _normal(row.address) == address
    ]


def _row(row: Any) -> dict[str, Any]:
    return {
        "delivery": bytes(row.delivery_id).hex(),
        "message": bytes(row.message_id).hex(),
        "address": row.address,
        "sender": row.sender,
        "received_at": None if row.received_at is None else isoformat(row.received_at),
        "size": row.size,
        "state": row.state,
        "tries": row.tries,
        "queued_at": isoformat(datetime.fromtimestamp(row.queued_at, UTC)),
        "original_recipient": row.orcpt,
    }


def _normal(address: str) -> str | None:
    try:
        return normalize(address)
    except InvalidAddress:
        return None
