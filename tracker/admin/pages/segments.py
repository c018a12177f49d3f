"""Saved selections over people: the list of them, one with the first who are in it, and a plain form to build one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from tracker.admin.access import Role
from tracker.admin.conditions import CHOICES, as_rows, node_of, rows_of, with_free
from tracker.admin.frame import DOMAIN, VISITOR, needs, page
from tracker.admin.listing import in_order, table_page
from tracker.admin.tables import Column, view
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.moments import isoformat
from tracker.segments.selection import Chosen, Selection, Size, saved
from tracker.segments.terms import AnyNode, asks_for_behaviour, definition, from_definition
from tracker.segments.wording import parse, shown
from tracker.spreadsheet import as_csv
from tracker.store.audit import Action
from tracker.store.segments import LONGEST_NAME, Saved

_FIRST = 20
"""People on a page; the file has them all."""
_WITHIN = 3.0
"""Seconds that a page counts for."""
COLUMNS = (
    Column(key="name", title="Segment", sorts=True),
    Column(key="conditions", title="Who is in it"),
    Column(key="changed", title="Changed", sorts=True),
    Column(key="by", title="By", sorts=True),
)
PEOPLE = (
    Column(key="address", title="Address"),
    Column(key="group", title="Group"),
    Column(key="country", title="Country"),
    Column(key="consent", title="Consent", term="consent"),
    Column(key="do_not_track", title="Do not track", term="do-not-track"),
)


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /segments"""
    asked = view(request.query, COLUMNS, sort="name", descending=False)
    rows = [_row(one) for one in await request.app[DOMAIN].segments.list()]
    return await table_page(request, "segments.html", asked, COLUMNS, in_order(rows, asked), name="segments")


async def one(request: web.Request) -> web.StreamResponse:
    """GET /segment?name=…; `format=csv` for everybody in it."""
    domain, now = request.app[DOMAIN], datetime.now(UTC)
    kept = await domain.segments.get(request.query.get("name", ""))
    node = from_definition(kept.definition)
    selection = Selection(domain, node, now)
    if request.query.get("format") == "csv":
        return await _file(request, selection, kept.name, now)
    size = await selection.size(first=_FIRST, within=_WITHIN)
    href = f"/segment?name={quote(kept.name)}"
    context = {
        "kept": kept,
        "csv": f"{href}&format=csv",
        "change": f"/segments/build?{urlencode({'name': kept.name, 'text': shown(node)})}",
        **_shown(node, size),
        **_rights(request),
    }
    return page(request, "segment.html", context)


async def build(request: web.Request) -> web.Response:
    """GET /segments/build: the form, and who would be in it. What was sent is either rows, or a text."""
    query = request.query
    problem, node = "", None
    try:
        node = _asked(query)
    except InvalidValue as error:
        problem = str(error)
    return await _form(request, node, problem)


@needs(Role.OPERATOR)
async def save(request: web.Request) -> web.Response:
    """POST /segments: `name`, `conditions`, and `replace` where there is one of that name."""
    form, domain = await request.post(), request.app[DOMAIN]
    name, text = str(form.get("name", "")).strip(), str(form.get("conditions", ""))
    node = parse(text)
    now, by = datetime.now(UTC), request[VISITOR].name or "local"
    try:
        replace = form.get("replace") == "yes"
        await domain.segments.save(name, definition(node), by=by, now=now, replace=replace)
    except InvalidValue as error:
        return await _form(request, node, str(error), name=name)
    await _note(request, Action.SEGMENT_SAVE, name, now)
    raise web.HTTPSeeOther(f"/segment?name={quote(name)}")


@needs(Role.OPERATOR)
async def delete(request: web.Request) -> web.Response:
    """POST /segments/delete: `name`, and `sure`."""
    form = await request.post()
    if form.get("sure") != "yes":
        raise web.HTTPBadRequest
    name = str(form.get("name", ""))
    await request.app[DOMAIN].segments.delete(name)
    await _note(request, Action.SEGMENT_DELETE, name, datetime.now(UTC))
    raise web.HTTPSeeOther("/segments")


async def chosen(domain: Domain, filters: Mapping[str, str]) -> tuple[Selection | None, list[str]]:
    """For a page with a choice of segments: the one that is asked for, and their names. Raises NotFound."""
    names = [kept.name for kept in await domain.segments.list()]
    wanted = filters.get("segment", "")
    return (await saved(domain, wanted, datetime.now(UTC)) if wanted else None), names


async def _form(
    request: web.Request, node: AnyNode | None, problem: str, *, name: str | None = None
) -> web.Response:
    query = request.query
    rows, join = rows_of(query), query.get("join", "all")
    if not rows and node is not None and (found := as_rows(node)) is not None:
        join, rows = found
    size = await Selection(request.app[DOMAIN], node, datetime.now(UTC)).size(
        first=_FIRST, within=_WITHIN
    ) if node is not None else None  # fmt: skip
    name = query.get("name", "").strip() if name is None else name
    context = {
        "rows": with_free(rows),
        "join": "any" if join == "any" else "all",
        "choices": CHOICES,
        "text": shown(node) if node is not None else query.get("text", ""),
        "is_text": node is not None and as_rows(node) is None,
        "name": name,
        "longest_name": LONGEST_NAME,
        "is_known": name in [kept.name for kept in await request.app[DOMAIN].segments.list()],
        "problem": problem,
        "node": node,
        **(_shown(node, size) if node is not None and size is not None else {}),
        **_rights(request),
    }
    return page(request, "segment-build.html", context, status=400 if problem else 200)


def _asked(query: Mapping[str, str]) -> AnyNode | None:
    """None where nothing was asked for yet. Raises InvalidValue."""
    if query.get("by") != "rows" and (text := query.get("text", "").strip()):
        return parse(text)
    if rows := rows_of(query):
        return node_of(rows, join=query.get("join", "all"))
    if query.get("by"):
        raise InvalidValue("choose at least one condition")
    return None


async def _file(request: web.Request, selection: Selection, name: str, now: datetime) -> web.StreamResponse:
    """Everybody, as they are found. Who took it is written down before."""
    await _note(request, Action.EXPORT_SEGMENT, name, now)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="segment.csv"',
            "Cache-Control": "no-store",
        }
    )
    keys = [column.key for column in PEOPLE]
    await response.prepare(request)
    await response.write(as_csv(keys, ()))
    async for some in selection.people():
        if some:
            await response.write(as_csv(keys, map(_person, some), heading=False))
    await response.write_eof()
    return response


async def _note(request: web.Request, action: Action, name: str, now: datetime) -> None:
    actor = request[VISITOR].name or "local"
    await request.app[DOMAIN].audit.note(action, None, actor=actor, now=now, about=f"segment {name}")


def _shown(node: AnyNode, size: Size) -> dict[str, Any]:
    return {
        "conditions": shown(node),
        "by_behaviour": asks_for_behaviour(node),
        "size": size,
        "columns": PEOPLE,
        "people": [_person(one) for one in size.first],
    }


def _rights(request: web.Request) -> dict[str, Any]:
    return {"may_save": request[VISITOR].role >= Role.OPERATOR}


def _person(one: Chosen) -> dict[str, Any]:
    return {
        "href": f"/contact?address={quote(one.address)}",
        "address": one.address,
        "group": one.group,
        "country": one.country,
        "consent": one.consent,
        "do_not_track": one.do_not_track,
    }


def _row(kept: Saved) -> dict[str, Any]:
    try:
        conditions = shown(from_definition(kept.definition))
    except InvalidValue as error:
        conditions = f"({error})"
    return {
        "href": f"/segment?name={quote(kept.name)}",
        "name": kept.name,
        "conditions": conditions,
        "changed": isoformat(kept.changed_at),
        "by": kept.changed_by,
    }
