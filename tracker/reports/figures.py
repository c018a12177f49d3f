"""The figures of any set of messages: what became of their deliveries, and what was measured of them by name.

delivered: accepted by upstream and not bounced later. Rates are shares of what was delivered *and* measured by
name, and count what persons and their mail services' proxies did; machines stand beside. Anonymous and aggregate
counts belong to the mailing, are totals, and are never mixed in. What the purge took is in the totals it left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, distinct, func, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.consent import Mode
from tracker.events import EventKind, VerdictKind
from tracker.statistics import Share
from tracker.store.carried import DELIVERED, HUMAN
from tracker.store.schema import carried_deliveries, carried_totals, deliveries, events, messages
from tracker.verdict import MACHINES

_ARRIVED_BY_NAME = deliveries.c.status.in_(DELIVERED) & (deliveries.c.mode == Mode.IDENTIFIED.value)


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

    def plus(self, other: Engagement) -> Engagement:
        return Engagement(
            unique=self.unique + other.unique,
            delivered=self.delivered + other.delivered,
            total=self.total + other.total,
            machines=self.machines + other.machines,
            unsure=self.unsure + other.unsure,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a set of messages came to."""

    statuses: Counter[str] = field(default_factory=Counter)
    """Deliveries by state."""
    trackable_delivered: int = 0
    """Delivered and measured by name: what rates are shares of."""
    not_trackable: Counter[str] = field(default_factory=Counter)
    """Deliveries measured not at all or not by name, by reason."""
    identified: dict[EventKind, Engagement] = field(
        default_factory=lambda: dict.fromkeys(EventKind, Engagement())
    )

    @property
    def delivered(self) -> int:
        return sum(self.statuses[status] for status in DELIVERED)

    def share(self, kind: EventKind) -> Share:
        """Deliveries with the event, of those delivered and measured."""
        # An event may be older than what is known of its delivery now.
        return Share(
            n=min(self.identified[kind].delivered, self.trackable_delivered), of=self.trackable_delivered
        )

    def plus(self, other: Figures) -> Figures:
        return Figures(
            statuses=self.statuses + other.statuses,
            trackable_delivered=self.trackable_delivered + other.trackable_delivered,
            not_trackable=self.not_trackable + other.not_trackable,
            identified={kind: self.identified[kind].plus(other.identified[kind]) for kind in EventKind},
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "deliveries": dict(self.statuses),
            "delivered": self.delivered,
            "trackable_delivered": self.trackable_delivered,
            "not_trackable": dict(self.not_trackable),
            "identified": {kind.value: self._engagement(kind) for kind in EventKind},
        }

    def _engagement(self, kind: EventKind) -> dict[str, Any]:
        one, share = self.identified[kind], self.share(kind)
        return {
            "unique": one.unique,
            "delivered": one.delivered,
            "total": one.total,
            "machines": one.machines,
            "unsure": one.unsure,
            "rate": share.rate,
            "interval": share.interval,
        }


def added(some: Iterable[Figures]) -> Figures:
    """The figures of all of them together."""
    whole = Figures()
    for one in some:
        whole = whole.plus(one)
    return whole


def figures(connection: Connection, which: ColumnElement[bool], by: ColumnElement[Any]) -> dict[Any, Figures]:
    """The figures of the messages for which `which` is true, by a column of `messages`."""
    gathered: dict[Any, _Sums] = {}
    for row in connection.execute(select(by.label("of")).where(which).distinct()):
        gathered[row.of] = _Sums()
    _add_deliveries(connection, which, by, gathered)
    _add_events(connection, which, by, gathered)
    return {of: sums.figures() for of, sums in gathered.items()}


def carried_figures(connection: Connection, subject: bytes) -> Figures:
    """What was carried of one message, or beside its messages of a mailing."""
    sums = _Sums()
    for row in connection.execute(
        select(carried_deliveries).where(carried_deliveries.c.subject_id == subject)
    ):
        sums.deliveries(row)
    for row in connection.execute(select(carried_totals).where(carried_totals.c.subject_id == subject)):
        sums.carried(row)
    return sums.figures()


class _Sums:
    """Figures while they are added up."""

    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter()
        self._trackable = 0
        self._not_trackable: Counter[str] = Counter()
        self._people: Counter[tuple[str, str]] = Counter()
        self._hits: Counter[tuple[str, str]] = Counter()

    def deliveries(self, row: Any) -> None:
        """`row`: status, mode, reason, n."""
        self._statuses[row.status] += row.n
        if row.mode == Mode.IDENTIFIED:
            self._trackable += row.n if row.status in DELIVERED else 0
        else:
            reason = row.reason if row.mode == Mode.UNTRACKED else f"{row.mode}: {row.reason}"
            self._not_trackable[reason] += row.n

    def people(self, kind: str, measure: str, n: int) -> None:
        self._people[kind, measure] += n

    def hits(self, kind: str, verdict: str, n: int) -> None:
        self._hits[kind, verdict] += n

    def carried(self, row: Any) -> None:
        """`row`: one of carried_totals."""
        if row.measure == "hits":
            self.hits(row.kind, row.verdict, row.n)
        elif row.link == 0:
            self.people(row.kind, row.measure, row.n)

    def figures(self) -> Figures:
        return Figures(
            statuses=self._statuses,
            trackable_delivered=self._trackable,
            not_trackable=self._not_trackable,
            identified={
                kind: Engagement(
                    unique=self._people[kind, "people"],
                    delivered=self._people[kind, "delivered"],
                    total=sum(self._hits[kind, verdict] for verdict in HUMAN),
                    machines=sum(self._hits[kind, verdict] for verdict in MACHINES),
                    unsure=self._hits[kind, VerdictKind.UNSURE],
                )
                for kind in EventKind
            },
        )


def _add_deliveries(
    connection: Connection, which: ColumnElement[bool], by: ColumnElement[Any], sums: dict[Any, _Sums]
) -> None:
    columns = deliveries.c.status, deliveries.c.mode, deliveries.c.reason
    living = (
        select(by.label("of"), *columns, func.count().label("n"))
        .join(messages, messages.c.id == deliveries.c.message_id)
        .where(which)
        .group_by(by, *columns)
    )
    gone = (
        select(by.label("of"), carried_deliveries)
        .join(messages, messages.c.id == carried_deliveries.c.subject_id)
        .where(which)
    )
    for query in (living, gone):
        for row in connection.execute(query):
            sums[row.of].deliveries(row)


def _add_events(
    connection: Connection, which: ColumnElement[bool], by: ColumnElement[Any], sums: dict[Any, _Sums]
) -> None:
    theirs = events.join(messages, messages.c.id == events.c.message_id)
    people = (
        select(
            by.label("of"),
            events.c.kind,
            func.count(distinct(events.c.delivery_id)).label("people"),
            func.count(distinct(case((_ARRIVED_BY_NAME, events.c.delivery_id)))).label("delivered"),
        )
        .select_from(theirs.outerjoin(deliveries, deliveries.c.id == events.c.delivery_id))
        .where(which, events.c.verdict.in_(HUMAN))
        .group_by(by, events.c.kind)
    )
    for row in connection.execute(people):
        sums[row.of].people(row.kind, "people", row.people)
        sums[row.of].people(row.kind, "delivered", row.delivered)
    hits = (
        select(by.label("of"), events.c.kind, events.c.verdict, func.count().label("n"))
        .select_from(theirs)
        .where(which)
        .group_by(by, events.c.kind, events.c.verdict)
    )
    for row in connection.execute(hits):
        sums[row.of].hits(row.kind, row.verdict, row.n)
    gone = (
        select(by.label("of"), carried_totals)
        .join(messages, messages.c.id == carried_totals.c.subject_id)
        .where(which)
    )
    for row in connection.execute(gone):
        sums[row.of].carried(row)
