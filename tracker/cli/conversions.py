"""`candor conversion record`, and `candor report conversions`: what a site tells, and who earned it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from tracker.attribution import Model
from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.cli.options import Asked, Output, output_options, period_options
from tracker.converting import Said, read_said, record_conversion
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.money import shown_amount
from tracker.reports.conversions import CSV, By, ConversionReport, Period, csv_rows, report_conversions
from tracker.reports.wording import credit, percent, unattributed_word
from tracker.statements import parse_moment
from tracker.store.conversions import Recorded


@click.group()
def conversion() -> None:
    """What people did on your site."""


@conversion.command()
@click.argument("goal")
@click.option("--click-id", help="What the link handed to the site (the parameter [tracking] names).")
@click.option("--contact", metavar="ADDRESS", help="Whose it is, where there is no click id.")
@click.option("--order", help="Its number with you: told twice, it counts once.")
@click.option("--value", metavar="12.50", help="What it is worth; what the goal is worth, when left out.")
@click.option("--currency", metavar="EUR", help="Of the value; the goal's, when left out.")
@click.option("--at", help="When it happened (ISO 8601 with time zone); now, when left out.")
@json_option
@config_option
def record(
    goal: str,
    click_id: str | None,
    contact: str | None,
    order: str | None,
    value: str | None,
    currency: str | None,
    at: str | None,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Take down that somebody reached GOAL, which a [[goal]] of the configuration names.

    Of a person who declined to be measured it counts, and no mail earns it.
    """
    try:
        moment = parse_moment("--at", at) if at is not None else None
    except CandorError as error:
        raise CommandError(error) from error
    said = Said(
        goal=goal,
        click_id=click_id,
        contact=contact,
        order=order,
        value=value,
        currency=currency,
        at=moment,
    )

    async def work(domain: Domain) -> Recorded:
        now = datetime.now(UTC)
        return await record_conversion(domain, read_said(domain, said, now), now)

    found = with_domain(config_file, work)
    if as_json:
        show_json({"recorded": found.is_new, "unattributed": found.reason or None})
    elif not found.is_new:
        click.echo("on record already; nothing was counted")
    else:
        why = f"; no mail is named: {unattributed_word(found.reason)}" if found.reason else ""
        click.echo(f"recorded{why}")


@click.command("conversions")
@click.option("--goal", help="Only this one.")
@click.option("--model", type=click.Choice([str(one) for one in Model]), help="Instead of the goal's own.")
@period_options(zone="UTC")
@click.option("--by", type=click.Choice([str(one) for one in By]), default="campaign", show_default=True)
@output_options
@config_option
def conversions_(
    goal: str | None,
    model: str | None,
    by: str,
    asked: Asked,
    output: Output,
    config_file: Path | None,
) -> None:
    """What people did on your site, and which mail earned it."""
    days = asked.days(ZoneInfo("UTC"))
    period = Period(first=days.first, last=days.last)
    wanted = Model(model) if model is not None else None

    async def work(domain: Domain) -> list[ConversionReport]:
        return await report_conversions(domain, period, by=By(by), goal=goal, model=wanted)

    found = with_domain(config_file, work)
    if output.as_json or output.as_csv:
        rows = csv_rows(found)
        output.rows(rows, {name: name for name in CSV}, json=[one.as_json() for one in found])
    elif not found:
        click.echo("there is no goal; docs/conversions.md says how to begin")
    else:
        for one in found:
            _show(one)


def _show(report: ConversionReport) -> None:
    windows = " or ".join(map(str, report.windows))
    click.echo(
        printable(
            f"{report.goal}   ({report.period.first} to {report.period.last}; model {report.model}, "
            f"window {windows} days)"
        )
    )
    worth = ", ".join(f"{shown_amount(n, currency)} {currency}" for currency, n in report.values.items())
    choice = report.by_choice
    many = "1 conversion" if report.conversions == 1 else f"{report.conversions} conversions"
    click.echo(
        f"{many}{worth and ', worth '}{worth}; {report.attributed} earned by mail; "
        f"{choice.n} ({percent(choice)}) could not be attributed because people chose so"
    )
    if report.rows:
        rows = [
            (
                one.earner.title,
                *_more(report.by, one.earner),
                credit(one.millionths),
                one.amount,
                one.currency,
            )
            for one in report.rows
        ]
        more = {By.MESSAGE: ("campaign", "message"), By.LINK: ("campaign", "message")}.get(report.by, ())
        show_table((report.by.value, *more, "conversions", "value", "currency"), rows)
    if report.unattributed:
        rows_ = [(unattributed_word(reason), n) for reason, n in sorted(report.unattributed.items())]
        show_table(("nobody earned, because", "conversions"), rows_)


def _more(by: By, earner: Any) -> tuple[str, ...]:
    return (earner.campaign, earner.message[:8]) if by in (By.MESSAGE, By.LINK) else ()
