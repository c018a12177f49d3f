"""Calendar years: the same day so many years later, and the 28th where there is no 29 February."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.retention import expires_on, kept_from

DAYS = st.dates(date(1990, 1, 1), date(2120, 12, 31))
LEAP_DAYS = st.sampled_from([date(year, 2, 29) for year in range(1992, 2100, 4)])
YEARS = st.integers(1, 30)


@pytest.mark.parametrize(
    ("collected", "years", "expires"),
    [
        (date(2024, 2, 28), 3, date(2027, 2, 28)),
        (date(2024, 2, 29), 3, date(2027, 2, 28)),
        (date(2024, 3, 1), 3, date(2027, 3, 1)),
        (date(2024, 2, 29), 4, date(2028, 2, 29)),
        (date(2025, 2, 28), 3, date(2028, 2, 28)),
        (date(2096, 2, 29), 4, date(2100, 2, 28)),
        (date(2024, 12, 31), 1, date(2025, 12, 31)),
    ],
)
def test_it_expires_on_the_same_day_so_many_years_later(collected: date, years: int, expires: date) -> None:
    assert expires_on(collected, years) == expires


@given(collected=DAYS | LEAP_DAYS, today=DAYS | LEAP_DAYS, years=YEARS)
@example(collected=date(2024, 2, 29), today=date(2027, 2, 28), years=3)
@example(collected=date(2024, 2, 29), today=date(2027, 2, 27), years=3)
@example(collected=date(2024, 2, 29), today=date(2028, 2, 28), years=4)
@example(collected=date(2025, 2, 28), today=date(2028, 2, 29), years=3)
@example(collected=date(2025, 3, 1), today=date(2028, 2, 29), years=3)
def test_what_is_older_than_the_limit_is_just_what_has_expired(
    collected: date, today: date, years: int
) -> None:
    for moment in (
        datetime(collected.year, collected.month, collected.day, tzinfo=UTC),
        datetime(collected.year, collected.month, collected.day, 23, 59, 59, 999_999, UTC),
    ):
        assert (moment < kept_from(today, years)) == (expires_on(collected, years) <= today)


@given(today=DAYS | LEAP_DAYS, years=YEARS)
def test_the_limit_never_goes_back(today: date, years: int) -> None:
    assert kept_from(today, years) <= kept_from(today + timedelta(days=1), years)


@given(collected=DAYS | LEAP_DAYS, years=YEARS)
def test_nothing_is_kept_longer_than_so_many_years_nor_a_day_and_more_too_short(
    collected: date, years: int
) -> None:
    whole_years = (date(collected.year + years, collected.month, 1) - collected.replace(day=1)).days
    kept = (expires_on(collected, years) - collected).days
    assert whole_years - 1 <= kept <= whole_years
