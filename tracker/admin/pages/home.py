"""Where the operator begins: what wants attention, the numbers of today, what happens now, and the latest mail."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from tracker.admin.attention import matters
from tracker.admin.charts import drawn
from tracker.admin.drawings import midnight, of_days
from tracker.admin.frame import DESK, DOMAIN, page
from tracker.admin.live import as_row
from tracker.admin.pages.messages import message_row
from tracker.events import EventKind
from tracker.reports.feed import news
from tracker.reports.listings import find_messages
from tracker.reports.overview import overview

_LATEST = 10
_HAPPENED = 20
"""Rows of the feed that the page begins with."""
PERIODS = {"1": "Today", "7": "7 days", "30": "30 days"}


async def shown(request: web.Request) -> web.Response:
    """GET /?days=1|7|30"""
    domain, now = request.app[DOMAIN], datetime.now(UTC)
    days = request.query.get("days", "1")
    days = days if days in PERIODS else "1"
    since = midnight(now, domain.config.admin.zone, days_before=int(days) - 1)
    happened = await news(domain, None, most=_HAPPENED)
    latest = await find_messages(domain, "", sort="received", descending=True, limit=_LATEST)
    context = {
        "matters": await matters(domain, request.app[DESK], now),
        "periods": PERIODS,
        "days": days,
        "whole": await overview(domain, since=since, until=now),
        "kinds": EventKind,
        "charts": await drawn(*await of_days(domain, now)),
        "latest": [message_row(one) for one in latest],
        "happened": [as_row(domain, one) for one in reversed(happened.entries[-_HAPPENED:])],
        "position": happened.position,
    }
    return page(request, "home.html", context)
