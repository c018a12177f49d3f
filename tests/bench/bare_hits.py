"""A bare aiohttp handler that answers with a pixel or a redirect. Usage: bare_hits.py PORT"""

from __future__ import annotations

import sys

from aiohttp import web

from tracker.web.hits import PIXEL


async def pixel(request: web.Request) -> web.Response:
    return web.Response(body=PIXEL, content_type="image/gif", headers={"Cache-Control": "no-store, private"})


async def redirect(request: web.Request) -> web.Response:
    return web.Response(
        status=302, headers={"Location": "https://shop.example/", "Cache-Control": "no-store"}
    )


app = web.Application()
app.router.add_get("/o/{token}", pixel)
app.router.add_get("/c/{token}", redirect)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
