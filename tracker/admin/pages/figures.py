"""The tables of charts as files: what a page draws, by the same functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from aiohttp import web

from tracker.admin.charts import Chart
from tracker.admin.drawings import of_days, of_mail
from tracker.admin.frame import DOMAIN
from tracker.domain import Domain
from tracker.reports.sums import Scope

_ID = re.compile("[0-9a-f]{32}")


async def as_file(request: web.Request) -> web.Response:
    """GET /charts/KEY.csv?message=ID, or ?mailing=ID; of all mail without either."""
    key = request.match_info["key"]
    charts = await _charts(request.app[DOMAIN], request.query.get("message"), request.query.get("mailing"))
    chart = next((one for one in charts if one.key == key), None)
    if chart is None:
        raise web.HTTPNotFound
    return web.Response(
        body=chart.csv(),
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{chart.key}.csv"',
            "Cache-Control": "no-store",
        },
    )


async def _charts(domain: Domain, message: str | None, mailing: str | None) -> list[Chart]:
    if message is None and mailing is None:
        return await of_days(domain, datetime.now(UTC))
    if not _ID.fullmatch(message or mailing or ""):
        raise web.HTTPNotFound
    id_ = bytes.fromhex(message or mailing or "")
    return await of_mail(domain, Scope(message=id_) if message else Scope(mailing=id_))
