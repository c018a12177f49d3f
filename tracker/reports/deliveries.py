"""Single deliveries: found by recipient, subject, domain, state and what the other side said, and one with its story.

Nothing here tells what anybody opened or clicked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.address import normalize
from tracker.domain import Domain
from tracker.errors import InvalidAddress, NotFound
from tracker.store.answers import last_words
from tracker.store.deliveries import Attempt
from tracker.store.messages import OWN_REPORT
from tracker.store.schema import attempts, deliveries, messages

STATUSES = ("queued", "accepted", "deferred", "bounced", "complained", "skipped", "returned")
_IDS_AT_ONCE = 500
_SORTS: Mapping[str, ColumnElement[Any]] = {
    "received": messages.c.received_at,
    "changed": deliveries.c.updated_at,
    "recipient": deliveries.c.recipient,
    "subject": messages.c.subject,
    "domain": deliveries.c.domain,
    "status": deliveries.c.status,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Deliveries of mail received in a time, that fit everything that is said."""

    since: datetime
    until: datetime
    search: str = ""
    """A part of the recipient or the subject; a whole address is found at once."""
    domain: str = ""
    status: str = ""
    reply: str = ""
    """What was answered last; see `tracker.store.answers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelivery:
    """One delivery, with what was said last about it."""

    id: bytes
    message_id: bytes
    received_at: datetime
    """When its message came."""
    changed_at: datetime
    subject: str
    sender: str
    recipient: str | None
    """None once erased, and for reports of our own."""
    is_report: bool
    """A report of ours to a sender: whom it went to is not written down with it."""
    domain: str
    status: str
    mode: str
    reason: str
    last: Attempt | None


async def find_deliveries(
    domain: Domain, sought: Sought, *, sort: str, descending: bool, limit: int, offset: int = 0
) -> list[ListedDelivery]:
    """Raises StoreUnavailable."""

    def work(connection: Connection) -> list[ListedDelivery]:
        order = _SORTS[sort]
        query = _sought(sought).order_by(order.desc() if descending else order.asc(), deliveries.c.id)
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        tries = tries_among(connection, [bytes(row.id) for row in rows])
        return [_listed(row, tries.get(bytes(row.id), ())) for row in rows]

    return await domain.database.read(work, within=30.0)


async def delivery_story(domain: Domain, delivery_id: bytes) -> tuple[ListedDelivery, Sequence[Attempt]]:
    """One delivery with every try, first to last. Raises NotFound, StoreUnavailable."""

    def work(connection: Connection) -> tuple[ListedDelivery, Sequence[Attempt]]:
        row = connection.execute(_DELIVERIES.where(deliveries.c.id == delivery_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no delivery {delivery_id.hex()}")
        tries = tries_among(connection, [delivery_id]).get(delivery_id, ())
        return _listed(row, tries), tries

    return await domain.database.read(work)


async def tries_of(domain: Domain, ids: Sequence[bytes]) -> dict[bytes, list[Attempt]]:
    """What became of each delivery's tries, first to last. Raises StoreUnavailable."""
    return await domain.database.read(lambda connection: tries_among(connection, ids), within=30.0)


_DELIVERIES = select(
    deliveries,
    messages.c.received_at,
    messages.c.subject,
    messages.c.sender,
    messages.c.untouched,
).join(messages, messages.c.id == deliveries.c.message_id)


def _sought(wanted: Sought) -> Select[Any]:
    query = _DELIVERIES.where(messages.c.received_at.between(wanted.since, wanted.until))
    if wanted.search:
        query = query.where(_searched(wanted.search))
    if wanted.domain:
        query = query.where(deliveries.c.domain == wanted.domain.lstrip("@").lower())
    if wanted.status:
        query = query.where(deliveries.c.status == wanted.status)
    if wanted.reply:
        query = query.where(last_words(deliveries.c.id, wanted.reply))
    return query


def _searched(search: str) -> ColumnElement[bool]:
    try:
        return deliveries.c.recipient == normalize(search)
    except InvalidAddress:
        columns = deliveries.c.recipient, messages.c.subject
        return or_(*(column.icontains(search, autoescape=True) for column in columns))


def tries_among(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, list[Attempt]]:
    """By delivery, first to last."""
    found: dict[bytes, list[Attempt]] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        theirs = attempts.c.delivery_id.in_(ids[start : start + _IDS_AT_ONCE])
        for row in connection.execute(select(attempts).where(theirs).order_by(attempts.c.id)):
            one = Attempt(
                delivery_id=bytes(row.delivery_id),
                at=row.at,
                status=row.status,
                host=row.host,
                tls=row.tls,
                code=row.code,
                enhanced=row.enhanced,
                text=row.text,
            )
            found.setdefault(one.delivery_id, []).append(one)
    return found


def _listed(row: Any, tries: Sequence[Attempt]) -> ListedDelivery:
    return ListedDelivery(
        id=bytes(row.id),
        message_id=bytes(row.message_id),
        received_at=row.received_at,
        changed_at=row.updated_at,
        subject=row.subject,
        sender=row.sender,
        recipient=row.recipient,
        is_report=row.untouched == OWN_REPORT,
        domain=row.domain,
        status=row.status,
        mode=row.mode,
        reason=row.reason,
        last=tries[-1] if tries else None,
    )
