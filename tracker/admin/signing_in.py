"""The way in and out."""

from __future__ import annotations

from aiohttp import web

from tracker import log
from tracker.admin.access import TooManyFailures
from tracker.admin.frame import ACCESS, COOKIE, keep, page

_LONGEST = 1024


def where_to(asked: str) -> str:
    """A path of ours and nobody else's: what begins like `//elsewhere` leads away."""
    return asked if asked.startswith("/") and asked[1:2] not in ("/", "\\") and asked.isprintable() else "/"


async def show(request: web.Request) -> web.Response:
    """GET /sign-in."""
    if request.app[ACCESS].is_open:
        raise web.HTTPSeeOther("/")
    return page(request, "sign-in.html", {"next": where_to(request.query.get("next", "/")), "wrong": ""})


async def sign_in(request: web.Request) -> web.Response:
    """POST /sign-in: name, password, next."""
    if request.app[ACCESS].is_open:
        raise web.HTTPSeeOther("/")
    form = await request.post()
    name, password, asked = (str(form.get(key, "")) for key in ("name", "password", "next"))
    if max(len(name), len(password)) > _LONGEST:
        raise web.HTTPBadRequest
    try:
        visitor = await request.app[ACCESS].sign_in(name, password, request.remote or "")
    except TooManyFailures:
        log.sign_in_refused()
        raise web.HTTPTooManyRequests from None
    if visitor is None:
        wrong = "Name and password do not fit together."
        return page(request, "sign-in.html", {"next": where_to(asked), "wrong": wrong}, status=401)
    response = web.Response(status=303, headers={"Location": where_to(asked)})
    keep(request, response, visitor)
    return response


async def sign_out(request: web.Request) -> web.Response:
    """POST /sign-out."""
    response = web.Response(status=303, headers={"Location": "/sign-in"})
    response.del_cookie(COOKIE, samesite="Strict", httponly=True)
    return response
