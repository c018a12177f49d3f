"""The files by which telephones learn which apps open which links: Apple's and Android's, as the operator wrote them."""

from __future__ import annotations

from aiohttp import web

from tracker.web import wording

_KEPT = "public, max-age=3600"


def add_routes(app: web.Application) -> None:
    for path in ("/.well-known/apple-app-site-association", "/apple-app-site-association"):
        app.router.add_get(path, _apple)
    app.router.add_get("/.well-known/assetlinks.json", _android)


async def _apple(request: web.Request) -> web.Response:
    return _file(wording.house_of(request).apple_app_site_association)


async def _android(request: web.Request) -> web.Response:
    return _file(wording.house_of(request).asset_links)


def _file(content: bytes) -> web.Response:
    """As JSON without a redirect, as both ask for. Raises HTTPNotFound where there is none."""
    if not content:
        raise web.HTTPNotFound
    return web.Response(body=content, content_type="application/json", headers={"Cache-Control": _KEPT})
