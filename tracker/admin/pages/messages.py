"""The messages, and one of them with its recipients."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from tracker.admin.charts import drawn
from tracker.admin.drawings import of_mail
from tracker.admin.frame import DOMAIN
from tracker.admin.listing import csv_file, table_page
from tracker.admin.pages.clickmap import COLUMNS as LINK_COLUMNS
from tracker.admin.pages.clickmap import link_rows
from tracker.admin.paths import message_id
from tracker.admin.tables import Column, view
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.reports.listings import (
    ListedMessage,
    ListedRecipient,
    find_messages,
    message_facts,
    recipients,
)
from tracker.reports.message import report_message
from tracker.reports.rows import CSV, message_rows
from tracker.reports.sums import Scope
from tracker.reports.times import times_to
from tracker.store.audit import Action
from tracker.store.carried import DELIVERED

COLUMNS = (
    Column(key="received", title="Received", sorts=True),
    Column(key="subject", title="Subject", sorts=True),
    Column(key="from", title="From", sorts=True),
    Column(key="campaign", title="Campaign", sorts=True),
    Column(key="recipients", title="Recipients", is_number=True),
    Column(
        key="delivered",
        title="Delivered",
        is_number=True,
        about="Accepted by upstream and not bounced later.",
    ),
    Column(
        key="measured",
        title="Measured",
        is_number=True,
        about="Delivered, and measured by name: what the rates are shares of.",
    ),
    Column(
        key="opened",
        title="Opened",
        is_number=True,
        about="Of those measured, who opened it: people and their mail services' proxies, without machines.",
    ),
    Column(
        key="clicked",
        title="Clicked",
        is_number=True,
        about="Of those measured, who followed a link: people, without machines.",
    ),
)
RECIPIENT_COLUMNS = (
    Column(key="recipient", title="Recipient", sorts=True),
    Column(key="group", title="Group", sorts=True),
    Column(key="status", title="Delivery", sorts=True),
    Column(key="mode", title="Measured", sorts=True, about="How far this copy is measured."),
    Column(key="reason", title="Because", sorts=True, about="What decided it."),
    Column(
        key="opened",
        title="First open",
        about="By the person or their mail service's proxy. Not told of people who may not be measured by name today.",
    ),
    Column(key="clicked", title="First click"),
    Column(key="clicks", title="Clicks", is_number=True),
    Column(
        key="answer",
        title="Last answer",
        about="What the other side said at the latest try, of what did not arrive.",
    ),
)


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /messages?search=…"""
    asked = view(request.query, COLUMNS, sort="received")
    domain = request.app[DOMAIN]

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await find_messages(
            domain,
            asked.search,
            sort=asked.sort,
            descending=asked.descending,
            limit=limit,
            offset=offset,
        )
        return [message_row(one) for one in found]

    return await table_page(request, "messages.html", asked, COLUMNS, rows, name="messages")


async def shown(request: web.Request) -> web.StreamResponse:
    """GET /messages/ID"""
    id_, domain = message_id(request), request.app[DOMAIN]
    asked = view(request.query, RECIPIENT_COLUMNS, sort="recipient", descending=False)
    report, scope = await report_message(domain, id_), Scope(message=id_)

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await recipients(
            domain,
            id_,
            search=asked.search,
            sort=asked.sort,
            descending=asked.descending,
            limit=limit,
            offset=offset,
        )
        return [_recipient_row(one) for one in found]

    return await table_page(
        request,
        "message.html",
        asked,
        RECIPIENT_COLUMNS,
        rows,
        name=f"recipients-{id_.hex()[:8]}",
        more={
            "report": report,
            "kinds": EventKind,
            "facts": await message_facts(domain, id_),
            "links": link_rows(report),
            "times": [await times_to(domain, scope, kind) for kind in EventKind],
            "charts": [] if asked.is_csv else await drawn(*await of_mail(domain, scope)),
            "link_columns": LINK_COLUMNS,
        },
        names=Action.EXPORT_RECIPIENTS,
    )


async def figures(request: web.Request) -> web.Response:
    """GET /messages/ID/figures: all of them as CSV."""
    id_ = message_id(request)
    rows = message_rows(await report_message(request.app[DOMAIN], id_))
    return csv_file(CSV, rows, name=f"figures-{id_.hex()[:8]}")


def message_row(one: ListedMessage) -> dict[str, Any]:
    """As a table shows it and CSV has it."""
    opened, clicked = (one.figures.share(kind) for kind in EventKind)
    return {
        "href": f"/messages/{one.id.hex()}",
        "received": isoformat(one.received_at),
        "subject": one.subject,
        "from": one.author,
        "campaign": one.campaign,
        "recipients": one.figures.statuses.total(),
        "delivered": one.figures.delivered,
        "measured": one.figures.trackable_delivered,
        "opened": opened.n,
        "clicked": clicked.n,
        "shares": {"opened": opened, "clicked": clicked},
    }


def _recipient_row(one: ListedRecipient) -> dict[str, Any]:
    return {
        "recipient": one.recipient or "(erased)",
        "href": f"/contact?address={quote(one.recipient)}" if one.recipient else "",
        "group": one.group,
        "status": one.status,
        "mode": f"{one.mode} (not told today)" if one.hidden else one.mode,
        "reason": one.reason,
        "opened": isoformat(one.first_open) if one.first_open else None,
        "clicked": isoformat(one.first_click) if one.first_click else None,
        "clicks": None if one.hidden else one.clicks,
        "answer": "" if one.status in DELIVERED else one.answer,
    }
