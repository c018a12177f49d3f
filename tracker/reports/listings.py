"""What pages list: messages with what became of them, and the recipients of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.address import normalize
from tracker.consent import Mode
from tracker.domain import Domain
from tracker.errors import InvalidAddress, NotFound
from tracker.events import EventKind
from tracker.measurable import by_name
from tracker.reports.figures import Figures, message_figures
from tracker.store.rollups_cells import HUMAN
from tracker.store.schema import attempts, deliveries, events, mailings, messages

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
    "group": deliveries.c.grp,
    "reason": deliveries.c.reason,
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
    hidden: bool = False
    """What they did may not be told of them by name today, so it is left out."""
    answer: str = ""
    """What the other side said last."""


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

    return await domain.database.view(work, within=30.0)


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
    counted = message_figures(connection, [bytes(row.id) for row in rows])
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
    metadata: dict[str, str]
    """The sender's variables."""
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
            metadata=row.metadata or {},
            variant=row.variant,
            message_class=row._mapping["class"],
            untouched=row.untouched,
            kept=tuple(kept.most_common()),
        )

    return await domain.database.read(work, within=30.0)


async def recipients(
    domain: Domain,
    message_id: bytes,
    *,
    search: str = "",
    sort: str,
    descending: bool,
    limit: int,
    offset: int = 0,
) -> list[ListedRecipient]:
    """The deliveries of a message whose address, group, state or reason holds `search`, each with its last answer and
    its first open and click, but for those who may not be measured by name today. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[ListedRecipient]:
        order = _RECIPIENT_SORTS[sort]
        query = (
            select(deliveries)
            .where(deliveries.c.message_id == message_id)
            .order_by(order.desc() if descending else order.asc(), deliveries.c.position)
        )
        if search:
            columns = deliveries.c.recipient, deliveries.c.grp, deliveries.c.status, deliveries.c.reason
            query = query.where(or_(*(column.icontains(search, autoescape=True) for column in columns)))
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        return _with_signs(domain, connection, rows)

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


def _with_signs(domain: Domain, connection: Connection, rows: Sequence[Any]) -> list[ListedRecipient]:
    ids = [bytes(row.id) for row in rows]
    happened, said = signs(connection, ids), last_answers(connection, ids)
    addresses = list(dict.fromkeys(row.recipient for row in rows if row.recipient is not None))
    may: set[str] = set()
    for start in range(0, len(addresses), 500):
        may |= by_name(domain, connection, addresses[start : start + 500]).keys()
    listed = []
    for row in rows:
        is_hidden = row.mode == Mode.IDENTIFIED and row.recipient not in may
        opens, clicks = (
            [] if is_hidden else happened.get((bytes(row.id), kind.value), []) for kind in EventKind
        )
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
                hidden=is_hidden,
                answer=said.get(bytes(row.id), ""),
            )
        )
    return listed


def last_answers(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, str]:
    """What the other side said last of each delivery, as codes and words."""
    found: dict[bytes, str] = {}
    for start in range(0, len(ids), 500):
        last = (
            select(func.max(attempts.c.id).label("id"))
            .where(attempts.c.delivery_id.in_(ids[start : start + 500]))
            .group_by(attempts.c.delivery_id)
            .subquery()
        )
        query = select(attempts).join(last, last.c.id == attempts.c.id)
        for row in connection.execute(query):
            words = " ".join(str(part) for part in (row.code, row.enhanced, row.text) if part)
            found[bytes(row.delivery_id)] = " ".join(words.split())
    return found
