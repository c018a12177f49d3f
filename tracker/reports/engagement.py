"""Who is worth a call, who has gone quiet, and who of a department has shown that they read.

Only people who may be measured by name *today* are named: whoever refused since, or asked to be counted without a
name, is in no list. Machines count for nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, and_, case, distinct, exists, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.consent import Mode
from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import EventKind
from tracker.measurable import by_name
from tracker.segments.selection import Selection
from tracker.store.carried import DELIVERED, HUMAN
from tracker.store.schema import contacts, deliveries, events, messages

_CLICK, _OPEN = 3, 1
"""What a mail that was clicked or opened is worth to a lead: a click takes a decision, an open a glance."""
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Somebody who engages."""

    address: str
    group: str | None
    opened: int
    clicked: int
    """Messages, not hits."""
    last: datetime
    score: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Somebody who gets mail and shows no sign of life."""

    address: str
    group: str | None
    delivered: int
    """In the period."""
    last_mail: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One department and one message. What is not measured is never "not read"."""

    group: str
    recipients: int
    delivered: int
    measured: int
    read: int
    """Opened or clicked, of those measured."""

    @property
    def not_shown(self) -> int:
        """Measured, delivered, and no sign of reading."""
        return self.measured - self.read

    @property
    def not_measured(self) -> int:
        return self.delivered - self.measured


async def leads(
    domain: Domain, *, since: datetime, limit: int, segment: Selection | None = None
) -> list[Lead]:
    """Who engaged most since then, best first; of a segment, where one is given. Raises StoreUnavailable."""

    def clicked_or(kind: EventKind) -> ColumnElement[int]:
        return func.count(distinct(case((events.c.kind == kind.value, events.c.message_id))))

    opened, clicked = clicked_or(EventKind.OPENED), clicked_or(EventKind.CLICKED)
    score, last = opened * _OPEN + clicked * _CLICK, func.max(events.c.at)

    def work(connection: Connection) -> list[Lead]:
        query = (
            select(
                deliveries.c.recipient,
                opened.label("opened"),
                clicked.label("clicked"),
                last.label("last"),
                score.label("score"),
            )
            .select_from(events.join(deliveries, deliveries.c.id == events.c.delivery_id))
            .where(events.c.at >= since, events.c.verdict.in_(HUMAN), deliveries.c.recipient.is_not(None))
            .group_by(deliveries.c.recipient)
            .order_by(score.desc(), last.desc(), deliveries.c.recipient)
        )
        found: list[Lead] = []
        for rows in connection.execute(query).partitions(_CHUNK):
            may = _chosen(connection, by_name(domain, connection, [row.recipient for row in rows]), segment)
            for row in rows:
                if row.recipient in may and len(found) < limit:
                    found.append(
                        Lead(
                            address=row.recipient,
                            group=may[row.recipient],
                            opened=row.opened,
                            clicked=row.clicked,
                            last=row.last,
                            score=row.score,
                        )
                    )
            if len(found) == limit:
                break
        return found

    return await domain.database.read(work, within=30.0)


async def quiet(
    domain: Domain, *, since: datetime, least: int, limit: int, segment: Selection | None = None
) -> list[Quiet]:
    """Who got at least so many measured mails since then and showed no sign of life; those with most mail first; of a
    segment, where one is given. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[Quiet]:
        number, last = func.count(), func.max(messages.c.received_at)
        theirs = deliveries.alias()
        alive = exists().where(
            theirs.c.recipient == deliveries.c.recipient,
            events.c.delivery_id == theirs.c.id,
            events.c.at >= since,
            events.c.verdict.in_(HUMAN),
        )
        opened_a_day = exists().where(
            contacts.c.address == deliveries.c.recipient, contacts.c.last_open_day >= f"{since:%Y-%m-%d}"
        )
        shows = or_(deliveries.c.mode == Mode.IDENTIFIED.value, deliveries.c.mode == Mode.HYGIENE.value)
        query = (
            select(deliveries.c.recipient, number.label("n"), last.label("last"))
            .join(messages, messages.c.id == deliveries.c.message_id)
            .where(
                messages.c.received_at >= since,
                deliveries.c.recipient.is_not(None),
                and_(shows, deliveries.c.status.in_(DELIVERED)),
                ~alive,
                ~opened_a_day,
            )
            .group_by(deliveries.c.recipient)
            .having(number >= least)
            .order_by(number.desc(), deliveries.c.recipient)
        )
        found: list[Quiet] = []
        for rows in connection.execute(query).partitions(_CHUNK):
            people = [row.recipient for row in rows]
            may = _chosen(connection, by_name(domain, connection, people, or_else=Mode.HYGIENE), segment)
            found += [
                Quiet(address=row.recipient, group=may[row.recipient], delivered=row.n, last_mail=row.last)
                for row in rows
                if row.recipient in may
            ]
            if len(found) >= limit:
                break
        return found[:limit]

    return await domain.database.read(work, within=30.0)


async def who_has_read(
    domain: Domain, message_id: bytes, *, segment: Selection | None = None
) -> list[Reading]:
    """By department, how many have shown that they read a message. Of a segment, where one is given: then, since it may
    be one about few, measured is only who may be measured by name today. Raises NotFound, StoreUnavailable."""
    if segment is not None:
        return await _who_of_them_has_read(domain, message_id, segment)

    def work(connection: Connection) -> list[Reading]:
        _check_message(connection, message_id)
        arrived = deliveries.c.status.in_(DELIVERED)
        measured = arrived & (deliveries.c.mode == Mode.IDENTIFIED.value)
        read = exists().where(events.c.delivery_id == deliveries.c.id, events.c.verdict.in_(HUMAN))
        group = func.coalesce(deliveries.c.grp, "")
        query = (
            select(
                group.label("grp"),
                func.count().label("recipients"),
                func.count(case((arrived, 1))).label("delivered"),
                func.count(case((measured, 1))).label("measured"),
                func.count(case((measured & read, 1))).label("read"),
            )
            .where(deliveries.c.message_id == message_id)
            .group_by(group)
            .order_by(group)
        )
        return [
            Reading(
                group=row.grp,
                recipients=row.recipients,
                delivered=row.delivered,
                measured=row.measured,
                read=row.read,
            )
            for row in connection.execute(query)
        ]

    return await domain.database.read(work, within=30.0)


def _check_message(connection: Connection, message_id: bytes) -> None:
    if connection.execute(select(messages.c.id).where(messages.c.id == message_id)).first() is None:
        raise NotFound(f"there is no message {message_id.hex()}")


async def _who_of_them_has_read(domain: Domain, message_id: bytes, segment: Selection) -> list[Reading]:
    counted: dict[str, Counter[str]] = {}
    after: bytes | None = b""
    while after is not None:
        rows, after = await domain.database.read(
            partial(_read_by, domain, message_id=message_id, segment=segment, after=after), within=30.0
        )
        for group, *facts in rows:
            counted.setdefault(group, Counter()).update(dict(zip(_FACTS, facts, strict=True)))
    return [
        Reading(group=group, **{name: counted[group][name] for name in _FACTS}) for group in sorted(counted)
    ]


_FACTS = ("recipients", "delivered", "measured", "read")
_Fact = tuple[str, bool, bool, bool, bool]


def _read_by(
    domain: Domain, connection: Connection, message_id: bytes, segment: Selection, after: bytes
) -> tuple[list[_Fact], bytes | None]:
    """Of the next recipients who are in the segment, what is known of each; and where to go on."""
    _check_message(connection, message_id)
    read = exists().where(events.c.delivery_id == deliveries.c.id, events.c.verdict.in_(HUMAN))
    columns = (
        deliveries.c.id,
        deliveries.c.recipient,
        deliveries.c.grp,
        deliveries.c.mode,
        deliveries.c.status,
    )
    query = (
        select(*columns, read.label("read"))
        .where(deliveries.c.message_id == message_id, deliveries.c.id > after)
        .order_by(deliveries.c.id)
        .limit(_CHUNK)
    )
    rows = connection.execute(query).all()
    people = [row.recipient for row in rows if row.recipient is not None]
    chosen, may = segment.among(connection, people), by_name(domain, connection, people)
    found = []
    for row in rows:
        if row.recipient in chosen:
            arrived = row.status in DELIVERED
            measured = arrived and row.mode == Mode.IDENTIFIED.value and row.recipient in may
            found.append((row.grp or "", True, arrived, measured, measured and bool(row.read)))
    return found, bytes(rows[-1].id) if len(rows) == _CHUNK else None


def _chosen(
    connection: Connection, may: dict[str, str | None], segment: Selection | None
) -> dict[str, str | None]:
    """Those of them who are in the segment."""
    if segment is None:
        return may
    within = segment.among(connection, may)
    return {address: group for address, group in may.items() if address in within}
