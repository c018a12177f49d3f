"""What programs read whole: contacts, messages, deliveries and events, part by part, each part going on behind the last
row of the one before. Nothing here gets slower the further it goes.

Of opens and clicks only those are told whose people may be measured by name today; the rest is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from tracker.behaviour import PROVISIONAL
from tracker.domain import Domain
from tracker.measurable import by_name
from tracker.store.contacts import Person, person_of
from tracker.store.messages import urls
from tracker.store.schema import contacts, deliveries, events, mailings, messages
from tracker.store.settled import settled_until

_WITHIN = 30.0
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Which contacts; None: whatever it is."""

    consent: str | None = None
    do_not_track: str | None = None
    country: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Which messages, or deliveries of them; None: whatever it is."""

    since: datetime | None = None
    until: datetime | None = None
    """When the message came in: from, and before."""
    campaign: str | None = None
    message: bytes | None = None
    contact: str | None = None
    """Their address in normal form."""
    domain: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Behind which message, or delivery of one, a list goes on: latest first."""

    received_at: datetime
    message: bytes
    position: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Events in the order they were written down."""

    rows: Sequence[tuple[Any, str | None]]
    """Each with its `recipient`, and where a click led."""
    until: int
    """The last that was looked at; the next part begins behind it."""
    is_all: bool
    """There is nothing behind it now."""


async def people_after(domain: Domain, which: People, *, after: int, limit: int) -> list[Person]:
    """Those with ids above `after`, by id; nobody who was erased. Raises StoreUnavailable."""
    query = select(contacts).where(contacts.c.id > after, contacts.c.address.is_not(None))
    for column, wanted in (
        (contacts.c.tracking_consent, which.consent),
        (contacts.c.do_not_track, which.do_not_track),
        (contacts.c.country, which.country),
        (contacts.c.grp, which.group),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    query = query.order_by(contacts.c.id).limit(limit)
    return await domain.database.read(
        lambda connection: [person_of(row) for row in connection.execute(query)], within=_WITHIN
    )


async def messages_before(domain: Domain, which: Mail, *, before: Place | None, limit: int) -> Sequence[Any]:
    """Rows of messages with their `mailing`'s name, latest first. Raises StoreUnavailable."""
    query = (
        select(messages, mailings.c.name.label("mailing"))
        .join(mailings, mailings.c.id == messages.c.mailing_id)
        .order_by(messages.c.received_at.desc(), messages.c.id.desc())
        .limit(limit)
    )
    query = _of_mail(query, which)
    if before is not None:
        query = query.where(_earlier(before))
    return await domain.database.read(lambda connection: connection.execute(query).all(), within=_WITHIN)


async def deliveries_before(
    domain: Domain, which: Mail, *, before: Place | None, limit: int
) -> Sequence[Any]:
    """Rows of deliveries with what their message was, the latest message first, in the order of its recipients. What
    anybody did with them is not told. Raises StoreUnavailable."""
    about = (messages.c.received_at, messages.c.subject, messages.c.sender)
    query = select(deliveries, *about).join(messages, messages.c.id == deliveries.c.message_id)
    query = _of_mail(query, which)
    for column, wanted in (
        (deliveries.c.recipient, which.contact),
        (deliveries.c.domain, which.domain),
        (deliveries.c.status, which.status),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        same = (messages.c.id == before.message) & (deliveries.c.position > before.position)
        query = query.where(_earlier(before) | same)
    order = messages.c.received_at.desc(), messages.c.id.desc(), deliveries.c.position
    query = query.order_by(*order).limit(limit)
    return await domain.database.read(lambda connection: connection.execute(query).all(), within=_WITHIN)


def _earlier(place: Place) -> ColumnElement[bool]:
    """Messages that come after this one where the latest comes first."""
    here = literal(place.received_at, messages.c.received_at.type), literal(place.message, messages.c.id.type)
    return tuple_(messages.c.received_at, messages.c.id) < tuple_(*here)


def _of_mail(query: Select[Any], which: Mail) -> Select[Any]:
    if which.since is not None:
        query = query.where(messages.c.received_at >= which.since)
    if which.until is not None:
        query = query.where(messages.c.received_at < which.until)
    if which.message is not None:
        query = query.where(messages.c.id == which.message)
    if which.campaign is not None:
        theirs = select(mailings.c.id).where(mailings.c.name == which.campaign)
        query = query.where(messages.c.mailing_id.in_(theirs))
    return query


async def events_after(
    domain: Domain,
    *,
    after: int,
    limit: int,
    message: bytes | None = None,
    kind: str | None = None,
    final: bool = False,
    now: datetime,
) -> Happened:
    """Events with ids above `after`, in the order of their ids; on PostgreSQL too none is missing below the last.
    `final`: only up to where verdicts do not change any more by what follows. Raises StoreUnavailable."""
    whole = await settled_until(domain.database, after=after)

    def work(connection: Connection) -> Happened:
        until = min(whole, _last_final(connection, after, now)) if final else whole
        query = (
            select(events, deliveries.c.recipient)
            .outerjoin(deliveries, deliveries.c.id == events.c.delivery_id)
            .where(events.c.id > after, events.c.id <= until)
            .order_by(events.c.id)
            .limit(limit)
        )
        if message is not None:
            query = query.where(events.c.message_id == message)
        if kind is not None:
            query = query.where(events.c.kind == kind)
        rows = connection.execute(query).all()
        is_all = len(rows) < limit
        last = max(until, after) if is_all else rows[-1].id
        return Happened(
            rows=_with_urls(connection, _named(domain, connection, rows)), until=last, is_all=is_all
        )

    return await domain.database.read(work, within=_WITHIN)


def _last_final(connection: Connection, after: int, now: datetime) -> int:
    fresh = events.c.at > now - timedelta(seconds=PROVISIONAL)
    query = select(func.min(events.c.id)).where(events.c.id > after, fresh)
    first: int | None = connection.execute(query).scalar_one()
    return 2**62 if first is None else first - 1


def _named(domain: Domain, connection: Connection, rows: Sequence[Any]) -> list[Any]:
    asked = list(dict.fromkeys(row.recipient for row in rows if row.recipient is not None))
    may: set[str] = set()
    for start in range(0, len(asked), _AT_ONCE):
        may |= by_name(domain, connection, asked[start : start + _AT_ONCE]).keys()
    return [row for row in rows if row.recipient in may]


def _with_urls(connection: Connection, rows: Sequence[Any]) -> list[tuple[Any, str | None]]:
    leads = urls(connection, {bytes(row.message_id) for row in rows if row.link is not None})
    return [
        (row, leads.get((bytes(row.message_id), row.link)) if row.link is not None else None) for row in rows
    ]
