"""What happened when: opens, clicks and arrivals by hour or day of a time zone.

A person counts as new once, in the hour or day of their first: over a whole report the new ones add up to its uniques.
Of what the purge and erasures took, days in UTC are known: those stand under the day of the same date, and by the hour
not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.reports.sums import Scope, Sums, activity, moment, parts
from tracker.store.rollups_cells import DOUBTFUL, FIRST, MACHINE, TOTAL, VIEW

_MOST = 20_000
"""Hours or days in one report: more than two years of hours."""
_MEASURES = (TOTAL, FIRST, VIEW, MACHINE, DOUBTFUL)
_EPOCH = date(1970, 1, 1)


class Unit(StrEnum):
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One kind of event in an hour or a day."""

    total: int = 0
    """By people and their mail services' proxies."""
    new: int = 0
    """Deliveries of which this was the first."""
    views: int = 0
    """Of opens: looks, where repeats within half a minute are one."""
    machines: int = 0
    unsure: int = 0

    def as_json(self) -> dict[str, int]:
        return {
            "total": self.total,
            "new": self.new,
            "views": self.views,
            "machines": self.machines,
            "unsure": self.unsure,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """An hour or a day."""

    begins: datetime
    """In the report's time zone."""
    delivered: int
    """Taken by upstream then, and not come back."""
    kinds: Mapping[EventKind, Activity]

    def as_json(self) -> dict[str, Any]:
        return {
            "begins": self.begins.isoformat(),
            "delivered": self.delivered,
            **{kind.value: one.as_json() for kind, one in self.kinds.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Every hour or day from the first to the last, those without anything included."""

    unit: Unit
    since: datetime | None
    until: datetime | None
    buckets: tuple[Bucket, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit.value,
            "since": isoformat(self.since) if self.since else None,
            "until": isoformat(self.until) if self.until else None,
            "buckets": [one.as_json() for one in self.buckets],
        }


async def by_time(
    domain: Domain,
    scope: Scope,
    *,
    unit: Unit = Unit.DAY,
    zone: tzinfo = UTC,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Timeline:
    """What happened to the mail of a message or mailing, or to all mail (`Scope()`), from `since` until before `until`,
    each widened to a whole hour or day of the zone. Without them from the first to the last that is known.

    Raises InvalidValue for a period of a scope (say it with `since`) and for too many hours, StoreUnavailable."""
    if scope.is_period:
        raise InvalidValue("a timeline's period is when things happened, not when the mail came in")
    first = None if since is None else _floor(since, unit, zone)
    behind = None if until is None else _ceiling(until, unit, zone)

    def work(connection: Connection) -> Sums:
        return activity(connection, scope, since=first, until=behind)

    sums = await domain.database.view(work, within=30.0)
    buckets = _bucketed(sums, unit, zone)
    if buckets:
        first = first if first is not None else min(buckets)
        behind = behind if behind is not None else _next(max(buckets), unit, zone)
    if first is None or behind is None:
        return Timeline(unit=unit, since=since, until=until, buckets=())
    every = _every(first, behind, unit, zone)
    return Timeline(
        unit=unit,
        since=first,
        until=behind,
        buckets=tuple(_bucket(at, buckets.get(at, {}), zone) for at in every),
    )


_Found = dict[tuple[str, str], int]
"""By measure and kind."""


def _bucketed(sums: Sums, unit: Unit, zone: tzinfo) -> dict[datetime, _Found]:
    buckets: dict[datetime, _Found] = {}
    begins: dict[int, datetime] = {}
    for (measure, slot, under), n in sums.items():
        if measure == "past":
            if unit is Unit.HOUR:
                continue
            kind, name = parts(under, 2)
            at = _midnight(_EPOCH + timedelta(days=slot), zone)
        else:
            kind, name = under, measure
            if slot not in begins:
                begins[slot] = _floor(moment(slot), unit, zone)
            at = begins[slot]
        found = buckets.setdefault(at, {})
        found[name, kind] = found.get((name, kind), 0) + n
    return buckets


def _bucket(at: datetime, found: _Found, zone: tzinfo) -> Bucket:
    def of(kind: EventKind) -> Activity:
        total, new, views, machines, unsure = (found.get((one, kind.value), 0) for one in _MEASURES)
        return Activity(total=total, new=new, views=views, machines=machines, unsure=unsure)

    return Bucket(
        begins=at.astimezone(zone),
        delivered=found.get(("delivered", ""), 0),
        kinds={kind: of(kind) for kind in EventKind},
    )


def _floor(at: datetime, unit: Unit, zone: tzinfo) -> datetime:
    """When the hour or day that `at` lies in begins, in UTC."""
    local = at.astimezone(zone)
    if unit is Unit.DAY:
        return _midnight(local.date(), zone)
    return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _next(at: datetime, unit: Unit, zone: tzinfo) -> datetime:
    if unit is Unit.DAY:
        return _midnight(at.astimezone(zone).date() + timedelta(days=1), zone)
    following = _floor(at + timedelta(hours=1), unit, zone)
    return following if following > at else at + timedelta(hours=1)


def _ceiling(at: datetime, unit: Unit, zone: tzinfo) -> datetime:
    begins = _floor(at, unit, zone)
    return begins if begins == at else _next(begins, unit, zone)


def _every(first: datetime, behind: datetime, unit: Unit, zone: tzinfo) -> Iterator[datetime]:
    length = timedelta(hours=1) if unit is Unit.HOUR else timedelta(days=1)
    if (behind - first) / length > _MOST:
        raise InvalidValue(f"at most {_MOST} {unit.value}s fit one report: choose a shorter period, or days")
    at = first
    while at < behind:
        yield at
        at = _next(at, unit, zone)
