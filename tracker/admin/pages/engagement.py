"""Who is worth a call, who has gone quiet, and which department has shown that it read a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from aiohttp import web

from tracker.admin.frame import DOMAIN
from tracker.admin.listing import in_order, table_page
from tracker.admin.pages.messages import message_row
from tracker.admin.pages.segments import chosen
from tracker.admin.paths import message_id
from tracker.admin.tables import Column, View, view
from tracker.moments import isoformat
from tracker.reports.engagement import leads, quiet
from tracker.reports.listings import find_messages, message_facts
from tracker.reports.message import report_message
from tracker.reports.readings import Reading, who_has_read
from tracker.reports.rows import reading_row
from tracker.statistics import Share
from tracker.store.audit import Action

_MOST, _MOST_OF_A_FILE = 1_000, 100_000
"""People on the pages of a list, and in its file."""
_LONGEST = 3660
_LEADS_DAYS, _QUIET_DAYS, _QUIET_LEAST = 30, 180, 3
LEAD_COLUMNS = (
    Column(key="address", title="Address", sorts=True),
    Column(key="group", title="Group", sorts=True),
    Column(
        key="score",
        title="Score",
        sorts=True,
        is_number=True,
        about="Three for each mail with a click, one for each that was opened.",
    ),
    Column(key="opened", title="Mails opened", sorts=True, is_number=True, term="opens"),
    Column(key="clicked", title="Mails clicked", sorts=True, is_number=True, term="clicks"),
    Column(key="last", title="Last seen", sorts=True, about="Their latest open or click."),
)
QUIET_COLUMNS = (
    Column(key="address", title="Address", sorts=True),
    Column(key="group", title="Group", sorts=True),
    Column(
        key="delivered",
        title="Mails delivered",
        sorts=True,
        is_number=True,
        about="In that time, and of those that could have shown a sign of life.",
    ),
    Column(key="last_mail", title="Last mail", sorts=True),
)
READING_COLUMNS = (
    Column(key="group", title="Department", sorts=True),
    Column(key="recipients", title="Recipients", sorts=True, is_number=True, term="recipients"),
    Column(key="delivered", title="Delivered", sorts=True, is_number=True, term="delivered"),
    Column(key="measured", title="Measured", sorts=True, is_number=True, term="trackable"),
    Column(key="read", title="Has shown a read", sorts=True, is_number=True, term="read"),
    Column(
        key="not_shown",
        title="Has not shown one",
        sorts=True,
        is_number=True,
        about="Measured, and neither opened nor clicked so far. Mail programs that load no images hide opens.",
    ),
    Column(key="not_measured", title="Not measured", sorts=True, is_number=True, term="not-trackable"),
)
_CHOICE = (
    Column(key="received", title="Received", sorts=True),
    Column(key="subject", title="Message", sorts=True),
    Column(key="from", title="From", sorts=True),
    Column(key="campaign", title="Campaign", sorts=True),
    Column(key="recipients", title="Recipients", is_number=True, term="recipients"),
    Column(key="measured", title="Measured", is_number=True, term="trackable"),
)


async def leading(request: web.Request) -> web.StreamResponse:
    """GET /leads?days=…"""
    asked = view(request.query, LEAD_COLUMNS, sort="score", filters=("days", "segment"))
    days = _number(asked.filters, "days", _LEADS_DAYS)
    segment, names = await chosen(request.app[DOMAIN], asked.filters)
    found = await leads(request.app[DOMAIN], since=_since(days), limit=_most(asked), segment=segment)
    rows = [asdict(one) | {"last": isoformat(one.last), "href": person_href(one.address)} for one in found]
    return await table_page(
        request,
        "leads.html",
        asked,
        LEAD_COLUMNS,
        in_order(_fitting(rows, asked.search), asked),
        name="leads",
        more={"days": days, "most": _MOST, "is_cut": len(found) == _MOST, "segments": names},
        names=Action.EXPORT_LEADS,
    )


async def gone_quiet(request: web.Request) -> web.StreamResponse:
    """GET /quiet?days=…&least=…"""
    asked = view(request.query, QUIET_COLUMNS, sort="delivered", filters=("days", "least", "segment"))
    days = _number(asked.filters, "days", _QUIET_DAYS)
    least = _number(asked.filters, "least", _QUIET_LEAST)
    domain = request.app[DOMAIN]
    segment, names = await chosen(domain, asked.filters)
    found = await quiet(domain, since=_since(days), least=least, limit=_most(asked), segment=segment)
    rows = [
        asdict(one) | {"last_mail": isoformat(one.last_mail), "href": person_href(one.address)}
        for one in found
    ]
    return await table_page(
        request,
        "quiet.html",
        asked,
        QUIET_COLUMNS,
        in_order(_fitting(rows, asked.search), asked),
        name="quiet",
        more={
            "days": days,
            "least": least,
            "most": _MOST,
            "is_cut": len(found) == _MOST,
            "segments": names,
        },
        names=Action.EXPORT_QUIET,
    )


async def departments(request: web.Request) -> web.StreamResponse:
    """GET /departments: which message? `?search=…` helps to find it."""
    asked, domain = view(request.query, _CHOICE, sort="received"), request.app[DOMAIN]

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await find_messages(
            domain,
            asked.search,
            sort=asked.sort,
            descending=asked.descending,
            limit=limit,
            offset=offset,
        )
        return [message_row(one) | {"href": f"/departments/{one.id.hex()}"} for one in found]

    return await table_page(request, "departments.html", asked, _CHOICE, rows, name="messages")


async def read_by(request: web.Request) -> web.StreamResponse:
    """GET /departments/ID"""
    id_, domain = message_id(request), request.app[DOMAIN]
    asked = view(request.query, READING_COLUMNS, sort="group", descending=False, filters=("segment",))
    segment, names = await chosen(domain, asked.filters)
    readings = await who_has_read(domain, id_, segment=segment)
    return await table_page(
        request,
        "department.html",
        asked,
        READING_COLUMNS,
        in_order([_shown(one) for one in readings], asked),
        name=f"departments-{id_.hex()[:8]}",
        more={
            "report": await report_message(domain, id_),
            "facts": await message_facts(domain, id_),
            "whole": _shown(_whole(readings)),
            "segments": names,
        },
    )


def person_href(address: str) -> str:
    """The page of somebody of whom only the address is at hand."""
    return f"/contact?address={quote(address)}"


def _shown(one: Reading) -> dict[str, Any]:
    read = Share(n=one.read, of=one.measured)
    return reading_row(one) | {"shares": {"read": read} if one.measured else {}, "share": read}


def _whole(readings: list[Reading]) -> Reading:
    return Reading(
        group="",
        recipients=sum(one.recipients for one in readings),
        delivered=sum(one.delivered for one in readings),
        measured=sum(one.measured for one in readings),
        read=sum(one.read for one in readings),
    )


def _most(asked: View) -> int:
    return _MOST_OF_A_FILE if asked.is_csv else _MOST


def _fitting(rows: list[dict[str, Any]], search: str) -> list[dict[str, Any]]:
    """Whose address or group holds it."""
    wanted = search.casefold()
    return [row for row in rows if wanted in f"{row['address']}\n{row['group'] or ''}".casefold()]


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _number(filters: Mapping[str, str], key: str, otherwise: int) -> int:
    """What is not understood is left out, as everywhere in a URL."""
    text = filters.get(key, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    return min(number, _LONGEST) or otherwise
