"""The messages, and one of them with its recipients."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from tracker.admin.frame import DOMAIN
from tracker.admin.listing import table_page
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
    Column(key="group", title="Group"),
    Column(key="status", title="Delivery", sorts=True),
    Column(key="mode", title="Measured", sorts=True, about="How far this copy is measured."),
    Column(key="reason", title="Because", about="What decided it."),
    Column(key="opened", title="First open", about="By the person or their mail service's proxy."),
    Column(key="clicked", title="First click"),
    Column(key="clicks", title="Clicks", is_number=True),
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
    text = request.match_info["id"]
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise web.HTTPNotFound
    message_id, domain = bytes.fromhex(text), request.app[DOMAIN]
    asked = view(request.query, RECIPIENT_COLUMNS, sort="recipient", descending=False)
    report = await report_message(domain, message_id)

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await recipients(
            domain, message_id, sort=asked.sort, descending=asked.descending, limit=limit, offset=offset
        )
        return [_recipient_row(one) for one in found]

    return await table_page(
        request,
        "message.html",
        asked,
        RECIPIENT_COLUMNS,
        rows,
        name=f"recipients-{text[:8]}",
        more={"report": report, "kinds": EventKind, "facts": await message_facts(domain, message_id)},
    )


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
        "group": one.group,
        "status": one.status,
        "mode": one.mode,
        "reason": one.reason,
        "opened": isoformat(one.first_open) if one.first_open else None,
        "clicked": isoformat(one.first_click) if one.first_click else None,
        "clicks": one.clicks,
    }
