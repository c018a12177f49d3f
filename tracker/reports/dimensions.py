"""Mail split by one thing: where it went, who got it, what it was read with, which link, whose hits.

Domains and groups split deliveries, and have rates of their own. Clients, devices, systems, countries, links and
verdicts split events: one delivery may stand under several, so their people do not add up to the whole. Of what the
purge and erasures took only links and the number of hits by verdict are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from tracker.domain import Domain
from tracker.events import EventKind
from tracker.reports.sums import Scope, Sums, gathered, parts
from tracker.statistics import Share
from tracker.store.messages import links_of
from tracker.store.rollups_cells import DELIVERED
from tracker.store.schema import messages


class Dimension(StrEnum):
    """What mail is split by."""

    DOMAIN = "domain"
    GROUP = "group"
    CLIENT = "client"
    DEVICE = "device"
    SYSTEM = "system"
    COUNTRY = "country"
    LINK = "link"
    VERDICT = "verdict"


_OF_DELIVERIES = (Dimension.DOMAIN, Dimension.GROUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The mail, or the events, of one value."""

    value: str
    """`""` where it is not known; of a link its number."""
    label: str = ""
    """Where a link leads; of a mailing, in its latest message that has the link."""
    deliveries: int = 0
    delivered: int = 0
    measured: int = 0
    """Delivered and measured by name. These three are of domains and groups only."""
    people: Mapping[EventKind, int] = field(default_factory=dict)
    """Deliveries with an event; by verdict, those with one of that verdict."""
    arrived: Mapping[EventKind, int] = field(default_factory=dict)
    """Of those, delivered and measured; of domains and groups only."""
    hits: Mapping[EventKind, int] = field(default_factory=dict)

    def share(self, kind: EventKind) -> Share:
        """People of those delivered and measured; of domains and groups only."""
        return Share(n=min(self.arrived.get(kind, 0), self.measured), of=self.measured)

    def as_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "label": self.label,
            "deliveries": self.deliveries,
            "delivered": self.delivered,
            "trackable_delivered": self.measured,
            "identified": {
                kind.value: {
                    "unique": self.people.get(kind, 0),
                    "delivered": self.arrived.get(kind, 0),
                    "total": self.hits.get(kind, 0),
                }
                for kind in EventKind
            },
        }


async def by_dimension(
    domain: Domain, scope: Scope, dimension: Dimension, *, limit: int | None = None
) -> tuple[Part, ...]:
    """The parts, the largest first: by deliveries, else by people, then by name. Raises StoreUnavailable."""

    def work(connection: Connection) -> tuple[Part, ...]:
        names = [f"{dimension.value}:{one}" for one in ("state", "people", "arrived", "hits")]
        if dimension is Dimension.LINK:
            names = ["link:people", "link:hits"]
        if dimension is Dimension.VERDICT:
            names = ["verdict:people", "hits"]
        found = _parts(gathered(connection, scope, names), dimension)[:limit]
        return _labelled(connection, scope, found) if dimension is Dimension.LINK else found

    return await domain.database.view(work, within=30.0)


class _Adding:
    def __init__(self) -> None:
        self.deliveries = self.delivered = self.measured = 0
        self.counts: dict[str, dict[EventKind, int]] = {"people": {}, "arrived": {}, "hits": {}}

    def state(self, status: str, measured: str, n: int) -> None:
        self.deliveries += n
        self.delivered += n if status in DELIVERED else 0
        self.measured += n if measured == "1" else 0


def _parts(sums: Sums, dimension: Dimension) -> tuple[Part, ...]:
    adding: dict[str, _Adding] = {}
    kinds = {kind.value: kind for kind in EventKind}
    for (measure, _slot, under), n in sums.items():
        what = measure.rpartition(":")[2]
        if what == "state":
            status, measured, value = parts(under, 3)
            adding.setdefault(value, _Adding()).state(status, measured, n)
            continue
        kind, value = parts(under, 2)
        if kind in kinds:
            counted = adding.setdefault(value, _Adding()).counts[what]
            counted[kinds[kind]] = counted.get(kinds[kind], 0) + n
    found = [
        Part(
            value=value,
            deliveries=one.deliveries,
            delivered=one.delivered,
            measured=one.measured,
            people=one.counts["people"],
            arrived=one.counts["arrived"],
            hits=one.counts["hits"],
        )
        for value, one in adding.items()
        if one.deliveries or any(one.counts["hits"].values()) or any(one.counts["people"].values())
    ]
    if dimension in _OF_DELIVERIES:
        return tuple(sorted(found, key=lambda one: (-one.deliveries, one.value)))
    if dimension is Dimension.LINK:
        return tuple(sorted(found, key=lambda one: (-sum(one.people.values()), int(one.value))))
    return tuple(sorted(found, key=lambda one: (-sum(one.people.values()), one.value)))


def _labelled(connection: Connection, scope: Scope, found: tuple[Part, ...]) -> tuple[Part, ...]:
    latest = (
        select(messages.c.links)
        .where(scope.condition(), messages.c.links.is_not(None))
        .order_by(messages.c.received_at.desc())
        .limit(_LATEST)
    )
    urls: dict[str, str] = {}
    if not scope.is_period and (scope.message is not None or scope.mailing is not None):
        for row in connection.execute(latest):
            for link in links_of(row):
                urls.setdefault(str(link.number), link.url)
    return tuple(
        Part(value=one.value, label=urls.get(one.value, ""), people=one.people, hits=one.hits)
        for one in found
    )


_LATEST = 20
"""Messages of a mailing in which links are looked up."""
