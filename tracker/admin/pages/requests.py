"""What people asked on their own page, and what operators did with what is kept of people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tracker.admin.access import Role
from tracker.admin.frame import DOMAIN, VISITOR, needs, page
from tracker.admin.listing import table_page
from tracker.admin.tables import Column, view
from tracker.moments import isoformat
from tracker.store.audit import Action
from tracker.store.requests import RequestState

_MOST = 500
AUDIT_COLUMNS = (
    Column(key="at", title="When"),
    Column(key="actor", title="Who"),
    Column(key="action", title="Did"),
    Column(key="contact", title="With contact", about="By number: the name may have been erased since."),
    Column(key="about", title="About"),
)


async def listed(request: web.Request) -> web.Response:
    """GET /requests"""
    return await _show(request)


@needs(Role.OPERATOR)
async def settle(request: web.Request) -> web.Response:
    """POST /requests/ID: `answer=done|refused`, with a note that a refusal needs."""
    text, domain, now = request.match_info["id"], request.app[DOMAIN], datetime.now(UTC)
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise web.HTTPNotFound
    form = await request.post()
    answer, note = form.get("answer"), str(form.get("note", "")).strip()
    if answer not in ("done", "refused") or len(note) > _MOST:
        raise web.HTTPBadRequest
    if answer == "refused" and not note:
        return await _show(
            request, "A refusal needs a reason: the person has a right to know it (GDPR art. 12(4))."
        )
    await domain.audit.note(Action.REQUEST, None, actor=request[VISITOR].name or "local", now=now)
    if answer == "done":
        settled = await domain.requests.done(int(text), now, note=note)
    else:
        settled = await domain.requests.refuse(int(text), now, note=note)
    return await _show(request, f"Request {settled.id} is {settled.state}.")


async def audit(request: web.Request) -> web.StreamResponse:
    """GET /audit"""
    domain = request.app[DOMAIN]

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        return [
            {
                "at": isoformat(one.at),
                "actor": one.actor,
                "action": one.action,
                "contact": one.contact_id,
                "about": one.about,
                "href": f"/contacts/{one.contact_id}",
            }
            for one in await domain.audit.list(limit=limit, offset=offset)
        ]

    asked = view(request.query, AUDIT_COLUMNS, sort="at")
    return await table_page(request, "audit.html", asked, AUDIT_COLUMNS, rows, name="audit")


async def _show(request: web.Request, told: str = "") -> web.Response:
    requests = request.app[DOMAIN].requests
    context = {
        "told": told,
        "open": await requests.list(RequestState.OPEN, limit=_MOST),
        "settled": [
            one for one in await requests.list(None, limit=_MOST) if one.state is not RequestState.OPEN
        ],
        "may_settle": request[VISITOR].role >= Role.OPERATOR,
    }
    return page(request, "requests.html", context)
