"""How long things are kept: calendar years from the day they were collected. Pure.

What was collected on a day expires on the same day so many years later, and what was collected on 29 February on the
28th where there is no 29th. Days are those of UTC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

_LEAP_DAY = (2, 29)


def expires_on(collected: date, years: int) -> date:
    """The day on which it may no longer be kept."""
    return _in_year(collected, collected.year + years)


def kept_from(today: date, years: int) -> datetime:
    """The moment from which on things are kept today; what is older has expired."""
    last = _in_year(today, today.year - years)
    leap_day = last + timedelta(days=1)
    if (
        last.day == 28
        and (leap_day.month, leap_day.day) == _LEAP_DAY
        and expires_on(leap_day, years) <= today
    ):
        last = leap_day
    return datetime.combine(last, time(), UTC) + timedelta(days=1)


def _in_year(day: date, year: int) -> date:
    try:
        return day.replace(year=year)
    except ValueError:
        return day.replace(year=year, day=28)
