"""`candor report rebuild`: the sums that reports show, made anew."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tracker.cli.common import config_option, json_option, show_json, with_domain
from tracker.domain import Domain
from tracker.store.rollups_rebuild import Rebuilt, rebuild

_TELL_EVERY = 100_000
"""Deliveries."""


@click.command("rebuild")
@json_option
@config_option
def rebuild_(as_json: bool, config_file: Path | None) -> None:
    """Make the sums behind reports anew.

    From deliveries, events, and the totals of what was purged and erased. Sums are kept as mail and hits come in, so
    this changes nothing unless somebody changed tables by hand or restored part of them. Mail, hits and reports go on
    beside it; it may be broken off and called again.
    """
    told = 0

    def tell(so_far: int) -> None:
        nonlocal told
        if so_far - told >= _TELL_EVERY:
            told = so_far
            click.echo(f"{so_far} deliveries added up", err=True)

    async def work(domain: Domain) -> Rebuilt:
        return await rebuild(domain.database, tell=tell)

    done = with_domain(config_file, work)
    if as_json:
        show_json(asdict(done))
        return
    click.echo(
        f"{done.deliveries} deliveries come to {done.sums} sums, of which {done.corrected} were corrected"
    )
