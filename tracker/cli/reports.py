"""`candor report`: what it adds up to, each number with what it is a share of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tracker.cli.common import config_option, json_option, printable, show_json, show_table, with_domain
from tracker.cli.conversions import conversions_
from tracker.cli.lists import domains_, leads_, quiet_, read_
from tracker.cli.messages import message_id_argument, whole_id
from tracker.cli.rollups import rebuild_
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.moments import shown as moment_shown
from tracker.reports.figures import Figures
from tracker.reports.mailing import Listed, MailingReport, latest_mailings, report_mailing
from tracker.reports.message import MessageReport, report_message
from tracker.reports.wording import judged, percent, span

_KINDS = {"campaign": "campaign", "sender-day": "a sender's day", "sender-month": "a sender's month"}
_WORDS = {EventKind.OPENED: "opens", EventKind.CLICKED: "clicks"}


@click.group()
def report() -> None:
    """What it adds up to.

    Rates are shares of what was delivered and measured by name; beside them stands where the true rate lies 19 times in
    20.
    """


for _list in (domains_, leads_, quiet_, read_, conversions_, rebuild_):
    report.add_command(_list)


@report.command("message")
@click.argument("id")
@json_option
@config_option
def report_one(id: str, as_json: bool, config_file: Path | None) -> None:
    """One message in numbers, each with what it is a share of."""
    prefix = message_id_argument(id)

    async def work(domain: Domain) -> MessageReport:
        return await report_message(domain, await whole_id(domain, prefix))

    found = with_domain(config_file, work)
    if as_json:
        show_json(found.as_json())
    else:
        show_message_report(found)


@report.command("campaign")
@click.argument("name", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Without NAME.")
@json_option
@config_option
def report_campaign(name: str | None, limit: int, as_json: bool, config_file: Path | None) -> None:
    """One campaign in numbers, and its variants held against each other; without NAME the latest.

    NAME is what X-Candor-Campaign says. Mail without that header goes by its author and day
    ("news@shop.example 2026-05-04"), and is found under that name.
    """
    if name is None:
        _list_campaigns(
            with_domain(config_file, lambda domain: latest_mailings(domain, limit=limit)), as_json
        )
        return
    found = with_domain(config_file, lambda domain: report_mailing(domain, name))
    if as_json:
        show_json(found.as_json())
    else:
        _show_mailing(found)


def _list_campaigns(found: list[Listed], as_json: bool) -> None:
    if as_json:
        show_json([one.as_json() for one in found])
    elif not found:
        click.echo("no mailing is on record")
    else:
        rows = [
            (one.name, _KINDS[one.kind], one.messages, moment_shown(isoformat(one.last))) for one in found
        ]
        show_table(("campaign", "goes by", "messages", "last"), rows)


def show_message_report(found: MessageReport) -> None:
    """The report as tables."""
    click.echo(printable(f"{found.subject}   (mailing {found.mailing})"))
    _show_figures(found.figures)
    _show_counts(found.mailing_counts)
    if found.links:
        linked = [(link.number, link.url, link.unique, link.total) for link in found.links]
        show_table(("link", "leads to", "people", "all"), linked)


def _show_mailing(found: MailingReport) -> None:
    many = "1 message" if found.messages == 1 else f"{found.messages} messages"
    when = _span(found.first, found.last)
    click.echo(printable(f"{found.name}   ({_KINDS[found.kind]}: {many}{when})"))
    _show_figures(found.figures)
    _show_variants(found)
    _show_counts(found.counts)


def _span(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    begin, end = moment_shown(isoformat(first)), moment_shown(isoformat(last))
    return f", {begin}" if begin == end else f", {begin} to {end}"


def _show_figures(figures: Figures) -> None:
    show_table(("deliveries", "number"), sorted(figures.statuses.items()))
    if figures.not_trackable:
        show_table(("not measured by name, because", "number"), sorted(figures.not_trackable.items()))
    rows = []
    for kind, one in figures.identified.items():
        share = figures.share(kind)
        rows.append(
            (
                kind,
                share.n,
                f"of {share.of}",
                percent(share),
                span(share),
                one.total,
                one.machines,
                one.unsure,
            )
        )
    columns = (
        "by name",
        "people",
        "delivered and measured",
        "rate",
        "19 times in 20",
        "all",
        "machines beside",
        "unsure beside",
    )
    show_table(columns, rows)


def _show_variants(found: MailingReport) -> None:
    if not found.variants:
        return
    for kind, word in _WORDS.items():
        won = found.contest(kind)
        rows = [
            (name or "(none)", share.n, f"of {share.of}", percent(share), span(share), judged(name, won))
            for name, share in ((name, one.share(kind)) for name, one in found.variants.items())
        ]
        show_table(
            ("variant", word, "delivered and measured", "rate", "19 times in 20", "against the leader"), rows
        )


def _show_counts(counts: Iterable[Mapping[str, Any]]) -> None:
    rows = [(one["scope"], one["group"], one["kind"], one["link"] or "", one["count"]) for one in counts]
    if rows:
        show_table(
            ("without names", "group", "kind", "link", "count"), rows, title="Counts of the whole mailing"
        )
