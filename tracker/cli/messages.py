"""`candor message`, `candor event`, `candor report`: what happened, to whom, and what it adds up to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tracker.cli.common import (
    config_option,
    id_argument,
    json_option,
    printable,
    show_json,
    show_json_lines,
    show_table,
    with_domain,
)
from tracker.reports.message import MessageReport, report_message


@click.group()
def message() -> None:
    """Messages and their deliveries."""


@message.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@json_option
@config_option
def list_messages(limit: int, as_json: bool, config_file: Path | None) -> None:
    """List the latest messages."""
    found = with_domain(config_file, lambda domain: domain.deliveries.list(limit=limit))
    if as_json:
        show_json(found)
        return
    rows = [
        (one["id"], one["received_at"], one["from"], one["subject"], _states(one["deliveries"]))
        for one in found
    ]
    show_table(("id", "received", "from", "subject", "deliveries"), rows)


@message.command()
@click.argument("id")
@json_option
@config_option
def show(id: str, as_json: bool, config_file: Path | None) -> None:
    """Show one message: what was decided for whom, and what became of it."""
    message_id = id_argument(id, "message")
    found = with_domain(config_file, lambda domain: domain.deliveries.show(message_id))
    if as_json:
        show_json(found)
        return
    untouched = f"   sent as it came: {found['untouched']}" if found["untouched"] else ""
    click.echo(printable(found["subject"]))
    from_whom = f"from {found['from']}, {found['received_at']}, mailing {found['mailing']}{untouched}"
    click.echo(f"{printable(from_whom)}\n")
    rows = []
    for one in found["deliveries"]:
        last = one["attempts"][-1] if one["attempts"] else None
        answer = " ".join(str(last[key]) for key in ("code", "enhanced", "text") if last[key]) if last else ""
        rows.append(
            (one["recipient"] or "(erased)", one["mode"], one["reason"], one["status"], answer, one["id"])
        )
    show_table(("recipient", "mode", "reason", "status", "last answer", "delivery"), rows)
    links = {link["number"]: link["url"] for one in found["deliveries"] for link in one["links"]}
    if links:
        show_table(("link", "leads to"), sorted(links.items()))


@click.group()
def event() -> None:
    """Opens and clicks of identified deliveries."""


@event.command("list")
@click.option("--message", "message_id", help="Only those of one message.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="The latest so many; without --json 50 when left out."
)
@json_option
@config_option
def list_events(message_id: str | None, limit: int | None, as_json: bool, config_file: Path | None) -> None:
    """List events, oldest first; with --json one object a line."""
    wanted = id_argument(message_id, "message") if message_id else None
    most = limit if as_json else limit or 50
    found = with_domain(config_file, lambda domain: domain.events.list(message=wanted, limit=most))
    if as_json:
        show_json_lines(found)
        return
    rows = [
        (one["at"], one["kind"], one["recipient"] or "", one["url"] or "", one["verdict"], one["client"])
        for one in found
    ]
    show_table(("at", "kind", "recipient", "link", "verdict", "client"), rows)


@click.group()
def report() -> None:
    """What it adds up to."""


@report.command("message")
@click.argument("id")
@json_option
@config_option
def report_one(id: str, as_json: bool, config_file: Path | None) -> None:
    """One message in numbers, each with what it is a share of."""
    message_id = id_argument(id, "message")
    found = with_domain(config_file, lambda domain: report_message(domain, message_id))
    if as_json:
        show_json(found.as_json())
    else:
        show_report(found)


def show_report(found: MessageReport) -> None:
    """The report as tables."""
    shown = found.as_json()
    click.echo(printable(f"{shown['subject']}   (mailing {shown['mailing']})"))
    show_table(("deliveries", "number"), sorted(shown["deliveries"].items()))
    show_table(("not measured by name, because", "number"), sorted(shown["not_trackable"].items()))
    rows = [
        (
            kind,
            value["delivered"],
            f"of {shown['trackable_delivered']}",
            _percent(value["rate"]),
            value["total"],
            value["machines"],
            value["unsure"],
        )
        for kind, value in shown["identified"].items()
    ]
    columns = (
        "by name",
        "people",
        "delivered and measured",
        "rate",
        "all",
        "machines beside",
        "unsure beside",
    )
    show_table(columns, rows)
    counts = [
        (one["scope"], one["group"], one["kind"], one["link"] or "", one["count"])
        for one in shown["mailing_counts"]
    ]
    if counts:
        show_table(
            ("without names", "group", "kind", "link", "count"), counts, title="Counts of the whole mailing"
        )
    if shown["links"]:
        linked = [(link["number"], link["url"], link["unique"], link["total"]) for link in shown["links"]]
        show_table(("link", "leads to", "people", "all"), linked)


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.1%}"


def _states(counted: dict[str, Any]) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(counted.items()))
