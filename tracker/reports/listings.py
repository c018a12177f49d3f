"""What pages list: messages with what became of them, and the recipients of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.address import normalize
from tracker.domain import Domain
from tracker.errors import InvalidAddress, NotFound
from tracker.events import EventKind
from tracker.reports.figures import Figures, figures_by
from tracker.reports.sums import Scope
from tracker.store.rollups_cells import HUMAN
from tracker.store.schema import deliveries, events, mailings, messages

_SORTS: Mapping[str, ColumnElement[Any]] = {
    "received": messages.c.received_at,
    "from": messages.c.from_header,
    "subject": messages.c.subject,
    "campaign": mailings.c.name,
}
_RECIPIENT_SORTS: Mapping[str, ColumnElement[Any]] = {
    "position": deliveries.c.position,
    "recipient": deliveries.c.recipient,
    "status": deliveries.c.status,
    "mode": deliveries.c.mode,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMessage:
    """One message among others."""

    id: bytes
    received_at: datetime
    author: str
    subject: str
    campaign: str
    variant: str | None
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRecipient:
    """One delivery of a message."""

    delivery_id: bytes
    recipient: str | None
    """None once erased."""
    group: str | None
    status: str
    mode: str
    reason: str
    first_open: datetime | None
    first_click: datetime | None
    """The first by a person or their mail service's proxy; None too where it is not measured by name."""
    clicks: int


async def find_messages(
    domain: Domain, search: str, *, sort: str, descending: bool, limit: int, offset: int = 0
) -> list[ListedMessage]:
    """Messages whose subject, author or campaign holds `search`, or that went to that address. Raises
    StoreUnavailable."""

    def work(connection: Connection) -> list[ListedMessage]:
        order = _SORTS[sort]
        query = _searched(search).order_by(order.desc() if descending else order.asc(), messages.c.id)
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        return _with_figures(connection, rows)

    return await domain.database.read(work, within=30.0)


def _searched(search: str) -> Select[Any]:
    query = select(
        messages.c.id,
        messages.c.received_at,
        messages.c.from_header,
        messages.c.subject,
        messages.c.variant,
        mailings.c.name,
    ).join(mailings, mailings.c.id == messages.c.mailing_id)
    if not search:
        return query
    columns = messages.c.subject, messages.c.from_header, mailings.c.name
    fits = [column.icontains(search, autoescape=True) for column in columns]
    try:
        theirs = select(deliveries.c.message_id).where(deliveries.c.recipient == normalize(search))
        fits.append(messages.c.id.in_(theirs))
    except InvalidAddress:
        pass
    return query.where(or_(*fits))


def _with_figures(connection: Connection, rows: Sequence[Any]) -> list[ListedMessage]:
    counted = figures_by(connection, {bytes(row.id): Scope(message=bytes(row.id)) for row in rows})
    return [
        ListedMessage(
            id=bytes(row.id),
            received_at=row.received_at,
            author=row.from_header,
            subject=row.subject,
            campaign=row.name,
            variant=row.variant,
            figures=counted[bytes(row.id)],
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What is on record of a message beside its numbers."""

    received_at: datetime
    author: str
    sender: str
    size: int
    """Octets."""
    tags: tuple[str, ...]
    variant: str | None
    message_class: str | None
    untouched: str | None
    """Why the message as a whole was not tracked; None where it was."""
    kept: tuple[tuple[str, int], ...]
    """Why links and parts stayed as they were, and how often."""


async def message_facts(domain: Domain, message_id: bytes) -> MessageFacts:
    """Raises NotFound, StoreUnavailable."""

    def work(connection: Connection) -> MessageFacts:
        row = connection.execute(select(messages).where(messages.c.id == message_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no message {message_id.hex()}")
        kept: Counter[str] = Counter()
        for _part, reason, _where, times in row.kept or ():
            kept[reason] += times
        return MessageFacts(
            received_at=row.received_at,
            author=row.from_header,
            sender=row.sender,
            size=row.size,
            tags=tuple(row.tags),
            variant=row.variant,
            message_class=row._mapping["class"],
            untouched=row.untouched,
            kept=tuple(kept.most_common()),
        )

    return await domain.database.read(work, within=30.0)


async def recipients(
    domain: Domain, message_id: bytes, *, sort: str, descending: bool, limit: int, offset: int = 0
) -> list[ListedRecipient]:
    """The deliveries of a message, each with its first open and click. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[ListedRecipient]:
        order = _RECIPIENT_SORTS[sort]
        query = (
            select(deliveries)
            .where(deliveries.c.message_id == message_id)
            .order_by(order.desc() if descending else order.asc(), deliveries.c.position)
        )
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        return _with_signs(rows, signs(connection, [bytes(row.id) for row in rows]))

    return await domain.database.read(work, within=30.0)


def signs(connection: Connection, ids: Sequence[bytes]) -> dict[tuple[bytes, str], list[datetime]]:
    """When people opened and clicked, earliest first, by delivery and kind."""
    found: dict[tuple[bytes, str], list[datetime]] = {}
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        query = select(events.c.delivery_id, events.c.kind, events.c.at).where(
            events.c.delivery_id.in_(some), events.c.verdict.in_(HUMAN)
        )
        for row in connection.execute(query.order_by(events.c.at)):
            found.setdefault((bytes(row.delivery_id), row.kind), []).append(row.at)
    return found


def _with_signs(
    rows: Iterable[Any], signs: Mapping[tuple[bytes, str], list[datetime]]
) -> list[ListedRecipient]:
    listed = []
    for row in rows:
        opens = signs.get((bytes(row.id), EventKind.OPENED.value), [])
        clicks = signs.get((bytes(row.id), EventKind.CLICKED.value), [])
        listed.append(
            ListedRecipient(
                delivery_id=bytes(row.id),
                recipient=row.recipient,
                group=row.grp,
                status=row.status,
                mode=row.mode,
                reason=row.reason,
                first_open=opens[0] if opens else None,
                first_click=clicks[0] if clicks else None,
                clicks=len(clicks),
            )
        )
    return listed
