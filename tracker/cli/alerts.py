"""`candor alert …`: what somebody was told as it happened, and a letter to try it."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.domain import Domain
from tracker.errors import InvalidValue, NotFound
from tracker.moments import isoformat
from tracker.moments import shown as moment_shown
from tracker.reports.alerts import Told, about, find_alerts, what
from tracker.spreadsheet import as_csv
from tracker.store import alerts
from tracker.store.alerts import Found

COLUMNS = ("at", "alert", "about", "what", "message", "state")


@click.group()
def alert() -> None:
    """What you were told as it happened; [[alert]] in the configuration says of what."""


@alert.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--csv", "as_csv_", is_flag=True, help="Write CSV.")
@json_option
@config_option
def list_(limit: int, as_csv_: bool, as_json: bool, config_file: Path | None) -> None:
    """List the latest alerts: who did what, and whether a letter went out.

    Whoever may not be measured by name today is not named.
    """
    if as_json and as_csv_:
        raise CommandError(InvalidValue("--json and --csv: one or the other"))

    async def work(domain: Domain) -> tuple[list[Told], list[str]]:
        return await find_alerts(domain, limit=limit), [one.name for one in domain.config.alert]

    found, names = with_domain(config_file, work)
    if as_json:
        show_json([_plain(one) for one in found])
    elif as_csv_:
        sys.stdout.write(as_csv(COLUMNS, map(_row, found)).decode())
    elif found:
        rows = [_row(one) for one in found]
        show_table(COLUMNS, [(moment_shown(row["at"]), *(row[key] for key in COLUMNS[1:])) for row in rows])
    elif names:
        click.echo(f"no alert yet; the configuration asks for {', '.join(names)}")
    else:
        click.echo("no alert yet, and none is configured: see docs/alerts.md for [[alert]]")


@alert.command("test")
@click.argument("name")
@config_option
def test(name: str, config_file: Path | None) -> None:
    """Have a letter sent to those whom the alert NAME tells. A running relay sends it within half a minute."""

    async def work(domain: Domain) -> tuple[str, ...]:
        wanted = next((one for one in domain.config.alert if one.name == name), None)
        if wanted is None:
            names = ", ".join(one.name for one in domain.config.alert) or "none is configured"
            raise NotFound(f"there is no [[alert]] {name!r} in the configuration; there are: {names}")
        now = datetime.now(UTC)
        found = Found(name=name, kind="test", key=secrets.token_bytes(16), at=now)
        await domain.database.change(lambda connection: alerts.keep(connection, [found], now))
        return wanted.to

    to = with_domain(config_file, work)
    click.echo(
        printable(f"a running relay sends it to {', '.join(to)} within half a minute: candor alert list")
    )


def _row(one: Told) -> dict[str, Any]:
    """By `COLUMNS`, as people read it."""
    return {
        "at": isoformat(one.at),
        "alert": one.name,
        "about": about(one),
        "what": what(one),
        "message": one.subject or (one.message_id.hex() if one.message_id else ""),
        "state": one.state,
    }


def _plain(one: Told) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "kind": one.kind,
        "at": isoformat(one.at),
        "found_at": isoformat(one.found_at),
        "state": one.state,
        "hidden": one.is_hidden,
        "address": one.address,
        "message": one.message_id.hex() if one.message_id else None,
        "subject": one.subject or None,
        "url": one.url or None,
        "domain": one.domain or None,
        "n": one.n,
        "of": one.of,
    }
