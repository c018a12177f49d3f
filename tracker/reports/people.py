"""What pages list of people: who is known, and what one of them got and did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import EventKind
from tracker.measurable import by_name
from tracker.reports.listings import signs
from tracker.store.schema import contacts, deliveries, messages

_SORTS: Mapping[str, ColumnElement[Any]] = {
    "address": contacts.c.address,
    "consent": contacts.c.tracking_consent,
    "do_not_track": contacts.c.do_not_track,
    "country": contacts.c.country,
    "group": contacts.c.grp,
    "since": contacts.c.consent_as_of,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPerson:
    """One person among others."""

    id: int
    address: str
    consent: str
    since: datetime | None
    """When they said so; None where they never said anything."""
    do_not_track: str
    country: str | None
    group: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One mail that a person got."""

    message_id: bytes
    received_at: datetime
    subject: str
    status: str
    mode: str
    reason: str
    first_open: datetime | None
    first_click: datetime | None
    """By the person; None too where it is not measured by name."""
    clicks: int


async def find_people(
    domain: Domain, search: str, *, sort: str, descending: bool, limit: int, offset: int = 0
) -> list[ListedPerson]:
    """People whose address or group holds `search`; nobody who was erased. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[ListedPerson]:
        order = _SORTS[sort]
        query = select(contacts).where(contacts.c.address.is_not(None))
        if search:
            fits = (
                column.icontains(search, autoescape=True) for column in (contacts.c.address, contacts.c.grp)
            )
            query = query.where(or_(*fits))
        query = query.order_by(order.desc() if descending else order.asc(), contacts.c.id)
        return [
            ListedPerson(
                id=row.id,
                address=row.address,
                consent=row.tracking_consent,
                since=row.consent_as_of,
                do_not_track=row.do_not_track,
                country=row.country,
                group=row.grp,
            )
            for row in connection.execute(query.limit(limit).offset(offset))
        ]

    return await domain.database.read(work, within=30.0)


async def address_of(domain: Domain, contact_id: int) -> str | None:
    """The address of a person; None once erased. Raises NotFound, StoreUnavailable."""

    def work(connection: Connection) -> str | None:
        row = connection.execute(select(contacts.c.address).where(contacts.c.id == contact_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no contact {contact_id}")
        return None if row.address is None else str(row.address)

    return await domain.database.read(work)


async def mail_of(domain: Domain, address: str, *, limit: int, offset: int = 0) -> list[Received]:
    """What the person got, latest first. `address` in normal form. What they did with it is left out where it may not
    be told of them by name today. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[Received]:
        query = (
            select(deliveries, messages.c.received_at, messages.c.subject)
            .join(messages, messages.c.id == deliveries.c.message_id)
            .where(deliveries.c.recipient == address)
            .order_by(messages.c.received_at.desc(), deliveries.c.id)
        )
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        may = bool(by_name(domain, connection, [address]))
        happened = signs(connection, [bytes(row.id) for row in rows]) if may else {}
        return [_received(row, happened) for row in rows]

    return await domain.database.read(work, within=30.0)


def _received(row: Any, happened: Mapping[tuple[bytes, str], list[datetime]]) -> Received:
    opens = happened.get((bytes(row.id), EventKind.OPENED.value), [])
    clicks = happened.get((bytes(row.id), EventKind.CLICKED.value), [])
    return Received(
        message_id=bytes(row.message_id),
        received_at=row.received_at,
        subject=row.subject,
        status=row.status,
        mode=row.mode,
        reason=row.reason,
        first_open=opens[0] if opens else None,
        first_click=clicks[0] if clicks else None,
        clicks=len(clicks),
    )
