"""Who is worth a call, and who has gone quiet.

Only people who may be measured by name *today* are named: whoever refused since, or asked to be counted without a
name, is in no list. Machines count for nothing.

When somebody last did something is kept on their deliveries as these are rolled up (`tracker.store.rollups_facts`), and
an index over it brings people in order. Of the few with mail that is not rolled up yet it is looked up in the events, and
they are put in their places.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    Connection,
    Select,
    and_,
    case,
    distinct,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

from tracker.consent import Mode
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.measurable import by_name
from tracker.segments.selection import Selection
from tracker.store.carried import DELIVERED, HUMAN
from tracker.store.rollups import people_waiting
from tracker.store.schema import contacts, deliveries, events, messages

_CLICK, _OPEN = 3, 1
"""What a mail that was clicked or opened is worth to a lead: a click takes a decision, an open a glance."""
_CHUNK = 500
_FIRST = 1000


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


_One = TypeVar("_One")
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_ALIVE: ColumnElement[int] = literal_column("deliveries.alive_at")
_SILENT: ColumnElement[int] = literal_column("deliveries.silent_at")
_PERSON: ColumnElement[str] = literal_column("coalesce(deliveries.recipient, '')")
"""So, or SQLite goes through everybody by name, and not through what is recent. `""` is who was erased."""


async def leads(
    domain: Domain, *, since: datetime, limit: int, segment: Selection | None = None
) -> list[Lead]:
    """Who engaged most since then, best first; of a segment, where one is given. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[Lead]:
        found: list[Lead] = []
        for some in _in_chunks(_most_engaged(connection, since)):
            people = [one.address for one in some]
            may = _chosen(connection, by_name(domain, connection, people), segment)
            found += [_lead(one, may[one.address]) for one in some if one.address in may]
            if len(found) >= limit:
                break
        return found[:limit]

    return await domain.database.view(work, within=30.0)


async def quiet(
    domain: Domain, *, since: datetime, least: int, limit: int, segment: Selection | None = None
) -> list[Quiet]:
    """Who got at least so many measured mails since then and showed no sign of life; those with most mail first; of a
    segment, where one is given. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[Quiet]:
        found: list[Quiet] = []
        for some in _in_chunks(_most_silent(connection, since, least)):
            people = [one.address for one in some]
            may = _chosen(connection, by_name(domain, connection, people, or_else=Mode.HYGIENE), segment)
            found += [
                Quiet(
                    address=one.address,
                    group=may[one.address],
                    delivered=one.number,
                    last_mail=_moment(one.last),
                )
                for one in some
                if one.address in may
            ]
            if len(found) >= limit:
                break
        return found[:limit]

    return await domain.database.view(work, within=30.0)


# --- who engages ---


class _Engaged(NamedTuple):
    """In the order of the list: the smaller, the better."""

    minus_score: int
    minus_last: int
    """Unix microseconds."""
    address: str
    opened: int
    clicked: int


def _lead(one: _Engaged, group: str | None) -> Lead:
    return Lead(
        address=one.address,
        group=group,
        opened=one.opened,
        clicked=one.clicked,
        last=_moment(-one.minus_last),
        score=-one.minus_score,
    )


def _engaged(address: str, opened: int, clicked: int, last: int) -> _Engaged:
    return _Engaged(-(opened * _OPEN + clicked * _CLICK), -last, address, opened, clicked)


def _most_engaged(connection: Connection, since: datetime) -> Iterator[_Engaged]:
    """Everybody who did something since then."""
    from_then = _micros(since)
    opened = func.count(case((deliveries.c.opened_at >= from_then, 1)))
    clicked = func.count(case((deliveries.c.clicked_at >= from_then, 1)))
    last = func.max(_ALIVE)
    query = (
        select(_PERSON, opened, clicked, last)
        .select_from(deliveries)
        .where(from_then <= _ALIVE)
        .group_by(_PERSON)
        .order_by((opened * _OPEN + clicked * _CLICK).desc(), last.desc(), _PERSON)
    )
    waiting = people_waiting(connection)
    places = _engaged_by_events(connection, since, waiting)
    heapq.heapify(places)
    for rows in _in_order(connection, query):
        some = [_engaged(*row) for row in rows if row[0] and row[0] not in waiting]
        twice = _sent_one_mail_twice(connection, from_then, [one.address for one in some])
        # Their mails were counted twice: their places are further down.
        for one in _engaged_by_events(connection, since, twice):
            heapq.heappush(places, one)
        for one in some:
            while places and places[0] < one:
                yield heapq.heappop(places)
            if one.address not in twice:
                yield one
    yield from sorted(places)


def _sent_one_mail_twice(connection: Connection, since: int, people: Collection[str]) -> set[str]:
    """Who did something about two copies of one message: the envelope may name an address twice."""
    query = (
        select(deliveries.c.recipient)
        .where(deliveries.c.recipient.in_(people), deliveries.c.alive_at >= since)
        .group_by(deliveries.c.recipient, deliveries.c.message_id)
        .having(func.count() > 1)
    )
    return set(connection.execute(query).scalars())


def _engaged_by_events(connection: Connection, since: datetime, people: Iterable[str]) -> list[_Engaged]:
    """The same of these people, looked up in the events."""

    def messages_with(kind: EventKind) -> ColumnElement[int]:
        return func.count(distinct(case((events.c.kind == kind.value, events.c.message_id))))

    query = (
        select(
            deliveries.c.recipient,
            messages_with(EventKind.OPENED),
            messages_with(EventKind.CLICKED),
            func.max(events.c.at),
        )
        .select_from(deliveries.join(events, deliveries.c.id == events.c.delivery_id))
        .where(events.c.at >= since, events.c.verdict.in_(HUMAN))
        .group_by(deliveries.c.recipient)
    )
    return [
        _engaged(address, opened, clicked, _micros(last))
        for some in _in_chunks(sorted(people))
        for address, opened, clicked, last in connection.execute(
            query.where(deliveries.c.recipient.in_(some))
        )
    ]


# --- who is quiet ---


class _Silent(NamedTuple):
    """In the order of the list."""

    minus_number: int
    address: str
    last: int
    """Unix microseconds."""

    @property
    def number(self) -> int:
        return -self.minus_number


def _most_silent(connection: Connection, since: datetime, least: int) -> Iterator[_Silent]:
    """Everybody who got so many measured mails since then, and showed no sign of life."""
    from_then, number = _micros(since), func.count()
    # Who did nothing has no other mail of that time than what nobody did anything about.
    query = (
        select(_PERSON, number, func.max(_SILENT))
        .select_from(deliveries)
        .where(from_then <= _SILENT)
        .group_by(_PERSON)
        .having(number >= least)
        .order_by(number.desc(), _PERSON)
    )
    waiting = people_waiting(connection)
    places = sorted(_silent_by_events(connection, since, least, waiting), reverse=True)
    for rows in _in_order(connection, query):
        some = [_Silent(-n, address, last) for address, n, last in rows if address and address not in waiting]
        alive = _alive(connection, since, [one.address for one in some])
        for one in some:
            while places and places[-1] < one:
                yield places.pop()
            if one.address not in alive:
                yield one
    yield from reversed(places)


def _alive(connection: Connection, since: datetime, people: Collection[str]) -> set[str]:
    """Those of them who did something since then."""
    did = select(deliveries.c.recipient).where(
        deliveries.c.recipient.in_(people), deliveries.c.alive_at >= _micros(since)
    )
    opened_a_day = select(contacts.c.address).where(
        contacts.c.address.in_(people), contacts.c.last_open_day >= f"{since:%Y-%m-%d}"
    )
    return {*connection.execute(did).scalars(), *connection.execute(opened_a_day).scalars()}


def _silent_by_events(
    connection: Connection, since: datetime, least: int, people: Iterable[str]
) -> Iterator[_Silent]:
    """The same of these people, looked up in the events."""
    query = _silent_query(since, least)
    for some in _in_chunks(sorted(people)):
        for address, n, last in connection.execute(query.where(deliveries.c.recipient.in_(some))):
            yield _Silent(-n, address, _micros(last))


def _silent_query(since: datetime, least: int) -> Select[Any]:
    number, theirs = func.count(), deliveries.alias()
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
    return (
        select(deliveries.c.recipient, number, func.max(messages.c.received_at))
        .join(messages, messages.c.id == deliveries.c.message_id)
        .where(
            messages.c.received_at >= since,
            and_(shows, deliveries.c.status.in_(DELIVERED)),
            ~alive,
            ~opened_a_day,
        )
        .group_by(deliveries.c.recipient)
        .having(number >= least)
    )


# --- both ---


def _in_order(connection: Connection, query: Any) -> Iterator[Sequence[Any]]:
    """The query's rows, a chunk at a time. The first are asked for alone: to put all in order takes half as long again,
    and is seldom needed."""
    for part in (query.limit(_FIRST), query.offset(_FIRST)):
        yield from connection.execute(part).partitions(_CHUNK)


def _in_chunks(some: Iterable[_One]) -> Iterator[list[_One]]:
    left = iter(some)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def _micros(at: datetime) -> int:
    return (at - _BEGIN) // timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return _BEGIN + timedelta(microseconds=micros)


def _chosen(
    connection: Connection, may: dict[str, str | None], segment: Selection | None
) -> dict[str, str | None]:
    """Those of them who are in the segment."""
    if segment is None:
        return may
    within = segment.among(connection, may)
    return {address: group for address, group in may.items() if address in within}
