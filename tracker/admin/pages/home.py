"""Where the operator begins: whether all is well, what waits for an answer, and the latest mail."""

from __future__ import annotations

from aiohttp import web

from tracker.admin.frame import DOMAIN, page
from tracker.admin.pages.messages import message_row
from tracker.reports.listings import find_messages

_LATEST = 10


async def shown(request: web.Request) -> web.Response:
    """GET /"""
    domain = request.app[DOMAIN]
    latest = await find_messages(domain, "", sort="received", descending=True, limit=_LATEST)
    database = domain.database
    context = {
        "latest": [message_row(one) for one in latest],
        "reads_away": database.reads.tripped,
        "writes_away": database.writes.tripped,
    }
    return page(request, "home.html", context)
