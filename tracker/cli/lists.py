"""`candor report links|domains|leads|quiet|read`: lists to act on, for people, as JSON and as CSV."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tracker.cli.common import config_option, with_domain
from tracker.cli.messages import message_id_argument, whole_id
from tracker.cli.options import Asked, Output, limit_option, output_options, period_options
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.reports.domains import DomainReport, report_domains
from tracker.reports.engagement import Lead, Quiet, leads, quiet
from tracker.reports.links import LinkReport, report_links
from tracker.reports.readings import Reading, who_has_read
from tracker.reports.rows import domain_row, reading_row
from tracker.reports.wording import percent
from tracker.segments.selection import Selection, saved

_segment = click.option("--segment", metavar="NAME", help="Only people of this saved segment.")


async def _of(domain: Domain, segment: str | None) -> Selection | None:
    """The saved segment of this name. Raises NotFound, StoreUnavailable."""
    return None if segment is None else await saved(domain, segment, datetime.now(UTC))


@click.command("links")
@click.option("--search", default="", help="Only addresses that hold this.")
@period_options()
@limit_option
@output_options
@config_option
def links_(search: str, limit: int, asked: Asked, output: Output, config_file: Path | None) -> None:
    """Which addresses people followed, over all mail; machines are left out."""

    async def work(domain: Domain) -> list[LinkReport]:
        days = asked.days(domain.config.admin.zone)
        return await report_links(domain, since=days.since, until=days.until, limit=limit, search=search)

    found = with_domain(config_file, work)
    columns = {
        "url": "leads to",
        "text": "link text",
        "unique": "people",
        "total": "clicks",
        "messages": "messages",
        "last": "latest click",
    }
    output.rows(
        [asdict(one) for one in found],
        columns,
        json=[one.as_json() for one in found],
        nothing="no link was followed in that time",
    )


@click.command("domains")
@period_options()
@limit_option
@output_options
@config_option
def domains_(limit: int, asked: Asked, output: Output, config_file: Path | None) -> None:
    """By the recipient's domain: what arrived, what was opened, and upstream's last words on the rest."""

    async def work(domain: Domain) -> list[DomainReport]:
        days = asked.days(domain.config.admin.zone)
        return await report_domains(domain, since=days.since, until=days.until, limit=limit)

    found = with_domain(config_file, work)
    columns = {
        "domain": "domain",
        "deliveries": "deliveries",
        "delivered": "delivered",
        "waiting": "waiting",
        "measured": "measured",
        "opened": "opened",
        "clicked": "clicked",
        "answers": "last words on what did not arrive",
    }
    output.rows(
        [domain_row(one) for one in found],
        columns,
        json=[one.as_json() for one in found],
        nothing="no mail in that time",
        people=[_with_rates(one) for one in found],
    )


def _with_rates(one: DomainReport) -> dict[str, Any]:
    shares = {
        "delivered": one.arrived,
        "opened": one.share(EventKind.OPENED),
        "clicked": one.share(EventKind.CLICKED),
    }
    return domain_row(one) | {key: f"{share.n}  {percent(share)}" for key, share in shares.items()}


@click.command("leads")
@period_options(ends=False)
@limit_option
@_segment
@output_options
@config_option
def leads_(limit: int, segment: str | None, asked: Asked, output: Output, config_file: Path | None) -> None:
    """Who engaged most: mails clicked count three, mails opened one; persons only.

    Whoever may not be measured by name today is in no list, whatever they did before.
    """

    async def work(domain: Domain) -> list[Lead]:
        since = asked.since(domain.config.admin.zone)
        return await leads(domain, since=since, limit=limit, segment=await _of(domain, segment))

    columns = {
        "address": "address",
        "group": "group",
        "score": "score",
        "opened": "mails opened",
        "clicked": "mails clicked",
        "last": "last seen",
    }
    rows = [asdict(one) for one in with_domain(config_file, work)]
    output.rows(rows, columns, nothing="nobody in that time")


@click.command("quiet")
@period_options(back=180, ends=False)
@click.option(
    "--least", default=3, show_default=True, type=click.IntRange(1), help="Mails they got in that time."
)
@limit_option
@_segment
@output_options
@config_option
def quiet_(
    least: int,
    limit: int,
    segment: str | None,
    asked: Asked,
    output: Output,
    config_file: Path | None,
) -> None:
    """Who gets measured mail and shows no sign of life, for the hygiene of your lists.

    Mail programs that load no images show none either: ask before you strike anybody off.
    """

    async def work(domain: Domain) -> list[Quiet]:
        since, chosen = asked.since(domain.config.admin.zone), await _of(domain, segment)
        return await quiet(domain, since=since, least=least, limit=limit, segment=chosen)

    columns = {
        "address": "address",
        "group": "group",
        "delivered": "mails delivered",
        "last_mail": "last mail",
    }
    rows = [asdict(one) for one in with_domain(config_file, work)]
    output.rows(rows, columns, nothing="nobody")


@click.command("read")
@click.argument("id")
@_segment
@output_options
@config_option
def read_(id: str, segment: str | None, output: Output, config_file: Path | None) -> None:
    """By department, how many have shown that they read a message.

    Who is not measured by name stands apart, and never counts as not having read.
    """
    prefix = message_id_argument(id)

    async def work(domain: Domain) -> list[Reading]:
        message = await whole_id(domain, prefix)
        return await who_has_read(domain, message, segment=await _of(domain, segment))

    columns = {
        "group": "department",
        "recipients": "recipients",
        "delivered": "delivered",
        "measured": "measured",
        "read": "shown that they read",
        "not_shown": "not shown",
        "not_measured": "not measured by name",
    }
    rows = [reading_row(one) for one in with_domain(config_file, work)]
    output.rows(rows, columns, nothing="no recipient of it is on record any more")
