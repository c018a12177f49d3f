"""What mail keeps of people in tables of its own, for the tracker's export, erasure and purge.

Spool and queue hold an address until its mail is settled. Somebody who is erased meanwhile gets that mail all the same,
untracked, and their row goes with it; so an erasure takes nothing from the queue.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, or_, select

from relay.store.schema import queue, spool
from tracker.address import normalize
from tracker.errors import InvalidAddress
from tracker.moments import isoformat
from tracker.store.schema import deliveries
from tracker.tokens import KeyRing


class Holdings:
    """Fulfils `tracker.store.holders.Holder`."""

    def export(
        self, connection: Connection, address: str, ring: KeyRing
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """`queue`: mail that is still owed to the person."""
        return {"queue": _waiting(connection, address)}

    def erase(self, connection: Connection, address: str, ring: KeyRing) -> None:
        """Nothing: what waits is delivered, untracked, and then forgotten."""

    def purge(self, connection: Connection, messages: Collection[bytes]) -> None:
        """Nothing: a message that still waits leaves with its last recipient."""


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
