"""What came back of deliveries, in SQL: whom a report is passed on to, and what it says of whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text, update

from relay.store.schema import return_paths
from tracker.address import erased_key, normalize
from tracker.errors import InvalidAddress
from tracker.store import deliveries as tracked
from tracker.store.database import Statement, execute
from tracker.store.deliveries import Attempt
from tracker.store.schema import Id, attempts, deliveries
from tracker.tokens import KeyRing

_KEEP_SENDER = text(
    "INSERT INTO return_paths (message_id, sender, sender_key) SELECT :message_id, CAST(:sender AS TEXT), :sender_key"
    " WHERE NOT EXISTS (SELECT 1 FROM contacts WHERE erased_key = :sender_key) ON CONFLICT (message_id) DO NOTHING"
).bindparams(bindparam("message_id", type_=Id), bindparam("sender_key", type_=Id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A delivery of which something came back."""

    delivery_id: bytes
    message_id: bytes
    recipient: str | None
    """In normal form; None for an erased person."""
    status: str
    sender: str | None
    """The envelope sender that its client gave; None where it is not on record, or was erased."""


def keeping_sender(message_id: bytes, sender: str, ring: KeyRing) -> Statement:
    """The statement that keeps the sender of a message whose envelope senders will be ours. It waits for erasures
    where it stands behind the message's own record, and changes nothing where it is known."""
    try:
        key = erased_key(normalize(sender), ring.permanent)
    except InvalidAddress:  # nobody can be erased under it
        key = None
    return _KEEP_SENDER, [{"message_id": message_id, "sender": sender, "sender_key": key}]


def find(connection: Connection, ids: Sequence[bytes]) -> list[Returned]:
    """The deliveries of these ids that are on record."""
    query = (
        select(
            deliveries.c.id,
            deliveries.c.message_id,
            deliveries.c.recipient,
            deliveries.c.status,
            return_paths.c.sender,
        )
        .select_from(deliveries.outerjoin(return_paths, return_paths.c.message_id == deliveries.c.message_id))
        .where(deliveries.c.id.in_(ids))
    )
    return [
        Returned(
            delivery_id=bytes(row.id),
            message_id=bytes(row.message_id),
            recipient=row.recipient,
            status=row.status,
            sender=row.sender,
        )
        for row in connection.execute(query)
    ]


def record(
    connection: Connection, delivery_id: bytes, told: Sequence[Attempt], status: str | None, at: datetime
) -> bool:
    """Writes down what a report says of a delivery, and its new state when that changes. False when all of it is on
    record already: the same report came twice."""
    # Two of the same at once: the second waits here and finds what the first wrote.
    held = select(deliveries.c.status).where(deliveries.c.id == delivery_id).with_for_update()
    row = connection.execute(held).one_or_none()
    if row is None:
        return False
    known = select(attempts).where(attempts.c.delivery_id == delivery_id)
    said = {(one.status, one.host, one.code, one.enhanced) for one in connection.execute(known)}
    fresh = [one for one in told if (one.status, one.host, one.code, one.enhanced) not in said]
    if not fresh:
        return False
    execute(connection, [tracked.noting(fresh)])
    change = update(deliveries).where(deliveries.c.id == delivery_id)
    # Whoever complains has the mail: a bounce of a copy forwarded on does not take that back.
    if status is not None and row.status != "complained":
        change = change.values(status=status, updated_at=at)
    connection.execute(change.values(unrolled=1))
    return True
