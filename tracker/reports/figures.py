"""The figures of any set of messages: what became of their deliveries, and what was measured of them by name.

delivered: accepted by upstream and not bounced later. Rates are shares of what was delivered *and* measured by
name, and count what persons and their mail services' proxies did; machines stand beside. Anonymous and aggregate
counts belong to the mailing, are totals, and are never mixed in. What the purge took is in the totals it left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from tracker.consent import Mode
from tracker.events import EventKind, VerdictKind
from tracker.reports.sums import Scope, Sums, by_message, gathered, parts
from tracker.statistics import Share
from tracker.store.rollups_cells import ANY, CARRIED, DELIVERED, HUMAN, IMPLIED, key
from tracker.store.schema import carried_deliveries, carried_totals
from tracker.verdict import MACHINES

K = TypeVar("K")


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

    views: int = 0
    """Opens by people, where repeats within half a minute are one."""
    implied: int = 0
    """Delivered and measured, clicked by a person, and no open was seen: a click proves one."""
    engaged: int = 0
    """Delivered and measured, opened or clicked by a person."""

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
            views=self.views + other.views,
            implied=self.implied + other.implied,
            engaged=self.engaged + other.engaged,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "deliveries": dict(self.statuses),
            "delivered": self.delivered,
            "trackable_delivered": self.trackable_delivered,
            "not_trackable": dict(self.not_trackable),
            "identified": {kind.value: self._engagement(kind) for kind in EventKind},
            "views": self.views,
            "implied_opens": self.implied,
            "engaged": self.engaged,
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


def figures_by(connection: Connection, scopes: Mapping[K, Scope]) -> dict[K, Figures]:
    """The figures of each scope."""
    return {name: scope_figures(connection, scope) for name, scope in scopes.items()}


def message_figures(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, Figures]:
    """The figures of each message."""
    return {id_: _of(sums) for id_, sums in by_message(connection, ids, _MEASURES).items()}


def scope_figures(connection: Connection, scope: Scope) -> Figures:
    """The figures of the scope's messages; of a whole mailing with what was carried beside its messages."""
    found = _of(gathered(connection, scope, _MEASURES))
    if scope.mailing is not None and scope.variant is None:
        return found.plus(carried_figures(connection, scope.mailing))
    return found


def carried_figures(connection: Connection, subject: bytes) -> Figures:
    """What was carried beside the messages of a mailing."""
    sums: Sums = Counter()
    totals = select(carried_totals).where(carried_totals.c.subject_id == subject)
    for row in connection.execute(totals):
        if row.measure == "hits":
            sums["hits", 0, key(row.kind, row.verdict)] += row.n
        elif not row.link:
            sums[CARRIED[row.measure], 0, row.kind] += row.n
    settled = select(carried_deliveries).where(carried_deliveries.c.subject_id == subject)
    for row in connection.execute(settled):
        sums["state", 0, key(row.status, row.mode, row.reason)] += row.n
    return _of(sums)


_MEASURES = ("state", "hits", "people", "arrived", "views")


def _of(sums: Sums) -> Figures:
    statuses: Counter[str] = Counter()
    not_trackable: Counter[str] = Counter()
    trackable = 0
    for (measure, _slot, under), n in sums.items():
        if measure == "state":
            status, mode, reason = parts(under, 3)
            statuses[status] += n
            if mode == Mode.IDENTIFIED:
                trackable += n if status in DELIVERED else 0
            else:
                not_trackable[reason if mode == Mode.UNTRACKED else f"{mode}: {reason}"] += n

    def hits(kind: EventKind, *verdicts: str) -> int:
        return sum(sums["hits", 0, key(kind.value, verdict)] for verdict in verdicts)

    return Figures(
        statuses=+statuses,
        trackable_delivered=trackable,
        not_trackable=+not_trackable,
        identified={
            kind: Engagement(
                unique=sums["people", 0, kind.value],
                delivered=sums["arrived", 0, kind.value],
                total=hits(kind, *HUMAN),
                machines=hits(kind, *(verdict.value for verdict in MACHINES)),
                unsure=hits(kind, VerdictKind.UNSURE.value),
            )
            for kind in EventKind
        },
        views=sums["views", 0, EventKind.OPENED.value],
        implied=sums["arrived", 0, IMPLIED],
        engaged=sums["arrived", 0, ANY],
    )
