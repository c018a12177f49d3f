"""Figures as people and spreadsheets read them: each with what it is a share of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from tracker.cli.common import printable, show_table
from tracker.cli.sparkline import sparkline
from tracker.events import EventKind
from tracker.moments import lasting
from tracker.reports.figures import Figures
from tracker.reports.message import LinkCount
from tracker.reports.timeline import Timeline
from tracker.reports.times import TimesTo
from tracker.reports.wording import click_to_open, percent, span

WORDS = {EventKind.OPENED: "opens", EventKind.CLICKED: "clicks"}


def show_figures(figures: Figures) -> None:
    """Deliveries by state, those not measured and why, and the rates."""
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
    both = click_to_open(figures)
    if both is not None and both.of:
        click.echo(f"of those opened, {both.n} of {both.of} clicked: {percent(both)} ({span(both)})")
    if figures.implied:
        click.echo(f"{figures.implied} more clicked, and no open was seen: a click proves one")


def show_links(links: Sequence[LinkCount]) -> None:
    """Each wrapped link, with its part of all clicks."""
    if not links:
        return
    everything = sum(one.total for one in links)
    rows = [
        (
            one.number,
            one.text,
            one.url,
            one.unique,
            one.total,
            f"{one.total / everything:.1%}" if everything else "–",
        )
        for one in links
    ]
    show_table(("link", "text", "leads to", "people", "all", "of all clicks"), rows)


def show_timeline(timeline: Timeline) -> None:
    """A line of blocks for what was delivered, opened and clicked, where anything was."""
    buckets = timeline.buckets
    lines = {"delivered": [one.delivered for one in buckets]}
    lines |= {WORDS[kind]: [one.kinds[kind].total for one in buckets] for kind in EventKind}
    if not any(any(values) for values in lines.values()):
        return
    first, last = buckets[0].begins, buckets[-1].begins
    click.echo(f"by {timeline.unit.value}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}")
    for word, values in lines.items():
        click.echo(f"  {word:<10}{sparkline(values)}  {sum(values)}")
    click.echo("")


def show_times(found: Iterable[TimesTo]) -> None:
    """How long the first opens and clicks took."""
    rows = [
        (
            f"first {'open' if one.kind is EventKind.OPENED else 'click'}",
            one.n,
            lasting(one.median) or "–",
            lasting(one.p90) or "–",
            sparkline([step.n for step in one.histogram]),
        )
        for one in found
        if one.n
    ]
    if rows:
        show_table(("time to", "people", "half by", "nine in ten by", "a minute … over a week"), rows)


def show_counts(counts: Iterable[Mapping[str, Any]]) -> None:
    """What was counted without names."""
    rows = [(one["scope"], one["group"], one["kind"], one["link"] or "", one["count"]) for one in counts]
    if rows:
        show_table(
            ("without names", "group", "kind", "link", "count"), rows, title="Counts of the whole mailing"
        )


def heading(text: str) -> None:
    click.echo(printable(text))
