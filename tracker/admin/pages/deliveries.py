"""Every delivery with what became of it, one of them with its story, and what bounced where."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tracker.admin.access import Role
from tracker.admin.frame import DESK, DOMAIN, VISITOR, page
from tracker.admin.listing import table_page
from tracker.admin.pages.queue import answer
from tracker.admin.period import Days, days
from tracker.admin.tables import Column, view
from tracker.desk import Waiting, Wanted
from tracker.moments import isoformat
from tracker.reports.bounces import Bounced, By, bounce_totals, report_bounces
from tracker.reports.deliveries import STATUSES, ListedDelivery, Sought, delivery_story, find_deliveries
from tracker.store.audit import Action

_FILTERS = ("status", "domain", "reply", "from", "to")
COLUMNS = (
    Column(key="recipient", title="Recipient", sorts=True),
    Column(key="subject", title="Message", sorts=True),
    Column(
        key="status",
        title="State",
        sorts=True,
        about="Queued: waits to be sent. Deferred: put off, tried again. Bounced: refused for good. Skipped: not sent "
        "on purpose. Returned: the client was told to try again, and keeps it. Complained: called spam.",
    ),
    Column(key="answer", title="Last answer", about="What the other side said at the latest try."),
    Column(key="received", title="Received", sorts=True, about="When its message came."),
    Column(key="changed", title="Since", sorts=True),
    Column(key="domain", title="Domain", sorts=True),
)
_BOUNCE_COLUMNS = {
    "domain": Column(key="domain", title="Domain", sorts=True),
    "code": Column(key="code", title="Code", sorts=True, is_number=True, about="Of the SMTP reply."),
    "enhanced": Column(
        key="enhanced",
        title="Status",
        sorts=True,
        about="The enhanced status code (RFC 3463): 5.1.1 is no such mailbox, 5.2.2 a full one, 5.7.1 a policy.",
    ),
    "n": Column(key="n", title="Bounced", sorts=True, is_number=True, term="bounced"),
    "latest": Column(key="latest", title="Latest", sorts=True),
    "example": Column(
        key="example", title="For example", about="What was said at the latest, as it was said."
    ),
}
_WORDS = {By.BOTH: "Domain and reply", By.DOMAIN: "Domain", By.REPLY: "Reply"}


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /deliveries?search=…&status=…&domain=…&reply=…&from=…&to=…"""
    domain = request.app[DOMAIN]
    asked = view(request.query, COLUMNS, sort="received", filters=_FILTERS)
    period = _period(request)
    status = asked.filters.get("status", "")
    sought = Sought(
        since=period.since,
        until=period.until,
        search=asked.search,
        domain=asked.filters.get("domain", ""),
        status=status if status in STATUSES else "",
        reply=asked.filters.get("reply", ""),
    )

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await find_deliveries(
            domain, sought, sort=asked.sort, descending=asked.descending, limit=limit, offset=offset
        )
        return [_row(one) for one in found]

    more = {
        "period": period,
        "statuses": STATUSES,
        "narrowed": bool(asked.search or asked.filters),
    }
    return await table_page(
        request,
        "deliveries.html",
        asked,
        COLUMNS,
        rows,
        name="deliveries",
        more=more,
        names=Action.EXPORT,
        about="deliveries",
    )


async def shown(request: web.Request) -> web.Response:
    """GET /deliveries/ID: one delivery with every try."""
    text, desk = request.match_info["id"], request.app[DESK]
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise web.HTTPNotFound
    one, tries = await delivery_story(request.app[DOMAIN], bytes.fromhex(text))
    waiting: list[Waiting] = []
    if desk is not None:
        wanted = Wanted(delivery=text)
        waiting = list(await desk.waiting(wanted, sort="since", descending=False, limit=1))
    context = {
        "one": one,
        "recipient": nameable(one),
        "tries": tries,
        "waiting": waiting[0] if waiting else None,
        "may_act": request[VISITOR].role >= Role.OPERATOR,
        "may_drop": desk is not None and desk.may_drop,
    }
    return page(request, "delivery.html", context)


async def bounces(request: web.Request) -> web.StreamResponse:
    """GET /bounces?by=…&search=…&from=…&to=…"""
    domain, period = request.app[DOMAIN], _period(request)
    wanted = request.query.get("by", "")
    by = By(wanted) if wanted in set(By) else By.BOTH
    shown_columns = [
        column
        for key, column in _BOUNCE_COLUMNS.items()
        if not (by is By.REPLY and key == "domain") and not (by is By.DOMAIN and key in ("code", "enhanced"))
    ]
    asked = view(request.query, shown_columns, sort="n", filters=("by", "from", "to"))

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await report_bounces(
            domain,
            by,
            since=period.since,
            until=period.until,
            search=asked.search,
            sort=asked.sort,
            descending=asked.descending,
            limit=limit,
            offset=offset,
        )
        return [_bounced(one, period, is_reply=by is By.REPLY) for one in found]

    if asked.is_csv:  # what was said may hold an address
        return await table_page(
            request,
            "bounces.html",
            asked,
            shown_columns,
            rows,
            name="bounces",
            names=Action.EXPORT,
            about="bounces",
        )
    more = {
        "period": period,
        "by": by,
        "bys": _WORDS,
        "totals": await bounce_totals(domain, since=period.since, until=period.until),
        "narrowed": bool(asked.search),
    }
    return await table_page(request, "bounces.html", asked, shown_columns, rows, name="bounces", more=more)


def _period(request: web.Request) -> Days:
    return days(request.query, datetime.now(UTC), request.app[DOMAIN].config.admin.zone)


def nameable(one: ListedDelivery) -> str:
    """Whom it went to, or why that is not said."""
    return one.recipient or ("(a report of ours to a sender)" if one.is_report else "(erased)")


def _row(one: ListedDelivery) -> dict[str, Any]:
    return {
        "href": f"/deliveries/{one.id.hex()}",
        "links": {"subject": f"/messages/{one.message_id.hex()}"},
        "received": isoformat(one.received_at),
        "recipient": nameable(one),
        "subject": one.subject or "(no subject)",
        "domain": one.domain,
        "status": one.status,
        "changed": isoformat(one.changed_at),
        "answer": answer(one.last),
    }


def _bounced(one: Bounced, period: Days, *, is_reply: bool) -> dict[str, Any]:
    """Leads to the deliveries themselves, where they can be asked for: those of erased people have no domain."""
    query = {"status": "bounced", "from": period.first.isoformat(), "to": period.last.isoformat()}
    if one.domain:
        query["domain"] = one.domain
    if one.enhanced or one.code:
        query["reply"] = one.enhanced or str(one.code)
    href = f"/deliveries?{urlencode(query)}"
    return {
        "links": {"code" if is_reply else "domain": href} if is_reply or one.domain else {},
        "domain": one.domain or "(erased)",
        "code": one.code or None,
        "enhanced": one.enhanced,
        "n": one.n,
        "latest": isoformat(one.latest),
        "example": one.example,
    }
