"""What the numbers mean, on one page."""

from __future__ import annotations

from aiohttp import web

from tracker.admin.frame import page
from tracker.glossary import TERMS


async def shown(request: web.Request) -> web.Response:
    """GET /glossary"""
    return page(request, "glossary.html", {"terms": TERMS.values()})
