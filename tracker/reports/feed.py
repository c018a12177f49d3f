"""What has just happened, read from the store: deliveries, bounces, opens, clicks, conversions, as they are committed.

A reader says how far it has read (`Position`) and gets what came since. Ids grow as rows are written, but PostgreSQL's
transactions commit in any order: an id that is missing below the highest may still come, so a position remembers the
gaps near its end and they are asked for again. Who may not be measured by name today is never named, and what such a
person opened or clicked is not told at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, func, select

from tracker.domain import Domain
from tracker.events import EventKind
from tracker.measurable import by_name
from tracker.money import shown_amount
from tracker.store.carried import HUMAN
from tracker.store.messages import urls
from tracker.store.schema import alerts, attempts, conversions, deliveries, events, messages

MOST = 100
"""Rows of one source in one look; what comes beyond is counted and not told."""
_GAPS = 50
"""Missing ids of one source that are remembered: of those nearest to the end."""
_WITHIN = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that happened. `who` is an address, `""` where nobody may or need be named."""

    kind: str
    """`opened`, `clicked`, `converted`, `alert`; of deliveries their state: `accepted`, `deferred`, `bounced`, …"""
    at: datetime
    who: str = ""
    number: int = 1
    """Recipients, where several had the same at once."""
    message: bytes | None = None
    subject: str = ""
    detail: str = ""
    """Where a link leads, what a server answered (code only: its words name people), what a conversion is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far one source is read: up to `reached`, but for what is `missing` below it."""

    reached: int
    missing: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far all sources are read, by their letters; as text it goes to browsers and comes back."""

    places: Mapping[str, Place] = field(default_factory=dict)

    def __str__(self) -> str:
        return ".".join(
            f"{letter}{'-'.join(map(str, (place.reached, *sorted(place.missing))))}"
            for letter, place in self.places.items()
        )

    @classmethod
    def read(cls, text: str) -> Position | None:
        """What `str` gave; None for anything else."""
        if len(text) > 20_000 or not _POSITION.fullmatch(text):
            return None
        places = {}
        for part in text.split("."):
            reached, *missing = (int(number) for number in part[1:].split("-"))
            places[part[0]] = Place(reached=reached, missing=frozenset(missing[-_GAPS:]))
        return cls(places=places)


_POSITION = re.compile(r"[a-z][0-9]{1,18}(-[0-9]{1,18})*(\.[a-z][0-9]{1,18}(-[0-9]{1,18})*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What came since a position, oldest first, and the position behind it."""

    entries: tuple[Entry, ...]
    position: Position
    skipped: int = 0
    """What came too thick to be told: about so many rows."""


_Tell = Callable[[Domain, Connection, Sequence[int]], list[Entry]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table whose rows are news. `letter` stands for it in positions; `tell` makes entries of rows by their ids, and
    names nobody who may not be named today (`tracker.measurable.by_name`)."""

    letter: str
    table: Table
    tell: _Tell


async def news(
    domain: Domain, since: Position | None, *, until: Position | None = None, most: int = MOST
) -> News:
    """What was committed since; without `since` the latest. `until` leaves out what came behind that position. Raises
    StoreUnavailable."""

    def work(connection: Connection) -> News:
        entries: list[Entry] = []
        places: dict[str, Place] = {}
        skipped = 0
        for source in SOURCES:
            before = since.places.get(source.letter) if since else None
            stop = until.places.get(source.letter) if until else None
            ids, place, missed = _step(connection, source.table, before, stop, most)
            places[source.letter], skipped = place, skipped + (missed if before else 0)
            entries += source.tell(domain, connection, ids) if ids else []
        entries.sort(key=lambda one: one.at)
        return News(entries=tuple(entries), position=Position(places=places), skipped=skipped)

    return await domain.database.read(work, within=_WITHIN)


def _step(
    connection: Connection, table: Table, before: Place | None, stop: Place | None, most: int
) -> tuple[list[int], Place, int]:
    """Ids to be told, how far that is, and how many were passed over."""
    id_ = table.c.id
    top = connection.execute(select(func.max(id_))).scalar_one() or 0
    if stop is not None:
        top = min(top, stop.reached)
    reached = min(before.reached, top) if before else 0
    latest = select(id_).where(id_ > reached, id_ <= top).order_by(id_.desc()).limit(most)
    fresh = sorted(connection.execute(latest).scalars())
    begun = fresh[0] if len(fresh) == most else reached + 1
    fresh = [one for one in fresh if stop is None or one not in stop.missing]
    awaited = before.missing if before else frozenset()
    late = sorted(connection.execute(select(id_).where(id_.in_(awaited))).scalars()) if awaited else []
    late = [one for one in late if stop is None or one not in stop.missing]
    missing = awaited - set(late)
    if connection.dialect.name != "sqlite":  # there a gap stays one
        missing |= set(range(max(begun, top - _GAPS), top + 1)) - set(fresh)
    place = Place(reached=max(reached, top), missing=frozenset(sorted(missing)[-_GAPS:]))
    return late + fresh, place, max(0, begun - reached - 1)


# --- what rows tell ---

_ABOUT = (
    deliveries.c.recipient,
    messages.c.id.label("message_id"),
    messages.c.subject,
)


def _of_events(domain: Domain, connection: Connection, ids: Sequence[int]) -> list[Entry]:
    """Of people, and of those only who are measured by name today."""
    query = (
        select(events.c.kind, events.c.at, events.c.link, *_ABOUT)
        .join(deliveries, deliveries.c.id == events.c.delivery_id)
        .join(messages, messages.c.id == events.c.message_id)
        .where(events.c.id.in_(ids), events.c.verdict.in_(HUMAN), deliveries.c.recipient.is_not(None))
        .order_by(events.c.id)
    )
    rows = connection.execute(query).all()
    named = by_name(domain, connection, {row.recipient for row in rows})
    leads = urls(connection, {bytes(row.message_id) for row in rows if row.kind == EventKind.CLICKED})
    return [
        Entry(
            kind=row.kind,
            at=row.at,
            who=row.recipient,
            message=bytes(row.message_id),
            subject=row.subject,
            detail=leads.get((bytes(row.message_id), row.link), "") if row.link else "",
        )
        for row in rows
        if row.recipient in named
    ]


def _of_attempts(domain: Domain, connection: Connection, ids: Sequence[int]) -> list[Entry]:
    """Recipients of one message with the same fate together; one alone by name, where that may be."""
    query = (
        select(attempts.c.at, attempts.c.status, attempts.c.code, attempts.c.enhanced, *_ABOUT)
        .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .join(messages, messages.c.id == deliveries.c.message_id)
        .where(attempts.c.id.in_(ids))
        .order_by(attempts.c.id)
    )
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for row in connection.execute(query):
        alike.setdefault((row.message_id, row.status, row.code, row.enhanced), []).append(row)
    alone = {rows[0].recipient for rows in alike.values() if len(rows) == 1 and rows[0].recipient}
    named = by_name(domain, connection, alone)
    return [
        Entry(
            kind=rows[0].status,
            at=rows[-1].at,
            who=rows[0].recipient if len(rows) == 1 and rows[0].recipient in named else "",
            number=len(rows),
            message=bytes(rows[0].message_id),
            subject=rows[0].subject,
            detail="" if rows[0].status == "accepted" else f"{rows[0].code or ''} {rows[0].enhanced}".strip(),
        )
        for rows in alike.values()
    ]


def _of_conversions(domain: Domain, connection: Connection, ids: Sequence[int]) -> list[Entry]:
    """Nobody is named: whose they are is kept keyed only."""
    query = select(conversions).where(conversions.c.id.in_(ids)).order_by(conversions.c.id)
    return [
        Entry(
            kind="converted",
            at=row.recorded_at,
            subject=row.goal,
            detail=f"{shown_amount(row.value, row.currency)} {row.currency}" if row.currency else "",
        )
        for row in connection.execute(query)
    ]


def _of_alerts(domain: Domain, connection: Connection, ids: Sequence[int]) -> list[Entry]:
    """What somebody is told by mail too. Of people only those who are measured by name today; bounces name nobody."""
    query = (
        select(alerts, deliveries.c.recipient, messages.c.subject)
        .outerjoin(deliveries, deliveries.c.id == alerts.c.delivery_id)
        .outerjoin(messages, messages.c.id == alerts.c.message_id)
        .where(alerts.c.id.in_(ids), alerts.c.kind != "test")
        .order_by(alerts.c.id)
    )
    rows = connection.execute(query).all()
    named = by_name(domain, connection, {row.recipient for row in rows if row.recipient})
    return [
        Entry(
            kind="alert",
            at=row.found_at,
            who=row.recipient or "",
            message=bytes(row.message_id) if row.message_id else None,
            subject=row.subject or row.domain or "all domains",
            detail=f"{row.name}: {row.n}{f' of {row.of}' if row.of else ''} {row.kind}",
        )
        for row in rows
        if (row.recipient in named if row.delivery_id is not None else row.of)
    ]


SOURCES = (
    Source(letter="d", table=attempts, tell=_of_attempts),
    Source(letter="e", table=events, tell=_of_events),
    Source(letter="c", table=conversions, tell=_of_conversions),
    Source(letter="a", table=alerts, tell=_of_alerts),
)
