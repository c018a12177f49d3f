"""What somebody was told as it happened, and what the configuration asks for."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tracker.admin.frame import DOMAIN
from tracker.admin.listing import table_page
from tracker.admin.tables import Column, view
from tracker.config import AlertTable
from tracker.domain import Domain
from tracker.moments import isoformat
from tracker.reports.alerts import Told, about, find_alerts, what
from tracker.store.audit import Action

COLUMNS = (
    Column(key="at", title="When", sorts=True),
    Column(key="name", title="Alert", sorts=True),
    Column(
        key="about",
        title="About",
        about="A person, or the domain that mail bounced at. Who may not be measured by name today is not named.",
    ),
    Column(key="what", title="What happened"),
    Column(
        key="state",
        title="Letter",
        sorts=True,
        about="waiting: a relay sends it soon; sent: it is in the queue or delivered; quiet: about the same person or "
        "domain one was sent shortly before; capped: there were as many that day as is wished; dropped: the "
        "configuration no longer names the alert.",
    ),
    Column(key="message", title="Message"),
)
_LONGEST_SUBJECT = 80
"""Characters on the page; the file has all of it."""


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /alerts"""
    asked, domain = view(request.query, COLUMNS, sort="at"), request.app[DOMAIN]

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await find_alerts(
            domain, sort=asked.sort, descending=asked.descending, limit=limit, offset=offset
        )
        return [_row(one, longest=None if asked.is_csv else _LONGEST_SUBJECT) for one in found]

    return await table_page(
        request,
        "alerts.html",
        asked,
        COLUMNS,
        rows,
        name="alerts",
        more={"configured": await _configured(domain)},
        names=Action.EXPORT_ALERTS,
    )


def _row(one: Told, *, longest: int | None) -> dict[str, Any]:
    subject = one.subject or "(no subject)"
    if longest is not None and len(subject) > longest:
        subject = f"{subject[:longest]}…"
    return {
        "href": f"/messages/{one.message_id.hex()}" if one.message_id else "",
        "at": isoformat(one.at),
        "name": one.name,
        "about": about(one),
        "what": what(one),
        "message": subject if one.message_id else None,
        "state": one.state,
    }


async def _configured(domain: Domain) -> list[tuple[AlertTable, str]]:
    """Each with what it looks for."""
    found = domain.config.alert
    needs = any(one.segment for one in found)
    names = {kept.name for kept in await domain.segments.list()} if needs else set()
    return [
        (one, _asks(one) + ("" if not one.segment or one.segment in names else _WITHOUT_SEGMENT))
        for one in found
    ]


_WITHOUT_SEGMENT = "; but no segment of that name is saved, so nobody is told"


def _asks(one: AlertTable) -> str:
    """In a sentence."""
    hours = f"{one.window / 3600:g} hours"
    whom = f" of the segment {one.segment}" if one.segment else ""
    if one.kind == "opens":
        return f"somebody{whom} opens one message {one.times} times within {hours}"
    if one.kind == "click":
        return f"somebody{whom} follows a link to {one.link}"
    where = "of a domain" if one.per == "domain" else "of all mail"
    return f"more than {one.share:.1%} of at least {one.least} deliveries {where} bounce within {hours}"
