"""Which links people followed, over all mail."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from aiohttp import web

from tracker.admin.frame import DOMAIN
from tracker.admin.listing import in_order, table_page
from tracker.admin.period import days
from tracker.admin.tables import Column, view
from tracker.moments import isoformat
from tracker.reports.links import report_links

_MOST, _MOST_OF_A_FILE = 1_000, 100_000
COLUMNS = (
    Column(key="url", title="Leads to", sorts=True),
    Column(key="text", title="Link text", sorts=True, about="What its readers saw, in one of the messages."),
    Column(
        key="unique",
        title="People",
        sorts=True,
        is_number=True,
        about="Measured deliveries of which a person followed it in that time, each counted once.",
    ),
    Column(key="total", title="Clicks", sorts=True, is_number=True, term="total"),
    Column(
        key="messages", title="Messages", sorts=True, is_number=True, about="In which somebody followed it."
    ),
    Column(key="last", title="Latest click", sorts=True),
)


async def shown(request: web.Request) -> web.StreamResponse:
    """GET /links?from=…&to=…&search=…"""
    asked, domain = view(request.query, COLUMNS, sort="unique", filters=("from", "to")), request.app[DOMAIN]
    period = days(request.query, datetime.now(UTC), domain.config.admin.zone)
    most = _MOST_OF_A_FILE if asked.is_csv else _MOST
    found = await report_links(
        domain, since=period.since, until=period.until, limit=most, search=asked.search
    )
    rows = [asdict(one) | {"url": one.url or "(erased)", "last": isoformat(one.last)} for one in found]
    return await table_page(
        request,
        "links.html",
        asked,
        COLUMNS,
        in_order(rows, asked),
        name="links",
        more={"period": period, "most": _MOST, "is_cut": len(found) == _MOST},
    )
