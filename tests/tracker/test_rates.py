"""Rates as people write them, and the buckets that hold everybody to theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import rates
from tracker.rates import Buckets, Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "amount", "seconds", "counted"),
    [
        ("100/m", 100, 60, "messages"),
        ("1/s", 1, 1, "messages"),
        ("1000 messages/h", 1000, 3600, "messages"),
        ("500 recipients/d", 500, 86400, "recipients"),
        (" 5/h ", 5, 3600, "messages"),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, amount: int, seconds: float, counted: str) -> None:
    rate = parse_rate(text)
    assert (rate.amount, rate.seconds, rate.counted) == (amount, seconds, counted)
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize(
    "text", ["", "100", "0/m", "-1/m", "1.5/m", "100/w", "100 mails/m", "100/min", "1/m/h"]
)
def test_what_is_no_rate_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="100/m"):
        parse_rate(text)


@given(st.integers(1, 50), st.sampled_from([1.0, 60.0]), st.lists(st.floats(0, 200), max_size=200))
def test_in_no_period_does_more_than_twice_the_rate_go_through(
    amount: int, seconds: float, moments: list[float]
) -> None:
    """A full bucket, and what flows in meanwhile."""
    rate, buckets = Rate(amount=amount, seconds=seconds), Buckets()
    went = [at for at in sorted(moments) if buckets.take("a", rate, now=at)]
    for start in went:
        assert sum(start <= at < start + seconds for at in went) <= 2 * amount


def test_a_bucket_empties_and_fills_again_and_is_nobody_elses() -> None:
    rate, buckets = Rate(amount=2, seconds=10), Buckets()
    assert [buckets.take("a", rate, now=0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", rate, now=0.0)
    assert not buckets.has("a", rate, now=4.9)
    assert buckets.has("a", rate, now=5.0)
    assert [buckets.take("a", rate, now=5.0) for _ in range(2)] == [True, False]
    assert [buckets.take("a", rate, now=1000.0) for _ in range(3)] == [True, True, False]


def test_the_longest_unused_bucket_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_BUCKETS", 2)
    rate, buckets = Rate(amount=1, seconds=10), Buckets()
    for whose in ("a", "b", "c"):
        assert buckets.take(whose, rate, now=0.0)
    assert buckets.has("a", rate, now=0.0)  # forgotten
    assert not buckets.has("b", rate, now=0.0)
