"""One message in numbers.

delivered: accepted by upstream and not bounced later. Rates are shares of what was delivered *and* measured by
name, and count what persons and their mail services' proxies did; machines stand beside. Anonymous and aggregate
counts belong to the mailing, are totals, and are never mixed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, distinct, func, select

from tracker.consent import Mode
from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import EventKind, VerdictKind
from tracker.store.carried import DELIVERED, HUMAN, Totals, carried, carried_statuses
from tracker.store.counts import totals
from tracker.store.messages import Link, links_of
from tracker.store.schema import deliveries, events, mailings, messages
from tracker.verdict import MACHINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """One kind of event: deliveries that had it, how often, how often machines did it, and how often nobody can
    tell."""

    unique: int = 0
    delivered: int = 0
    """Of the unique ones, those whose delivery counts as delivered: one that bounced later may have events too."""
    total: int = 0
    machines: int = 0
    unsure: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCount:
    number: int
    url: str
    unique: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReport:
    """The numbers of one message."""

    id: bytes
    subject: str
    mailing: str
    statuses: dict[str, int]
    delivered: int
    trackable_delivered: int
    """Delivered and measured by name: what rates are shares of."""
    not_trackable: dict[str, int]
    """Deliveries measured not at all or not by name, by reason."""
    identified: dict[EventKind, Engagement]
    links: tuple[LinkCount, ...]
    mailing_counts: tuple[dict[str, Any], ...] = field(default=())

    def rate(self, kind: EventKind) -> float | None:
        """Deliveries with the event / delivered and measured; None where there is nothing to divide by."""
        return (
            self.identified[kind].delivered / self.trackable_delivered if self.trackable_delivered else None
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id.hex(),
            "subject": self.subject,
            "mailing": self.mailing,
            "deliveries": self.statuses,
            "delivered": self.delivered,
            "trackable_delivered": self.trackable_delivered,
            "not_trackable": self.not_trackable,
            "identified": {
                kind.value: {
                    "unique": one.unique,
                    "delivered": one.delivered,
                    "total": one.total,
                    "machines": one.machines,
                    "unsure": one.unsure,
                    "rate": self.rate(kind),
                }
                for kind, one in self.identified.items()
            },
            "links": [
                {"number": one.number, "url": one.url, "unique": one.unique, "total": one.total}
                for one in self.links
            ],
            "mailing_counts": list(self.mailing_counts),
        }


async def report_message(domain: Domain, message_id: bytes) -> MessageReport:
    """The report of one message. Raises NotFound, StoreUnavailable."""
    return await domain.database.read(lambda connection: _report(connection, message_id), within=30.0)


def _report(connection: Connection, message_id: bytes) -> MessageReport:
    query = select(messages.c.subject, messages.c.mailing_id, messages.c.links, mailings.c.name).join(
        mailings, mailings.c.id == messages.c.mailing_id
    )
    message = connection.execute(query.where(messages.c.id == message_id)).one_or_none()
    if message is None:
        raise NotFound(f"there is no message {message_id.hex()}")
    statuses, not_trackable, trackable = _deliveries(connection, message_id)
    gone = carried(connection, message_id)
    return MessageReport(
        id=message_id,
        subject=message.subject,
        mailing=message.name,
        statuses=statuses,
        delivered=sum(statuses.get(status, 0) for status in DELIVERED),
        trackable_delivered=trackable,
        not_trackable=not_trackable,
        identified={kind: _engagement(connection, message_id, kind, gone) for kind in EventKind},
        links=_links(connection, message_id, links_of(message), gone),
        mailing_counts=_mailing_counts(connection, bytes(message.mailing_id)),
    )


def _mailing_counts(connection: Connection, mailing: bytes) -> tuple[dict[str, Any], ...]:
    """Counts without names; `carried` are those of people whose messages were too small to keep theirs."""
    gone = carried(connection, mailing).human()
    told = tuple(
        {"scope": "carried", "group": "", "kind": kind, "link": link or None, "count": n}
        for (kind, link), n in sorted(gone.items())
    )
    return told + tuple(
        {
            "scope": one["scope"],
            "group": one["grp"],
            "kind": one["kind"],
            "link": one["position"] or None,
            "count": one["n"],
        }
        for one in totals(connection, mailing)
    )


def _deliveries(connection: Connection, message_id: bytes) -> tuple[dict[str, int], dict[str, int], int]:
    """How many by status; how many not measured by name, by reason; how many delivered and measured by name."""
    statuses: dict[str, int] = {}
    not_trackable: dict[str, int] = {}
    trackable = 0
    grouped = (
        select(deliveries.c.status, deliveries.c.mode, deliveries.c.reason, func.count().label("n"))
        .where(deliveries.c.message_id == message_id)
        .group_by(deliveries.c.status, deliveries.c.mode, deliveries.c.reason)
    )
    for row in (*connection.execute(grouped), *carried_statuses(connection, message_id)):
        statuses[row.status] = statuses.get(row.status, 0) + row.n
        if row.mode == Mode.IDENTIFIED:
            trackable += row.n if row.status in DELIVERED else 0
        else:
            reason = row.reason if row.mode == Mode.UNTRACKED else f"{row.mode}: {row.reason}"
            not_trackable[reason] = not_trackable.get(reason, 0) + row.n
    return statuses, not_trackable, trackable


def _engagement(connection: Connection, message_id: bytes, kind: EventKind, gone: Totals) -> Engagement:
    theirs = (events.c.message_id == message_id) & (events.c.kind == kind.value)
    human = events.c.verdict.in_(HUMAN)
    delivered = select(deliveries.c.id).where(
        deliveries.c.message_id == message_id,
        deliveries.c.status.in_(DELIVERED),
        deliveries.c.mode == Mode.IDENTIFIED.value,
    )
    counted = select(
        func.count(distinct(events.c.delivery_id)).label("people"),
        func.count(distinct(case((events.c.delivery_id.in_(delivered), events.c.delivery_id)))).label(
            "delivered"
        ),
        func.count().label("total"),
    )
    persons = connection.execute(counted.where(theirs & human)).one()
    by_verdict = select(events.c.verdict, func.count().label("n")).where(theirs & ~human)
    beside = gone.verdicts(kind.value)
    beside.update({row.verdict: row.n for row in connection.execute(by_verdict.group_by(events.c.verdict))})
    return Engagement(
        unique=persons.people + gone.people[kind.value, 0],
        delivered=persons.delivered + gone.delivered[kind.value],
        total=persons.total + sum(gone.verdicts(kind.value)[verdict] for verdict in HUMAN),
        machines=sum(beside[kind.value] for kind in MACHINES),
        unsure=beside[VerdictKind.UNSURE.value],
    )


def _links(
    connection: Connection, message_id: bytes, wrapped: Sequence[Link], gone: Totals
) -> tuple[LinkCount, ...]:
    clicked = (
        select(
            events.c.link,
            func.count(distinct(events.c.delivery_id)).label("people"),
            func.count().label("total"),
        )
        .where((events.c.message_id == message_id) & (events.c.kind == EventKind.CLICKED.value))
        .where(events.c.verdict.in_(HUMAN))
        .group_by(events.c.link)
    )
    found = {row.link: (row.people, row.total) for row in connection.execute(clicked)}
    return tuple(
        LinkCount(
            number=one.number,
            url=one.url,
            unique=found.get(one.number, (0, 0))[0] + gone.people[EventKind.CLICKED.value, one.number],
            total=found.get(one.number, (0, 0))[1] + gone.clicks_of(one.number),
        )
        for one in wrapped
    )
