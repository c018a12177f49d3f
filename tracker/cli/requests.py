"""`candor request …`: what people asked of the operator on their own page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tracker.cli.common import config_option, json_option, printable, show_json, show_table, with_domain
from tracker.moments import isoformat
from tracker.store.requests import Request, RequestState


@click.group()
def request() -> None:
    """What people asked of you on their page: their data, or to be erased. A month is the limit (GDPR art. 12)."""


@request.command("list")
@click.option("--all", "everything", is_flag=True, help="Settled ones too, latest first.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@json_option
@config_option
def list_requests(everything: bool, limit: int, as_json: bool, config_file: Path | None) -> None:
    """List open requests, oldest first."""
    state = None if everything else RequestState.OPEN
    found = with_domain(config_file, lambda domain: domain.requests.list(state, limit=limit))
    if as_json:
        show_json([_shown(one) for one in found])
        return
    rows = [
        (one.id, one.kind, one.address or "(erased)", isoformat(one.asked_at), one.state, one.note)
        for one in found
    ]
    show_table(("request", "for", "of", "asked", "state", "note"), rows)


@request.command()
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@click.option("--note", default="", help="What you want to remember about it.")
@json_option
@config_option
def done(number: int, note: str, as_json: bool, config_file: Path | None) -> None:
    """Settle a request that was met.

    `candor contact export` prints what to hand out; `candor contact erase` settles a request for erasure by itself.
    """
    now = datetime.now(UTC)
    _tell(with_domain(config_file, lambda domain: domain.requests.done(number, now, note=note)), as_json)


@request.command()
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@click.option("--note", required=True, help="Why; the person has a right to know (GDPR art. 12(4)).")
@json_option
@config_option
def refuse(number: int, note: str, as_json: bool, config_file: Path | None) -> None:
    """Settle a request without meeting it."""
    now = datetime.now(UTC)
    _tell(with_domain(config_file, lambda domain: domain.requests.refuse(number, now, note=note)), as_json)


def _tell(settled: Request, as_json: bool) -> None:
    if as_json:
        show_json(_shown(settled))
    else:
        click.echo(printable(f"request {settled.id} ({settled.kind}): {settled.state}"))


def _shown(one: Request) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "state": one.state,
        "address": one.address,
        "asked_at": isoformat(one.asked_at),
        "settled_at": isoformat(one.settled_at) if one.settled_at else None,
        "note": one.note,
    }
