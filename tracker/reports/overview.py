"""A period in numbers, beside the one before that was as long: what became of the mail that came in then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, func, select

from tracker.domain import Domain
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.reports.figures import Figures, scope_figures
from tracker.reports.sums import Scope, active, active_days, day
from tracker.store.schema import mailings, messages


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodFigures:
    """One period."""

    since: datetime
    until: datetime
    messages: int
    mailings: int
    figures: Figures
    """Of the mail that came in then, whenever it was opened; without what stands for a mailing or a month alone."""
    active: Mapping[EventKind, int]
    """Deliveries opened or clicked by people on the days (UTC) that the period touches, whenever they were sent; of what
    is still on record. `people_active` knows periods to the moment."""

    def as_json(self) -> dict[str, Any]:
        return {
            "since": isoformat(self.since),
            "until": isoformat(self.until),
            "messages": self.messages,
            "mailings": self.mailings,
            **self.figures.as_json(),
            "active": {kind.value: n for kind, n in self.active.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A period and the one before it."""

    now: PeriodFigures
    before: PeriodFigures

    def as_json(self) -> dict[str, Any]:
        return {"now": self.now.as_json(), "before": self.before.as_json()}


async def overview(domain: Domain, *, since: datetime, until: datetime) -> Overview:
    """From `since` until before `until`, and as long before. Raises StoreUnavailable."""

    def work(connection: Connection) -> Overview:
        return Overview(
            now=_period(connection, since, until), before=_period(connection, since - (until - since), since)
        )

    return await domain.database.view(work, within=30.0)


async def people_active(
    domain: Domain, scope: Scope, *, since: datetime, until: datetime
) -> Mapping[EventKind, int]:
    """Deliveries of a message or mailing, or of all mail, opened or clicked by people in any period, to the moment: each
    once, however often. Raises StoreUnavailable."""

    def work(connection: Connection) -> Mapping[EventKind, int]:
        return {kind: active(connection, scope, kind, since=since, until=until) for kind in EventKind}

    return await domain.database.view(work, within=30.0)


def _period(connection: Connection, since: datetime, until: datetime) -> PeriodFigures:
    scope = Scope(since=since, until=until)
    theirs = scope.condition()
    used = exists().where(messages.c.mailing_id == mailings.c.id, theirs)
    numbers = connection.execute(
        select(
            select(func.count()).select_from(messages).where(theirs).scalar_subquery(),
            select(func.count()).select_from(mailings).where(used).scalar_subquery(),
        )
    ).one()
    first, last = day(since), day(until - timedelta(microseconds=1))
    return PeriodFigures(
        since=since,
        until=until,
        messages=numbers[0],
        mailings=numbers[1],
        figures=scope_figures(connection, scope),
        active={kind: active_days(connection, Scope(), kind, first, last + 1) for kind in EventKind},
    )
