"""What people did on the operator's site, and which mail earned it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web

from tracker.admin.frame import DOMAIN, page
from tracker.admin.tables import Column
from tracker.attribution import Model
from tracker.reports.conversions import CSV as CSV_COLUMNS
from tracker.reports.conversions import By, ConversionReport, Period, csv_rows, report_conversions
from tracker.spreadsheet import as_csv

W = TypeVar("W", bound=StrEnum)

_DAYS = 30
_SHOWN = 200
"""Rows of one goal on the page; CSV has them all."""
TITLES = {By.CAMPAIGN: "Campaign", By.MESSAGE: "Message", By.LINK: "Link", By.GROUP: "Group"}
MODELS = {
    Model.LAST_CLICK: "The latest click earns it; where nothing was clicked, the latest open.",
    Model.LAST_ACTIVITY: "The latest open or click earns it.",
    Model.ALL_MESSAGES: "Every message opened or clicked earns all of it: the sum may exceed what there was.",
    Model.FIRST_CLICK: "The first click earns it; where nothing was clicked, nobody does.",
    Model.LINEAR: "All messages opened or clicked share it alike.",
    Model.TIME_DECAY: "All messages opened or clicked share it; one that is a week older gets half as much.",
    Model.POSITION: "The first and the last message get 40 % each, those between share the rest.",
}
_CONVERSIONS = Column(
    key="credit",
    title="Conversions",
    is_number=True,
    about="What it earned under the model; parts of one conversion add up to one.",
)
_VALUE = Column(
    key="amount", title="Value", is_number=True, about="In its own currency; currencies are never added up."
)


async def shown(request: web.Request) -> web.Response:
    """GET /conversions?goal=…&model=…&by=…&from=…&to=…; `format=csv` for all rows."""
    domain, query = request.app[DOMAIN], request.query
    by = _one_of(By, query.get("by", "")) or By.CAMPAIGN
    model = _one_of(Model, query.get("model", ""))
    period = _period(query.get("from", ""), query.get("to", ""), datetime.now(UTC).date())
    found = await report_conversions(domain, period, by=by, model=model)
    goals = [one.goal for one in found]
    wanted = query.get("goal", "")
    found = [one for one in found if wanted not in goals or one.goal == wanted]
    if query.get("format") == "csv":
        return _as_csv(found)
    asked = {"goal": wanted if wanted in goals else "", "model": model or "", "by": by}
    asked |= {"from": period.first.isoformat(), "to": period.last.isoformat()}
    context = {
        "reports": found,
        "goals": goals,
        "asked": asked,
        "models": MODELS,
        "bys": TITLES,
        "columns": (Column(key="title", title=TITLES[by]), _CONVERSIONS, _VALUE),
        "most": _SHOWN,
        "csv": f"?{urlencode({**asked, 'format': 'csv'})}",
        "parameter": domain.config.tracking.click_id_parameter,
        "public_url": domain.config.tracker.public_url,
    }
    return page(request, "conversions.html", context)


def _as_csv(found: list[ConversionReport]) -> web.Response:
    return web.Response(
        body=as_csv(CSV_COLUMNS, csv_rows(found)),
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="conversions.csv"',
            "Cache-Control": "no-store",
        },
    )


def _one_of(words: type[W], text: str) -> W | None:
    """What is not understood is left out: a URL that somebody mended by hand still shows a page."""
    return words(text) if text in set(words) else None


def _period(first: str, last: str, today: date) -> Period:
    """As asked for; the last days where it is not understood, or the wrong way round."""
    until = _day(last) or today
    since = _day(first) or until - timedelta(days=_DAYS)
    return Period(first=since, last=until) if since <= until else Period(first=until, last=since)


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
    return day if day is not None and 2000 <= day.year <= 2999 else None
