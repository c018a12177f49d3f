"""The days that a page is about: `?from=2026-05-01&to=2026-05-31`, whole days of the operator's time zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = 30
"""Where nothing else is asked for, up to today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """From the beginning of one day to the end of another."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def since(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)

    @property
    def until(self) -> datetime:
        return datetime.combine(self.last, time.max, self.zone)


def days(query: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Days:
    """As asked for; the last days where it is not understood, or the other way about where it is the wrong way round."""
    last = _day(query.get("to", "")) or now.astimezone(zone).date()
    first = _day(query.get("from", "")) or last - timedelta(days=DAYS)
    return Days(first=min(first, last), last=max(first, last), zone=zone)


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
    return day if day is not None and 2000 <= day.year <= 2999 else None
