"""How the operator's pages say what is in the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.moments import shown as moment_shown
from tracker.money import shown_amount
from tracker.reports.wording import credit, judged, percent, span, unattributed_word

_KINDS = {EventKind.OPENED: "Opens", EventKind.CLICKED: "Clicks"}


def moment(value: datetime | str | None) -> str:
    """To the second, UTC."""
    if value is None:
        return ""
    return moment_shown(isoformat(value) if isinstance(value, datetime) else value)


def kind_word(kind: EventKind) -> str:
    return _KINDS[kind]


def size(octets: int) -> str:
    """`12.3 KB`."""
    return f"{octets} bytes" if octets < 1024 else f"{octets / 1024:,.1f} KB"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "percent": percent,
    "span": span,
    "moment": moment,
    "kind_word": kind_word,
    "judged": judged,
    "octets": size,
    "amount": shown_amount,
    "credit": credit,
    "unattributed": unattributed_word,
}
