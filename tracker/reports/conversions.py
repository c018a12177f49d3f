"""Conversions, and who earned them: by campaign, message, link or group, under one of the models.

Every conversion counts, whoever it was; credit goes only where consent admits it, and the report says how many nobody
could earn, and of those how many because the person chose so. Value stands by currency and is never added up over
them. What was purged or erased is in the totals it left: those know no groups, and where they would be about too few
neither message nor day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, select

from tracker.attribution import WHOLE, Model
from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.money import shown_amount
from tracker.reports.earners import By, Earner, Named, Names
from tracker.statistics import Share
from tracker.store.conversions import BY_CHOICE, WITHOUT_NAME
from tracker.store.credits import NO_CLICK, NO_TOUCH, Conversion, living
from tracker.store.schema import carried_conversions, carried_credits, conversions

__all__ = ["CSV", "By", "ConversionReport", "Period", "Row", "csv_rows", "report_conversions"]

_IN_TOTALS = ("", WITHOUT_NAME, NO_CLICK)
"""Reasons of conversions whose credit stands in the totals."""
_MONTHS = Earner()
"""Who earned what only a month's total knows, of a month that the period cuts."""
CSV = (
    *("goal", "model", "window_days", "from", "to", "title", "campaign", "message", "link"),
    *("conversions", "value", "currency"),
)
"""Columns of `csv_rows`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days in UTC, both included."""

    first: date
    last: date

    @property
    def since(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def until(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)

    def holds(self, day: str) -> bool:
        """Whether a day, or the whole of a month (`2026-05`), lies in it."""
        if len(day) > 7:
            return self.first.isoformat() <= day <= self.last.isoformat()
        begin = date.fromisoformat(f"{day}-01")
        following = (begin + timedelta(days=31)).replace(day=1)
        return self.first <= begin and following - timedelta(days=1) <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What somebody earned in one currency (`""`: conversions without a value)."""

    earner: Named
    currency: str
    millionths: int
    """Of a conversion."""
    value: int
    """Minor units."""

    @property
    def credit(self) -> float:
        return self.millionths / WHOLE

    @property
    def amount(self) -> str:
        return shown_amount(self.value, self.currency) if self.currency else ""

    def as_json(self) -> dict[str, Any]:
        return {
            **self.earner.as_json(),
            "conversions": self.credit,
            "value": self.amount or None,
            "currency": self.currency or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionReport:
    """One goal in a period, under one model."""

    goal: str
    model: Model
    by: By
    windows: tuple[int, ...]
    """Days before a conversion in which mail may earn it: that of today's configuration, and others under which some of
    these were taken down."""
    period: Period
    conversions: int
    unattributed: Counter[str]
    """Those that nobody earned, by reason."""
    values: Mapping[str, int]
    """Of all of them, minor units by currency."""
    rows: tuple[Row, ...]

    @property
    def attributed(self) -> int:
        return self.conversions - self.unattributed.total()

    @property
    def by_choice(self) -> Share:
        """Those that could not be attributed because people did not want it, of all."""
        return Share(n=sum(self.unattributed[reason] for reason in BY_CHOICE), of=self.conversions)

    def as_json(self) -> dict[str, Any]:
        return {
            "goal": self.goal,
            "model": self.model.value,
            "window_days": list(self.windows),
            "by": self.by.value,
            "from": self.period.first.isoformat(),
            "to": self.period.last.isoformat(),
            "conversions": self.conversions,
            "attributed": self.attributed,
            "unattributed": dict(sorted(self.unattributed.items())),
            "unattributed_by_choice": {"n": self.by_choice.n, "rate": self.by_choice.rate},
            "values": {currency: shown_amount(n, currency) for currency, n in self.values.items()},
            "rows": [one.as_json() for one in self.rows],
        }


async def report_conversions(
    domain: Domain, period: Period, *, by: By, goal: str | None = None, model: Model | None = None
) -> list[ConversionReport]:
    """A report for each goal that is configured or was told of, or for the one named; under its own model unless
    another is wanted. Raises NotFound for a goal that is neither, StoreUnavailable."""
    configured = {one.name: one for one in domain.config.goal}

    def work(connection: Connection) -> list[ConversionReport]:
        known = list(dict.fromkeys([*configured, *_goals(connection)]))
        if goal is not None and goal not in known:
            raise NotFound(f"there is no goal {goal!r}; there are: {', '.join(known) or 'none'}")
        found = []
        for name in known if goal is None else [goal]:
            own = configured.get(name)
            wanted = model or (own.model if own is not None else Model.LAST_CLICK)
            window = own.window_days if own is not None else None
            found.append(_Sums(name, wanted, by, period).report(connection, window))
        return found

    return await domain.database.read(work, within=30.0)


def csv_rows(found: Sequence[ConversionReport]) -> list[dict[str, Any]]:
    """A row for each earner, and one for what nobody earned, by reason."""
    rows = []
    for report in found:
        common = {
            "goal": report.goal,
            "model": report.model.value,
            "window_days": " ".join(map(str, report.windows)),
            "from": report.period.first.isoformat(),
            "to": report.period.last.isoformat(),
        }
        rows += [common | one.as_json() for one in report.rows]
        rows += [
            common | {"title": f"(nobody: {reason})", "conversions": n}
            for reason, n in sorted(report.unattributed.items())
        ]
    return rows


def _goals(connection: Connection) -> list[str]:
    names = set(connection.execute(select(conversions.c.goal).distinct()).scalars())
    return sorted(names | set(connection.execute(select(carried_conversions.c.goal).distinct()).scalars()))


class _Sums:
    """A report while it is added up."""

    def __init__(self, goal: str, model: Model, by: By, period: Period) -> None:
        self._goal, self._model, self._by, self._period = goal, model, by, period
        self._number = 0
        self._values: Counter[str] = Counter()
        self._unattributed: Counter[str] = Counter()
        self._windows: set[int] = set()
        self._credit: Counter[tuple[Earner, str]] = Counter()
        self._earned: Counter[tuple[Earner, str]] = Counter()
        self._due: Counter[str] = Counter()
        self._due_value: Counter[str] = Counter()
        """Of the conversions whose credit stands in the totals: what has not been found there yet."""

    def report(self, connection: Connection, window: int | None) -> ConversionReport:
        of_goal = conversions.c.goal == self._goal
        period = (conversions.c.at >= self._period.since) & (conversions.c.at < self._period.until)
        names = Names(connection, self._by)
        for one in living(connection, of_goal & period):
            self._living(one, names)
        self._carried(connection, names)
        if self._model is not Model.ALL_MESSAGES:
            for currency, n in self._due.items():
                if n > 0:
                    self._add(_MONTHS, currency, n, self._due_value[currency])
        windows = sorted(self._windows - {window})
        return ConversionReport(
            goal=self._goal,
            model=self._model,
            by=self._by,
            windows=((window,) if window is not None else ()) + tuple(windows),
            period=self._period,
            conversions=self._number,
            unattributed=+self._unattributed,
            values={currency: n for currency, n in sorted(self._values.items()) if currency},
            rows=self._rows(names),
        )

    def _count(self, n: int, currency: str, value: int) -> None:
        self._number += n
        self._values[currency] += value

    def _living(self, one: Conversion, names: Names) -> None:
        self._count(1, one.currency, one.value)
        self._windows.add(one.window_days)
        if one.reason in (WITHOUT_NAME, NO_CLICK):
            self._in_totals(one.reason, 1, one.currency, one.value)
            return
        earned = one.earned(self._model)
        for part in earned:
            earner = names.of(part.credit.message, link=part.credit.link, group=part.credit.group)
            self._add(earner, one.currency, part.millionths, part.value)
        if not earned:
            nobody = NO_CLICK if self._model is Model.FIRST_CLICK and one.earned(Model.LINEAR) else NO_TOUCH
            self._unattributed[one.reason or nobody] += 1

    def _carried(self, connection: Connection, names: Names) -> None:
        of_goal = carried_conversions.c.goal == self._goal
        for row in connection.execute(select(carried_conversions).where(of_goal)):
            if self._period.holds(row.day):
                self._count(row.n, row.currency, row.value)
                if row.reason in _IN_TOTALS:
                    self._in_totals(row.reason, row.n, row.currency, row.value)
                else:
                    self._unattributed[row.reason] += row.n
        credits = select(carried_credits).where(
            carried_credits.c.goal == self._goal, carried_credits.c.model == self._model.value
        )
        for row in connection.execute(credits):
            if self._period.holds(row.day):
                self._due[row.currency] -= row.credit
                self._due_value[row.currency] -= row.value
                earner = names.of(bytes(row.subject_id), link=row.link, group=row.grp)
                self._add(earner, row.currency, row.credit, row.value)

    def _in_totals(self, reason: str, n: int, currency: str, value: int) -> None:
        """Conversions that others' credit stands for."""
        if reason == NO_CLICK and self._model is Model.FIRST_CLICK:
            self._unattributed[NO_CLICK] += n
        else:
            self._due[currency] += n * WHOLE
            self._due_value[currency] += value

    def _add(self, earner: Earner, currency: str, millionths: int, value: int) -> None:
        self._credit[earner, currency] += millionths
        self._earned[earner, currency] += value

    def _rows(self, names: Names) -> tuple[Row, ...]:
        """The highest credit first."""
        named = names.named({earner for earner, _ in self._credit})
        rows = [
            Row(earner=named[earner], currency=currency, millionths=n, value=self._earned[earner, currency])
            for (earner, currency), n in self._credit.items()
        ]
        return tuple(
            sorted(rows, key=lambda row: (-row.millionths, -row.value, row.earner.title, row.currency))
        )
