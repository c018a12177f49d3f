"""To whom mail is not sent any more, and the way on and off that list."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tracker.address import normalize
from tracker.admin.access import Role
from tracker.admin.frame import DESK, DOMAIN, VISITOR, actor, needs, page
from tracker.admin.listing import table_page
from tracker.admin.tables import Column, view
from tracker.desk import Desk, Suppressed
from tracker.errors import InvalidAddress
from tracker.moments import isoformat
from tracker.store.audit import Action
from tracker.store.contacts import find

_LONGEST_NOTE = 200
REASONS = ("hard-bounce", "complaint", "manual")
COLUMNS = (
    Column(key="address", title="Address", sorts=True),
    Column(
        key="reason",
        title="Because",
        sorts=True,
        about="Hard bounce: there is no such mailbox. Complaint: they called mail spam. Manual: somebody put it there.",
    ),
    Column(key="since", title="Since", sorts=True),
    Column(
        key="bounces",
        title="Bounces",
        sorts=True,
        is_number=True,
        about="Hard bounces counted of the address.",
    ),
    Column(key="note", title="Note", about="The status code, or what somebody wrote."),
)


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /suppressions?search=…&reason=…"""
    return await _show(request)


@needs(Role.OPERATOR)
async def add(request: web.Request) -> web.StreamResponse:
    """POST /suppressions: mail to an address is skipped from now on."""
    desk, form = _desk(request), await request.post()
    note = " ".join(str(form.get("note", "")).split())
    given = str(form.get("address", "")).strip()
    try:
        address = normalize(given)
    except InvalidAddress:
        return await _show(
            request, wrong=f"“{given[:100]}” is no mail address: nothing was done.", status=400
        )
    if len(note) > _LONGEST_NOTE:
        raise web.HTTPBadRequest
    await _note(request, Action.SUPPRESS, address)
    await desk.suppress(address, note=note, now=datetime.now(UTC))
    return await _show(request, told=f"Mail to {address} is skipped from now on.")


@needs(Role.OPERATOR)
async def asked(request: web.Request) -> web.Response:
    """GET /suppressions/KEY: whom lifting would let mail go to again, and the form that does it."""
    return page(request, "suppression.html", {"one": await _one(request)})


@needs(Role.OPERATOR)
async def lift(request: web.Request) -> web.StreamResponse:
    """POST /suppressions/KEY/lift"""
    one = await _one(request)
    await _note(request, Action.LIFT, one.address)
    await _desk(request).lift(one.key)
    return await _show(
        request,
        told=f"Mail to {one.address or 'an erased person'} goes out again; its bounces are forgotten.",
    )


async def _show(
    request: web.Request, *, told: str = "", wrong: str = "", status: int = 200
) -> web.StreamResponse:
    desk = request.app[DESK]
    asked = view(request.query, COLUMNS, sort="since", filters=("reason",))
    if desk is None:
        return page(request, "suppressions.html", {"desk": None})
    reason = asked.filters.get("reason", "")

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await desk.suppressed(
            search=asked.search,
            reason=reason if reason in REASONS else "",
            sort=asked.sort,
            descending=asked.descending,
            limit=limit,
            offset=offset,
        )
        return [_row(one, is_csv=asked.is_csv) for one in found]

    may_act = request[VISITOR].role >= Role.OPERATOR
    if asked.is_csv:
        return await table_page(
            request,
            "suppressions.html",
            asked,
            COLUMNS,
            rows,
            name="suppressions",
            names=Action.EXPORT,
            about="suppressed addresses",
        )
    columns = (*COLUMNS, Column(key="lift", title="Do")) if may_act else COLUMNS
    more = {
        "desk": desk,
        "reasons": REASONS,
        "told": told,
        "wrong": wrong,
        "may_act": may_act,
        "narrowed": bool(asked.search or asked.filters),
    }
    found = await table_page(
        request, "suppressions.html", asked, columns, rows, name="suppressions", more=more
    )
    found.set_status(status)
    return found


async def _one(request: web.Request) -> Suppressed:
    key = request.match_info["key"]
    if not re.fullmatch(r"[0-9a-f]{32}", key):
        raise web.HTTPNotFound
    one = await _desk(request).listed(key)
    if one is None:
        raise web.HTTPNotFound
    return one


def _desk(request: web.Request) -> Desk:
    desk = request.app[DESK]
    if desk is None:
        raise web.HTTPNotFound
    return desk


async def _note(request: web.Request, action: Action, address: str | None) -> None:
    """Whom it was done with, by number where they are known to us: an audit row outlives their name."""
    domain = request.app[DOMAIN]
    row = None
    if address is not None:
        row = await domain.database.read(lambda connection: find(connection, address, domain.ring))
    about = "" if row is not None else "an address that is no contact's" if address else "an erased person"
    await domain.audit.note(
        action, row.id if row is not None else None, actor=actor(request), now=datetime.now(UTC), about=about
    )


def _row(one: Suppressed, *, is_csv: bool) -> dict[str, Any]:
    return {
        "address": one.address or "(erased)",
        "reason": one.reason if is_csv else one.reason.replace("-", " "),
        "since": isoformat(one.since),
        "bounces": one.bounces,
        "note": one.note,
        "lift": "Lift…",
        "links": {"lift": f"/suppressions/{one.key}"},
    }
