"""A page around a table, and all its rows as CSV."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tracker.admin.frame import DOMAIN, actor, page
from tracker.admin.tables import PAGE, Column, View
from tracker.spreadsheet import as_csv
from tracker.store.audit import Action

Rows = Callable[[int, int], Awaitable[Sequence[Mapping[str, Any]]]]
"""`rows(limit, offset)`."""
_CSV_AT_ONCE = 1000


async def table_page(
    request: web.Request,
    template: str,
    asked: View,
    columns: Sequence[Column],
    rows: Rows,
    *,
    name: str,
    more: Mapping[str, Any] | None = None,
    names: Action | None = None,
    contact: int | None = None,
    about: str = "",
) -> web.StreamResponse:
    """A page around a table, or all its rows as CSV. `rows(limit, offset)` gives them. `names`: the table names people
    (or this `contact`), and who takes it away is noted so, with what it is `about`."""
    if asked.is_csv:
        if names is not None:
            audit, now = request.app[DOMAIN].audit, datetime.now(UTC)
            await audit.note(names, contact, actor=actor(request), now=now, about=about)
        return await _stream(request, columns, rows, name)
    found = await rows(PAGE + 1, asked.offset)
    context = {
        "columns": columns,
        "rows": found[:PAGE],
        "view": asked,
        "has_more": len(found) > PAGE,
        **(more or {}),
    }
    return page(request, template, context)


def csv_file(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, name: str) -> web.Response:
    """A few rows as CSV."""
    return web.Response(
        body=as_csv(columns, rows),
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "Cache-Control": "no-store",
        },
    )


def in_order(rows: Sequence[Mapping[str, Any]], asked: View) -> Rows:
    """Rows that are there already, in the order that is asked for; those with nothing in the column come last."""
    key = asked.sort
    there = sorted((row for row in rows if row[key] is not None), key=lambda row: row[key])
    ordered = [*(reversed(there) if asked.descending else there), *(row for row in rows if row[key] is None)]

    async def part(limit: int, offset: int) -> Sequence[Mapping[str, Any]]:
        return ordered[offset : offset + limit]

    return part


async def _stream(
    request: web.Request, columns: Sequence[Column], rows: Rows, name: str
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "Cache-Control": "no-store",
        }
    )
    keys = [column.key for column in columns]
    found = await rows(_CSV_AT_ONCE, 0)  # what goes wrong here is still a page
    await response.prepare(request)
    await response.write(as_csv(keys, found))
    offset = len(found)
    while len(found) == _CSV_AT_ONCE:
        found = await rows(_CSV_AT_ONCE, offset)
        offset += len(found)
        await response.write(as_csv(keys, found, heading=False))
    await response.write_eof()
    return response
