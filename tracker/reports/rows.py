"""Figures as rows for spreadsheets: the same for pages and commands."""

from __future__ import annotations

from typing import Any

from tracker.events import EventKind
from tracker.reports.domains import DomainReport
from tracker.reports.figures import Figures
from tracker.reports.mailing import MailingReport
from tracker.reports.message import MessageReport
from tracker.reports.readings import Reading
from tracker.reports.wording import click_to_open

CSV = ("about", "figure", "n", "of", "rate", "low", "high")
"""Columns of all these rows: what a figure is about (a period, a variant, where a link leads), the figure, and of a
share its whole, its rate and interval, from 0 to 1."""


def figure_rows(figures: Figures, *, about: str = "") -> list[dict[str, Any]]:
    """A row for each figure."""

    def row(figure: str, n: int, **more: Any) -> dict[str, Any]:
        return {"about": about, "figure": figure, "n": n} | more

    rows = [row(f"deliveries: {status}", n) for status, n in sorted(figures.statuses.items())]
    rows += [row("delivered", figures.delivered, of=figures.statuses.total())]
    rows += [row("measured", figures.trackable_delivered, of=figures.delivered)]
    rows += [row(f"not measured: {reason}", n) for reason, n in sorted(figures.not_trackable.items())]
    for kind, one in figures.identified.items():
        share = figures.share(kind)
        low, high = share.interval or (None, None)
        rows.append(row(kind.value, share.n, of=share.of, rate=share.rate, low=low, high=high))
        rows.append(row(f"{kind.value}: in all", one.total))
        rows.append(row(f"{kind.value}: by machines", one.machines))
        rows.append(row(f"{kind.value}: unsure", one.unsure))
    both = click_to_open(figures)
    if both is not None:
        low, high = both.interval or (None, None)
        rows.append(row("click-to-open", both.n, of=both.of, rate=both.rate, low=low, high=high))
    rows.append(row("opened: views", figures.views))
    rows.append(row("opened: implied by a click", figures.implied))
    return rows


def message_rows(report: MessageReport) -> list[dict[str, Any]]:
    """Those of a message, and its links."""
    rows = figure_rows(report.figures)
    for link in report.links:
        rows.append({"about": link.url, "figure": f"link {link.number}: people", "n": link.unique})
        rows.append({"about": link.url, "figure": f"link {link.number}: clicks", "n": link.total})
    return rows


def mailing_rows(report: MailingReport) -> list[dict[str, Any]]:
    """Those of a mailing, and of each of its variants."""
    rows = figure_rows(report.figures, about=report.name)
    for variant, figures in report.variants.items():
        rows += figure_rows(figures, about=f"variant {variant or '(none)'}")
    return rows


def domain_row(one: DomainReport) -> dict[str, Any]:
    return {
        "domain": one.domain or "(erased)",
        "deliveries": one.deliveries,
        "delivered": one.arrived.n,
        "waiting": one.deliveries - one.arrived.of,
        "measured": one.measured,
        "opened": one.share(EventKind.OPENED).n,
        "clicked": one.share(EventKind.CLICKED).n,
        "answers": "; ".join(f"{said.n}× {said.code} {said.enhanced}".strip() for said in one.answers),
    }


def reading_row(one: Reading) -> dict[str, Any]:
    return {
        "group": one.group or "(none)",
        "recipients": one.recipients,
        "delivered": one.delivered,
        "measured": one.measured,
        "read": one.read,
        "not_shown": one.not_shown,
        "not_measured": one.not_measured,
    }
