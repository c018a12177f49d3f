"""A bare aiohttp handler that answers with the same bytes as the tracker, on the same loop. Usage: bare_hits.py PORT"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web

from tracker.web.answers import PIXEL, PIXEL_HEADERS, PIXEL_TYPE, redirect_headers


async def pixel(request: web.Request) -> web.Response:
    return web.Response(body=PIXEL, content_type=PIXEL_TYPE, headers=PIXEL_HEADERS)


async def redirect(request: web.Request) -> web.Response:
    headers = redirect_headers("https://shop.example/item?from=news", "no-referrer")
    return web.Response(status=302, headers=headers)


app = web.Application()
app.router.add_get("/o/{token}", pixel)
app.router.add_get("/c/{token}", redirect)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
