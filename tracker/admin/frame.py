"""What every page of the operator has: who looks at it, its frame, its headers, and the page for what went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp_jinja2
from aiohttp import web

from tracker import log
from tracker.admin.access import Access, Role, Visitor
from tracker.admin.navigation import GROUPS
from tracker.desk import Desk
from tracker.domain import Domain
from tracker.errors import CandorError, InvalidValue, NotFound, StoreUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)

DOMAIN = web.AppKey("domain", Domain)
ACCESS = web.AppKey("access", Access)
DESK: web.AppKey[Desk | None] = web.AppKey("desk")
VISITOR = web.RequestKey("visitor", Visitor)
COOKIE = "candor_session"
_NEEDED = "__candor_role__"
_OPEN = ("/healthz", "/metrics", "/sign-in", "/static/")
_WITH_KEYS = "/api/"
"""Whoever asks there brings a key with each request; a session is worth nothing there."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_WORDS = {
    400: ("This was not understood", "The address or the form holds what this page does not know."),
    403: (
        "This is not for you",
        "Your role does not allow it, or the form was not made for you. Go back and try again.",
    ),
    404: ("There is nothing here", "It may have been erased or purged, or the address is mistyped."),
    405: ("Not that way", "This address is not asked like that."),
    413: ("Too long", "That is more than this page takes."),
    421: (
        "Not under this name",
        "Nobody is configured to sign in, so these pages answer only on the machine itself: open them as localhost or "
        "127.0.0.1, or name users in [[admin.user]].",
    ),
    429: ("Too many tries", "Wait some minutes, then try again."),
    503: ("The store does not answer", "Mail and links go on. Try again in a moment."),
}


def needs(role: Role) -> Callable[[H], H]:
    """The least role that a handler is for; without it, a viewer's."""

    def mark(handler: H) -> H:
        setattr(handler, _NEEDED, role)
        return handler

    return mark


def actor(request: web.Request) -> str:
    """Who asks, as the audit names them."""
    return request[VISITOR].name or "local"


def page(
    request: web.Request, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200
) -> web.Response:
    """A page in its frame."""
    visitor = request.get(VISITOR)
    frame = {
        "visitor": visitor,
        "path": request.path,
        "groups": GROUPS,
        "zone": request.app[DOMAIN].config.admin.zone,
        "may_sign_out": visitor is not None and visitor.name != "",
        "form_token": visitor.form_token if visitor else "",
    }
    response = aiohttp_jinja2.render_template(template, request, {**frame, **(context or {})}, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response


@web.middleware
async def framed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is a page that tells nothing of our insides."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            response = web.Response(status=error.status, headers={"Location": error.headers["Location"]})
        else:
            response = _trouble(request, error.status)
            if "Allow" in error.headers:  # RFC 9110 15.5.6
                response.headers["Allow"] = error.headers["Allow"]
    except NotFound:
        response = _trouble(request, 404)
    except InvalidValue as error:
        response = _trouble(request, 400, str(error))
    except StoreUnavailable:
        response = _trouble(request, 503)
    except CandorError as error:
        log.request_failed(type(error).__name__)
        response = _trouble(request, 503)
    except Exception as error:  # noqa: BLE001 - the border: people see a page, not our insides
        log.request_failed(type(error).__name__)
        response = _trouble(request, 503)
    return response


async def headed(request: web.Request, response: web.StreamResponse) -> None:
    """Just before an answer leaves, streams too: what it forbids by itself stays. Which library and version answers is
    nobody's business."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "candor"


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nobody comes further without a session, nor does a form that was not made for them."""
    if request.path.startswith(_WITH_KEYS):
        return await handler(request)
    if request.method not in ("GET", "HEAD") and not _is_ours(request):
        raise web.HTTPForbidden
    if request.path.startswith(_OPEN):
        return await handler(request)
    access = request.app[ACCESS]
    visitor = access.visitor(request.cookies.get(COOKIE, ""), request.host)
    if visitor is None:
        if access.is_open:
            raise web.HTTPMisdirectedRequest
        raise web.HTTPSeeOther(f"/sign-in?next={quote(request.path_qs, safe='')}")
    request[VISITOR] = visitor
    if _has_nul(request.query.values()):
        raise web.HTTPBadRequest
    if visitor.role < getattr(request.match_info.handler, _NEEDED, Role.VIEWER):
        raise web.HTTPForbidden
    if request.method == "POST":
        form = await request.post()
        if form.get("form_token") != visitor.form_token:
            raise web.HTTPForbidden
        if _has_nul(form.values()):
            raise web.HTTPBadRequest
    response = await handler(request)
    if visitor.cookie != request.cookies.get(COOKIE, "") and not response.prepared:
        keep(request, response, visitor)
    return response


def keep(request: web.Request, response: web.StreamResponse, visitor: Visitor) -> None:
    """Gives the browser its session; it never leaves with requests that other sites cause."""
    response.set_cookie(
        COOKIE,
        visitor.cookie,
        httponly=True,
        samesite="Strict",
        secure=request.secure or request.headers.get("X-Forwarded-Proto") == "https",
        max_age=int(request.app[DOMAIN].config.admin.session),
    )


def _has_nul(values: Iterable[object]) -> bool:
    """No text of ours holds NUL, and PostgreSQL refuses it even in a question."""
    return any(isinstance(one, str) and "\0" in one for one in values)


def _is_ours(request: web.Request) -> bool:
    """Whether a form was sent from a page of ours: browsers say so, and other programs have no cookie to misuse."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host


def _trouble(request: web.Request, status: int, why: str = "") -> web.Response:
    title, words = _WORDS.get(status, _WORDS[400])
    return page(request, "trouble.html", {"title": title, "words": why or words}, status=status)
