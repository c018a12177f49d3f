"""Reports as charts: which numbers of a report are lines, columns or bars, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tracker.admin.charts import Chart, Form, Series
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.reports.dimensions import Dimension, Part, by_dimension
from tracker.reports.figures import Figures, scope_figures
from tracker.reports.sums import Scope
from tracker.reports.timeline import Timeline, Unit, by_time
from tracker.reports.times import TimesTo, times_to

_DAYS = 30
_MOST_PARTS = 8
_WITHIN = 30.0
_HOURS = 72
"""Hours of activity that are shown as such; longer ones are shown by day."""
_A_DAY = 24
_PARTS = {
    Dimension.DEVICE: ("Read with, by device", "Device", "device"),
    Dimension.CLIENT: ("Read with, by client", "Client", "device"),
    Dimension.COUNTRY: ("Read where", "Country", "country"),
}


def activity(timeline: Timeline, title: str) -> Chart:
    """Deliveries, and opens and clicks by people, by hour or day."""
    by_hour = timeline.unit is Unit.HOUR
    begins = [one.begins for one in timeline.buckets]
    # Two labels of the same words are one to what draws them, and both are shown wherever one is.
    hour = "%a %Hh" if len(begins) > _A_DAY else "%H:%M"
    return Chart(
        key="hours" if by_hour else "days",
        title=title,
        head="Hour" if by_hour else "Day",
        labels=tuple(at.strftime("%Y-%m-%d %H:%M" if by_hour else "%Y-%m-%d") for at in begins),
        short=tuple(at.strftime(hour if by_hour else "%d %b") for at in begins),
        series=(
            Series(title="Delivered", values=tuple(one.delivered for one in timeline.buckets)),
            *(
                Series(title=name, values=tuple(one.kinds[kind].total for one in timeline.buckets))
                for kind, name in ((EventKind.OPENED, "Opens"), (EventKind.CLICKED, "Clicks"))
            ),
        ),
        term="total",
    )


def outcomes(figures: Figures, title: str = "Deliveries by state") -> Chart:
    """What became of them, the most frequent first."""
    found = figures.statuses.most_common()
    return Chart(
        key="states",
        title=title,
        head="State",
        labels=tuple(status for status, _ in found),
        series=(Series(title="Deliveries", values=tuple(n for _, n in found)),),
        form=Form.BARS,
        term="recipients",
    )


def parts(dimension: Dimension, found: Sequence[Part]) -> Chart:
    """People by what they read with, or where."""
    title, head, term = _PARTS[dimension]
    return Chart(
        key=dimension.value,
        title=title,
        head=head,
        labels=tuple(one.value or "not known" for one in found),
        series=tuple(
            Series(title=name, values=tuple(one.people.get(kind, 0) for one in found))
            for kind, name in ((EventKind.OPENED, "Opened"), (EventKind.CLICKED, "Clicked"))
        ),
        form=Form.BARS,
        term=term,
    )


def waited(found: TimesTo) -> Chart:
    """How long it took people, as a histogram."""
    opened = found.kind is EventKind.OPENED
    words = [_span(one.since, one.until) for one in found.histogram]
    return Chart(
        key=f"time-to-{found.kind.value}",
        title="Time to first open" if opened else "Time to first click",
        head="After",
        labels=tuple(words),
        short=tuple(word.removeprefix("up to ") for word in words),
        series=(Series(title="Deliveries", values=tuple(one.n for one in found.histogram)),),
        form=Form.COLUMNS,
        term="time-to-open" if opened else "time-to-click",
    )


async def of_mail(domain: Domain, scope: Scope) -> list[Chart]:
    """The charts of a message or a mailing; those without anything are left out. Raises StoreUnavailable."""
    zone = domain.config.admin.zone
    timeline = await by_time(domain, scope, unit=Unit.DAY, zone=zone)
    if len(timeline.buckets) * 24 <= _HOURS:
        timeline = await by_time(domain, scope, unit=Unit.HOUR, zone=zone)
    charts = [activity(timeline, f"What happened, by {timeline.unit.value}")]
    charts += [waited(await times_to(domain, scope, kind)) for kind in EventKind]
    return _with_something([*charts, *await _splits(domain, scope)])


async def of_days(domain: Domain, now: datetime) -> list[Chart]:
    """The charts of all mail: what happened in the last thirty days and the last day, and what came of the mail of that
    time. Raises StoreUnavailable."""
    zone = domain.config.admin.zone
    since = midnight(now, zone, days_before=_DAYS - 1)
    days = await by_time(domain, Scope(), unit=Unit.DAY, zone=zone, since=since, until=now)
    day = now - timedelta(hours=23)
    hours = await by_time(domain, Scope(), unit=Unit.HOUR, zone=zone, since=day, until=now)
    scope = Scope(since=since, until=now)
    whole = await domain.database.read(lambda connection: scope_figures(connection, scope), within=_WITHIN)
    charts = [activity(days, f"The last {_DAYS} days"), activity(hours, "The last 24 hours")]
    charts += [outcomes(whole, f"What became of the mail of {_DAYS} days")]
    charts += [waited(await times_to(domain, scope, EventKind.OPENED))]
    return _with_something([*charts, *await _splits(domain, scope)])


def midnight(now: datetime, zone: ZoneInfo, *, days_before: int = 0) -> datetime:
    """When the day began in the operator's zone, today or some days ago."""
    day = now.astimezone(zone).date() - timedelta(days=days_before)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


async def _splits(domain: Domain, scope: Scope) -> list[Chart]:
    return [
        parts(dimension, await by_dimension(domain, scope, dimension, limit=_MOST_PARTS))
        for dimension in _PARTS
    ]


def _with_something(charts: Iterable[Chart]) -> list[Chart]:
    return [one for one in charts if not one.is_empty and set(one.labels) != {"not known"}]


def _span(since: int, until: int | None) -> str:
    return f"over {_long(since)}" if until is None else f"up to {_long(until)}"


def _long(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
