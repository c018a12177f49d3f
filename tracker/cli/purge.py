"""`candor purge`: what the nightly job does, now, or only shown."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import click

from tracker.cli.common import CommandError, config_option, json_option, show_json, show_table, with_domain
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.retention import kept_from
from tracker.store.purge import Purged

_WORDS = {
    "events": "events",
    "messages": "messages whose recipients go",
    "deliveries": "deliveries with their attempts",
    "open_days": "days of a last open",
    "requests": "settled requests",
    "conversions": "conversions",
    "originals": "messages kept for the pages",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="As if it were that day (UTC). In the future it removes what has not expired yet: --dry-run only.",
)
@json_option
@config_option
def purge(dry_run: bool, as_of: datetime | None, as_json: bool, config_file: Path | None) -> None:
    """Remove what has been kept for as long as [retention] says; its totals stay.

    Running programs do this every night by themselves. Mail and hits go on beside it.
    """
    today = datetime.now(UTC).date()
    day = as_of.date() if as_of is not None else today
    if day > today and not dry_run:
        raise CommandError(InvalidValue(f"{day} is in the future: only --dry-run may look there"))

    async def work(domain: Domain) -> tuple[Purged, date, date]:
        retention = domain.config.retention
        found = await (domain.purge.due(day) if dry_run else domain.purge.run(day))
        years = retention.events_years, retention.messages_years
        of_events, of_messages = (kept_from(day, one).date() for one in years)
        return found, of_events, of_messages

    found, of_events, of_messages = with_domain(config_file, work)
    if as_json:
        show_json(
            {
                "dry_run": dry_run,
                "as_of": day.isoformat(),
                "events_before": of_events.isoformat(),
                "messages_before": of_messages.isoformat(),
                **asdict(found),
            }
        )
        return
    title = f"{'Would go' if dry_run else 'Gone'}: events before {of_events}, messages before {of_messages}"
    show_table(("what", "number"), [(_WORDS[kind], n) for kind, n in asdict(found).items()], title=title)
