"""Where mail arrives and where it does not: deliveries by the recipient's domain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tracker.admin.frame import DOMAIN
from tracker.admin.listing import in_order, table_page
from tracker.admin.period import days
from tracker.admin.tables import Column, view
from tracker.events import EventKind
from tracker.reports.domains import DomainReport, report_domains
from tracker.reports.rows import domain_row

_MOST, _MOST_OF_A_FILE = 500, 100_000
COLUMNS = (
    Column(key="domain", title="Domain", sorts=True),
    Column(key="deliveries", title="Deliveries", sorts=True, is_number=True, term="recipients"),
    Column(
        key="delivered",
        title="Delivered",
        sorts=True,
        is_number=True,
        about="Accepted and not bounced later; the share is of those whose outcome is known.",
    ),
    Column(key="waiting", title="Waiting", sorts=True, is_number=True, term="deferred"),
    Column(key="measured", title="Measured", sorts=True, is_number=True, term="trackable"),
    Column(key="opened", title="Opened", sorts=True, is_number=True, term="open-rate"),
    Column(key="clicked", title="Clicked", sorts=True, is_number=True, term="click-rate"),
    Column(
        key="answers",
        title="Last words on what did not arrive",
        about="The most frequent answers, each with the deliveries it was the last word on.",
    ),
)


async def shown(request: web.Request) -> web.StreamResponse:
    """GET /domains?from=…&to=…"""
    asked, domain = (
        view(request.query, COLUMNS, sort="deliveries", filters=("from", "to")),
        request.app[DOMAIN],
    )
    period = days(request.query, datetime.now(UTC), domain.config.admin.zone)
    most = _MOST_OF_A_FILE if asked.is_csv else _MOST
    found = await report_domains(domain, since=period.since, until=period.until, limit=most)
    rows = [_shown(one) for one in found if asked.search.casefold() in one.domain.casefold()]
    return await table_page(
        request,
        "domains.html",
        asked,
        COLUMNS,
        in_order(rows, asked),
        name="domains",
        more={"period": period, "most": _MOST, "is_cut": len(found) == _MOST},
    )


def _shown(one: DomainReport) -> dict[str, Any]:
    shares = {
        "delivered": one.arrived,
        "opened": one.share(EventKind.OPENED),
        "clicked": one.share(EventKind.CLICKED),
    }
    return domain_row(one) | {"shares": shares}
