"""The campaigns, and one of them with its variants."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tracker.admin.charts import drawn
from tracker.admin.drawings import of_mail
from tracker.admin.frame import DOMAIN, page
from tracker.admin.listing import csv_file, table_page
from tracker.admin.tables import Column, view
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.reports.mailing import latest_mailings, report_mailing
from tracker.reports.rows import CSV, mailing_rows
from tracker.reports.sums import Scope
from tracker.reports.times import times_to
from tracker.reports.wording import GOES_BY

COLUMNS = (
    Column(key="name", title="Campaign", sorts=True, term="mailing"),
    Column(
        key="kind",
        title="Goes by",
        sorts=True,
        about="The campaign that a header names, else the author and the day.",
    ),
    Column(key="messages", title="Messages", sorts=True, is_number=True),
    Column(key="last", title="Last message", sorts=True),
)


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /campaigns?search=…"""
    asked, domain = view(request.query, COLUMNS, sort="last"), request.app[DOMAIN]

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        return [
            {
                "href": request.app.router["campaign"].url_for().with_query(name=one.name),
                "name": one.name,
                "kind": GOES_BY[one.kind],
                "messages": one.messages,
                "last": isoformat(one.last),
            }
            for one in await latest_mailings(
                domain,
                search=asked.search,
                sort=asked.sort,
                descending=asked.descending,
                limit=limit,
                offset=offset,
            )
        ]

    return await table_page(request, "campaigns.html", asked, COLUMNS, rows, name="campaigns")


async def shown(request: web.Request) -> web.Response:
    """GET /campaign?name=…; `format=csv` for its figures and its variants'."""
    domain = request.app[DOMAIN]
    report = await report_mailing(domain, request.query.get("name", ""))
    if request.query.get("format") == "csv":
        return csv_file(CSV, mailing_rows(report), name="campaign")
    scope = Scope(mailing=report.id)
    contests = {kind: report.contest(kind) for kind in EventKind}
    context = {
        "report": report,
        "kinds": EventKind,
        "contests": contests,
        "goes_by": GOES_BY[report.kind],
        "times": [await times_to(domain, scope, kind) for kind in EventKind],
        "charts": await drawn(*await of_mail(domain, scope)),
    }
    return page(request, "campaign.html", context)
