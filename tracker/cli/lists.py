"""`candor report domains|leads|quiet|read`: lists to act on, for people, as JSON and as CSV."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from tracker.cli.common import CommandError, config_option, json_option, show_json, show_table, with_domain
from tracker.cli.messages import message_id_argument, whole_id
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.moments import shown as moment_shown
from tracker.reports.domains import DomainReport, report_domains
from tracker.reports.engagement import Lead, Quiet, Reading, leads, quiet, who_has_read
from tracker.reports.wording import percent
from tracker.segments.selection import Selection, saved
from tracker.spreadsheet import as_csv

F = TypeVar("F", bound=Callable[..., Any])

_days = click.option(
    "--days", default=30, show_default=True, type=click.IntRange(1, 3660), help="So far back from now."
)
_limit = click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000))
_segment = click.option("--segment", metavar="NAME", help="Only people of this saved segment.")
_csv = click.option("--csv", "as_csv_", is_flag=True, help="Write CSV.")


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


async def _of(domain: Domain, segment: str | None) -> Selection | None:
    return None if segment is None else await saved(domain, segment, datetime.now(UTC))


def _tell(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    nothing: str,
    *,
    as_json: bool,
    as_csv_: bool,
) -> None:
    """`columns`: keys of the rows, and how people read them."""
    if as_json and as_csv_:
        raise CommandError(InvalidValue("--json and --csv: one or the other"))
    plain = [{key: isoformat(v) if isinstance(v, datetime) else v for key, v in row.items()} for row in rows]
    if as_json:
        show_json(plain)
    elif as_csv_:
        sys.stdout.write(as_csv(list(columns), plain).decode())
    elif not rows:
        click.echo(nothing)
    else:
        cells = [[_cell(row.get(key)) for key in columns] for row in rows]
        show_table(tuple(columns.values()), cells)


def _cell(value: Any) -> object:
    return moment_shown(isoformat(value)) if isinstance(value, datetime) else value


@click.command("domains")
@_days
@_limit
@_csv
@json_option
@config_option
def domains_(days: int, limit: int, as_csv_: bool, as_json: bool, config_file: Path | None) -> None:
    """By the recipient's domain: what arrived, what was opened, and upstream's last words on the rest."""
    now = datetime.now(UTC)
    found = with_domain(
        config_file,
        lambda domain: report_domains(domain, since=_since(days), until=now, limit=limit),
    )
    if as_json and not as_csv_:
        show_json([one.as_json() for one in found])
        return
    columns = {
        "domain": "domain",
        "deliveries": "deliveries",
        "delivered": "delivered",
        "arrived": "arrived",
        "measured": "measured",
        "opened": "opened",
        "clicked": "clicked",
        "answers": "last words on what did not arrive",
    }
    rows = [_domain_row(one) for one in found]
    _tell(rows, columns, "no mail in that time", as_json=as_json, as_csv_=as_csv_)


def _domain_row(one: DomainReport) -> dict[str, Any]:
    opened, clicked = one.share(EventKind.OPENED), one.share(EventKind.CLICKED)
    return {
        "domain": one.domain,
        "deliveries": one.deliveries,
        "delivered": one.arrived.n,
        "arrived": percent(one.arrived),
        "measured": one.measured,
        "opened": percent(opened),
        "clicked": percent(clicked),
        "answers": "; ".join(
            f"{answer.n}x {answer.code} {answer.enhanced}".strip() for answer in one.answers
        ),
    }


@click.command("leads")
@_days
@_limit
@_segment
@_csv
@json_option
@config_option
def leads_(
    days: int, limit: int, segment: str | None, as_csv_: bool, as_json: bool, config_file: Path | None
) -> None:
    """Who engaged most: mails clicked count three, mails opened one; persons only.

    Whoever may not be measured by name today is in no list, whatever they did before.
    """

    async def work(domain: Domain) -> list[Lead]:
        return await leads(domain, since=_since(days), limit=limit, segment=await _of(domain, segment))

    found = with_domain(config_file, work)
    columns = {
        "address": "address",
        "group": "group",
        "score": "score",
        "opened": "mails opened",
        "clicked": "mails clicked",
        "last": "last seen",
    }
    rows = [asdict(one) for one in found]
    _tell(rows, columns, "nobody in that time", as_json=as_json, as_csv_=as_csv_)


@click.command("quiet")
@click.option(
    "--days", default=180, show_default=True, type=click.IntRange(1, 3660), help="So far back from now."
)
@click.option(
    "--least", default=3, show_default=True, type=click.IntRange(1), help="Mails they got in that time."
)
@_limit
@_segment
@_csv
@json_option
@config_option
def quiet_(
    days: int,
    least: int,
    limit: int,
    segment: str | None,
    as_csv_: bool,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Who gets measured mail and shows no sign of life, for the hygiene of your lists.

    Mail programs that load no images show none either: ask before you strike anybody off.
    """

    async def work(domain: Domain) -> list[Quiet]:
        chosen = await _of(domain, segment)
        return await quiet(domain, since=_since(days), least=least, limit=limit, segment=chosen)

    found = with_domain(config_file, work)
    columns = {
        "address": "address",
        "group": "group",
        "delivered": "mails delivered",
        "last_mail": "last mail",
    }
    rows = [asdict(one) for one in found]
    _tell(rows, columns, "nobody", as_json=as_json, as_csv_=as_csv_)


@click.command("read")
@click.argument("id")
@_segment
@_csv
@json_option
@config_option
def read_(id: str, segment: str | None, as_csv_: bool, as_json: bool, config_file: Path | None) -> None:
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
        "read": "shown that they read",
        "not_shown": "not shown",
        "not_measured": "not measured by name",
    }
    rows = [
        asdict(one)
        | {"group": one.group or "(none)", "not_shown": one.not_shown, "not_measured": one.not_measured}
        for one in with_domain(config_file, work)
    ]
    _tell(rows, columns, "no recipient of it is on record any more", as_json=as_json, as_csv_=as_csv_)
