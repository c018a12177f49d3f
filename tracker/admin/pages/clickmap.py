"""Where in a message people clicked: each link with its share, and the message as it came where it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tracker.admin.frame import DOMAIN, POLICY
from tracker.admin.listing import in_order, table_page
from tracker.admin.paths import message_id
from tracker.admin.previews import PREVIEWS
from tracker.admin.tables import Column, view
from tracker.events import EventKind
from tracker.reports.message import MessageReport, report_message
from tracker.reports.wording import percent
from tracker.statistics import Share

COLUMNS = (
    Column(
        key="number",
        title="Place",
        sorts=True,
        is_number=True,
        about="The how-manyeth wrapped link of the message, from its beginning.",
    ),
    Column(key="text", title="Link text", sorts=True),
    Column(key="url", title="Leads to", sorts=True),
    Column(
        key="unique",
        title="People",
        sorts=True,
        is_number=True,
        about="Measured deliveries of which a person followed this link, and which share of all measured that is.",
    ),
    Column(key="total", title="Clicks", sorts=True, is_number=True, term="total"),
    Column(
        key="share",
        title="Of all clicks",
        is_number=True,
        about="Of all clicks by people in this message, how many were on this link.",
    ),
)
_PREVIEW_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)
_PAGE_POLICY = f"{POLICY}; frame-src 'self'"


async def shown(request: web.Request) -> web.StreamResponse:
    """GET /messages/ID/links"""
    id_, domain = message_id(request), request.app[DOMAIN]
    report = await report_message(domain, id_)
    asked = view(request.query, COLUMNS, sort="number", descending=False)
    previews = request.app.get(PREVIEWS)
    response = await table_page(
        request,
        "clickmap.html",
        asked,
        COLUMNS,
        in_order(link_rows(report), asked),
        name=f"links-{id_.hex()[:8]}",
        more={
            "report": report,
            "has_preview": previews is not None and await previews.has(id_),
            "keeps": domain.config.admin.previews_days,
        },
    )
    if not response.prepared:
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


async def preview(request: web.Request) -> web.Response:
    """GET /messages/ID/preview: the message as it came, with nothing that acts; a frame of the page above."""
    id_, previews = message_id(request), request.app.get(PREVIEWS)
    if previews is None:
        raise web.HTTPNotFound
    report = await report_message(request.app[DOMAIN], id_)
    everything = _clicks(report.links)
    badges = {one.number: (one.url, f"{one.number}: {_of(one.total, everything)}") for one in report.links}
    html = await previews.html(id_, badges)
    if html is None:
        raise web.HTTPNotFound
    return web.Response(
        text=html,
        content_type="text/html",
        charset="utf-8",
        headers={"Content-Security-Policy": _PREVIEW_POLICY, "Cache-Control": "no-store"},
    )


def link_rows(report: MessageReport) -> list[dict[str, Any]]:
    """As a table shows them and CSV has them."""
    everything, measured = _clicks(report.links), report.figures.share(EventKind.CLICKED).of
    return [
        {
            "number": one.number,
            "text": one.text,
            "url": one.url,
            "unique": one.unique,
            "total": one.total,
            "share": _of(one.total, everything) if everything else None,
            "shares": {"unique": Share(n=min(one.unique, measured), of=measured)},
        }
        for one in report.links
    ]


def _clicks(links: Sequence[Any]) -> int:
    return sum(one.total for one in links)


def _of(n: int, everything: int) -> str:
    return percent(Share(n=n, of=everything))
