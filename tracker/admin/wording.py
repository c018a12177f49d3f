"""How the operator's pages say what is in the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from tracker.events import EventKind
from tracker.moments import isoformat, lasting
from tracker.money import shown_amount
from tracker.reports.wording import click_to_open, credit, judged, percent, span, unattributed_word

_HAPPENED = {
    "accepted": "Delivered",
    "deferred": "Put off",
    "returned": "Handed back",
    "complained": "Called spam",
}
_KINDS = {EventKind.OPENED: "Opens", EventKind.CLICKED: "Clicks"}


def moment(value: datetime | str | None, zone: ZoneInfo) -> str:
    """To the second, in the operator's time zone, which every page names below."""
    if not value:
        return ""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def at(value: datetime | str | None, zone: ZoneInfo) -> Markup:
    """The same as an element that programs read too; a dash for nothing."""
    if not value:
        return Markup('<span class="quiet">–</span>')
    exactly = isoformat(value) if isinstance(value, datetime) else value
    return Markup('<time datetime="{}">{}</time>').format(exactly, moment(value, zone))


def happened(kind: str) -> str:
    """What an entry of the feed says first."""
    return _HAPPENED.get(kind, kind.capitalize())


def kind_word(kind: EventKind) -> str:
    return _KINDS[kind]


def size(octets: float) -> str:
    """`12.3 KB`."""
    if octets < 1024:
        return f"{octets} bytes"
    for unit in ("KB", "MB"):
        octets /= 1024
        if octets < 1024:
            return f"{octets:,.1f} {unit}"
    return f"{octets / 1024:,.1f} GB"


def many(number: int, what: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def filters(zone: Callable[[], ZoneInfo]) -> Mapping[str, Callable[..., Any]]:
    """What templates say `| name` for; `zone` gives the operator's, which may change while we run."""
    return {
        "moment": lambda value: moment(value, zone()),
        "at": lambda value: at(value, zone()),
        **_FILTERS,
    }


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "percent": percent,
    "span": span,
    "kind_word": kind_word,
    "judged": judged,
    "click_to_open": click_to_open,
    "octets": size,
    "lasting": lasting,
    "many": many,
    "amount": shown_amount,
    "credit": credit,
    "unattributed": unattributed_word,
}
