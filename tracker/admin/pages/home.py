"""Where the operator begins: what wants attention, what happens now, and the latest mail."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from tracker.admin.attention import matters
from tracker.admin.frame import DOMAIN, page
from tracker.admin.live import as_row
from tracker.admin.pages.messages import message_row
from tracker.reports.feed import news
from tracker.reports.listings import find_messages

_LATEST = 10
_HAPPENED = 20
"""Rows of the feed that the page begins with."""


async def shown(request: web.Request) -> web.Response:
    """GET /"""
    domain = request.app[DOMAIN]
    happened = await news(domain, None, most=_HAPPENED)
    latest = await find_messages(domain, "", sort="received", descending=True, limit=_LATEST)
    context = {
        "matters": await matters(domain, datetime.now(UTC)),
        "latest": [message_row(one) for one in latest],
        "happened": [as_row(domain, one) for one in reversed(happened.entries[-_HAPPENED:])],
        "position": happened.position,
    }
    return page(request, "home.html", context)
