"""`candor verdict recompute`: kept events, judged again by the present rules."""

from __future__ import annotations

from pathlib import Path

import click

from tracker.cli.common import config_option, json_option, show_json, with_domain
from tracker.domain import Domain
from tracker.store.verdicts import Recomputed
from tracker.verdict import RULES


@click.group()
def verdict() -> None:
    """Who made a hit: a person or a machine."""


@verdict.command()
@click.option("--all", "every", is_flag=True, help="Those that the present rules judged already, too.")
@click.option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    help="Go on behind this event: what an earlier --all that was broken off said last.",
)
@json_option
@config_option
def recompute(every: bool, after: int, as_json: bool, config_file: Path | None) -> None:
    """Judge kept events again, as far as what was kept of them allows.

    After an upgrade that changed the rules. Mail and hits go on beside it; it may be broken off and called again, and
    goes on where it was. Reports follow at once. User agents and addresses are not kept, so a change of the lists
    counts only for what was known by name then.
    """

    def tell(so_far: Recomputed) -> None:
        if every:
            click.echo(f"judged up to event {so_far.after}", err=True)

    async def work(domain: Domain) -> Recomputed:
        return await domain.verdicts.recompute(every=every, after=after, tell=tell)

    done = with_domain(config_file, work)
    if as_json:
        show_json({"rules": RULES, "judged": done.judged, "changed": done.changed, "last_event": done.after})
        return
    click.echo(f"{done.judged} events judged by rules {RULES}, {done.changed} verdicts changed")
