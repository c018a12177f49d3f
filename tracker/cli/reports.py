"""`candor report`: what it adds up to, each number with what it is a share of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import click

from tracker.cli.common import config_option, show_table, with_domain
from tracker.cli.conversions import conversions_
from tracker.cli.figures import (
    WORDS,
    heading,
    show_counts,
    show_figures,
    show_links,
    show_timeline,
    show_times,
)
from tracker.cli.lists import domains_, leads_, links_, quiet_, read_
from tracker.cli.messages import message_id_argument, whole_id
from tracker.cli.options import Asked, Output, output_options, period_options
from tracker.cli.rollups import rebuild_
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.moments import shown as moment_shown
from tracker.reports.mailing import Listed, MailingReport, latest_mailings, report_mailing
from tracker.reports.message import MessageReport, report_message
from tracker.reports.overview import Overview, PeriodFigures, overview
from tracker.reports.rows import CSV, figure_rows, mailing_rows, message_rows
from tracker.reports.sums import Scope
from tracker.reports.timeline import Timeline, Unit, by_time
from tracker.reports.times import TimesTo, times_to
from tracker.reports.wording import GOES_BY, judged, percent, span

_CSV = {name: name for name in CSV}
_HOURS_FOR = 3
"""Days of a timeline that are still shown by the hour."""
Over = tuple[Timeline, Sequence[TimesTo]]
"""How something went over time."""


@click.group()
def report() -> None:
    """What it adds up to.

    Rates are shares of what was delivered and measured by name; beside them stands where the true rate lies 19 times in
    20.
    """


for _list in (links_, domains_, leads_, quiet_, read_, conversions_, rebuild_):
    report.add_command(_list)


@report.command("overview")
@period_options()
@output_options
@config_option
def report_overview(asked: Asked, output: Output, config_file: Path | None) -> None:
    """All mail that came in during a period, beside the period before that was as long."""

    async def work(domain: Domain) -> tuple[Overview, Timeline]:
        zone = domain.config.admin.zone
        days = asked.days(zone)
        until = days.until + timedelta(microseconds=1)
        whole = await overview(domain, since=days.since, until=until)
        timeline = await by_time(domain, Scope(), unit=Unit.DAY, zone=zone, since=days.since, until=until)
        return whole, timeline

    found, timeline = with_domain(config_file, work)
    periods = {"now": found.now, "before": found.before}
    rows = [row for name, one in periods.items() for row in figure_rows(one.figures, about=name)]
    if output.as_json or output.as_csv:
        output.rows(rows, _CSV, json=found.as_json() | {"timeline": timeline.as_json()})
        return
    zone = timeline.buckets[0].begins.tzinfo if timeline.buckets else None
    first, behind = (at.astimezone(zone) for at in (found.now.since, found.now.until))
    heading(f"All mail   ({first.date()} to {(behind - timedelta(seconds=1)).date()})")
    show_timeline(timeline)
    _show_periods(found)
    show_figures(found.now.figures)


def _show_periods(found: Overview) -> None:
    def cells(one: PeriodFigures) -> list[str]:
        figures = one.figures
        shares = [figures.share(kind) for kind in EventKind]
        return [
            str(one.messages),
            str(figures.statuses.total()),
            str(figures.delivered),
            str(figures.trackable_delivered),
            *(f"{share.n}, {percent(share)} ({span(share)})" if share.of else "–" for share in shares),
        ]

    names = ("messages", "recipients", "delivered", "measured by name", "opened", "clicked")
    rows = zip(names, cells(found.now), cells(found.before), strict=True)
    show_table(("all mail", "this period", "the one before"), list(rows))


@report.command("message")
@click.argument("id")
@output_options
@config_option
def report_one(id: str, output: Output, config_file: Path | None) -> None:
    """One message in numbers, each with what it is a share of."""
    prefix = message_id_argument(id)

    async def work(domain: Domain) -> tuple[MessageReport, Over]:
        message = await whole_id(domain, prefix)
        return await report_message(domain, message), await _over(domain, Scope(message=message))

    found, (timeline, times) = with_domain(config_file, work)
    if output.as_json or output.as_csv:
        output.rows(message_rows(found), _CSV, json=found.as_json() | _over_json(timeline, times))
        return
    show_message_report(found)
    show_timeline(timeline)
    show_times(times)


@report.command("campaign")
@click.argument("name", required=False)
@click.option("--search", default="", help="Without NAME: only those whose name holds this.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Without NAME.")
@output_options
@config_option
def report_campaign(
    name: str | None, search: str, limit: int, output: Output, config_file: Path | None
) -> None:
    """One campaign in numbers, and its variants held against each other; without NAME the latest.

    NAME is what X-Candor-Campaign says. Mail without that header goes by its author and day
    ("news@shop.example 2026-05-04"), and is found under that name.
    """
    if name is None:
        _list_campaigns(
            with_domain(config_file, lambda domain: latest_mailings(domain, limit=limit, search=search)),
            output,
        )
        return
    wanted = name

    async def work(domain: Domain) -> tuple[MailingReport, Over]:
        found = await report_mailing(domain, wanted)
        return found, await _over(domain, Scope(mailing=found.id))

    found, (timeline, times) = with_domain(config_file, work)
    if output.as_json or output.as_csv:
        output.rows(mailing_rows(found), _CSV, json=found.as_json() | _over_json(timeline, times))
        return
    _show_mailing(found)
    show_timeline(timeline)
    show_times(times)


async def _over(domain: Domain, scope: Scope) -> Over:
    """By the hour while that is a few days, else by the day."""
    zone = domain.config.admin.zone
    timeline = await by_time(domain, scope, unit=Unit.DAY, zone=zone)
    if len(timeline.buckets) <= _HOURS_FOR:
        timeline = await by_time(domain, scope, unit=Unit.HOUR, zone=zone)
    return timeline, [await times_to(domain, scope, kind) for kind in EventKind]


def _over_json(timeline: Timeline, times: Sequence[TimesTo]) -> dict[str, object]:
    return {"timeline": timeline.as_json(), "times_to": [one.as_json() for one in times]}


def _list_campaigns(found: list[Listed], output: Output) -> None:
    rows = [asdict(one) | {"kind": GOES_BY[one.kind]} for one in found]
    columns = {"name": "campaign", "kind": "goes by", "messages": "messages", "last": "last"}
    output.rows(rows, columns, json=[one.as_json() for one in found], nothing="no mailing is on record")


def show_message_report(found: MessageReport) -> None:
    """The report as tables."""
    heading(f"{found.subject}   (mailing {found.mailing})")
    show_figures(found.figures)
    show_counts(found.mailing_counts)
    show_links(found.links)


def _show_mailing(found: MailingReport) -> None:
    many = "1 message" if found.messages == 1 else f"{found.messages} messages"
    when = _span(found.first, found.last)
    heading(f"{found.name}   ({GOES_BY[found.kind]}: {many}{when})")
    show_figures(found.figures)
    _show_variants(found)
    show_counts(found.counts)


def _span(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    begin, end = moment_shown(isoformat(first)), moment_shown(isoformat(last))
    return f", {begin}" if begin == end else f", {begin} to {end}"


def _show_variants(found: MailingReport) -> None:
    if not found.variants:
        return
    for kind, word in WORDS.items():
        won = found.contest(kind)
        rows = [
            (name or "(none)", share.n, f"of {share.of}", percent(share), span(share), judged(name, won))
            for name, share in ((name, one.share(kind)) for name, one in found.variants.items())
        ]
        show_table(
            ("variant", word, "delivered and measured", "rate", "19 times in 20", "against the leader"), rows
        )
