"""Shares and what they may be taken to mean, against published figures and against the definition."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.statistics import Contest, Finding, Share, contest

SHARES = st.integers(0, 5_000).flatmap(
    lambda of: st.builds(Share, n=st.integers(0, of), of=st.just(of)),
)


@pytest.mark.parametrize(
    ("n", "of", "low", "high"),
    [  # Newcombe 1998, table I, method 3 (score without continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_of_the_literature(n: int, of: int, low: float, high: float) -> None:
    found = Share(n=n, of=of).interval
    assert found is not None
    assert (round(found[0], 4), round(found[1], 4)) == (low, high)


@given(SHARES)
def test_an_interval_holds_its_rate_and_stays_a_share(share: Share) -> None:
    if share.rate is None:
        assert share.interval is None
        return
    assert share.interval is not None
    low, high = share.interval
    assert 0.0 <= low <= share.rate <= high <= 1.0
    assert high - low > 0


def test_nineteen_intervals_in_twenty_hold_the_truth() -> None:
    """The exact coverage for a true rate, summed over everything that may be drawn."""
    for of, truth in ((50, 0.2), (200, 0.03), (400, 0.5)):
        held = 0.0
        for n in range(of + 1):
            low, high = Share(n=n, of=of).interval or (0.0, 0.0)
            if low <= truth <= high:
                held += comb(of, n) * truth**n * (1 - truth) ** (of - n)
        assert 0.93 < held < 0.98


@pytest.mark.parametrize(("n", "of"), [(-1, 3), (4, 3), (1, 0)])
def test_what_is_no_share_cannot_be_made(n: int, of: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        Share(n=n, of=of)


def held(shares: dict[str, Share]) -> Contest:
    found = contest(shares)
    assert found is not None
    return found


def test_a_clear_difference_is_shown() -> None:
    """56/70 against 48/80: the difference 0.2 with its interval from Newcombe 1998, table II, method 10."""
    found = held({"a": Share(n=56, of=70), "b": Share(n=48, of=80)})
    other = found.others["b"]
    assert found.leader == "a"
    assert round(other.difference, 4) == 0.2
    assert (round(other.interval[0], 4), round(other.interval[1], 4)) == (0.0524, 0.3339)
    assert other.finding is Finding.BEHIND
    assert round(other.p, 4) == 0.008


def test_no_difference_is_said_when_that_is_the_truth() -> None:
    found = held({"a": Share(n=100, of=1000), "b": Share(n=104, of=1000)})
    assert found.leader == "b"
    assert found.others["a"].finding is Finding.NO_DIFFERENCE


@pytest.mark.parametrize(
    "few",
    [Share(n=3, of=4), Share(n=0, of=1), Share(n=4, of=4)],
)
def test_too_few_are_told_to_be_too_few(few: Share) -> None:
    found = held({"a": Share(n=10, of=1000), "b": few})
    assert {one.finding for one in found.others.values()} == {Finding.TOO_FEW}


def test_many_variants_are_held_to_a_stricter_level() -> None:
    """A difference that two variants would show is not shown where it is the best of many looks."""
    pair = {"a": Share(n=130, of=1000), "b": Share(n=100, of=1000)}
    assert held(pair).others["b"].finding is Finding.BEHIND
    more = pair | {f"c{number}": Share(n=100, of=1000) for number in range(5)}
    assert {one.finding for one in held(more).others.values()} == {Finding.NO_DIFFERENCE}


@given(SHARES, SHARES)
def test_who_is_called_behind_is_behind_whichever_comes_first(one: Share, other: Share) -> None:
    assume(one.of and other.of)
    there, back = held({"a": one, "b": other}), held({"b": other, "a": one})
    assert there == back
    comparison = next(iter(there.others.values()))
    assert comparison.difference >= 0
    assert comparison.interval[0] <= comparison.difference <= comparison.interval[1]
    assert 0.0 <= comparison.p <= 1.0
    if comparison.finding is Finding.BEHIND:
        assert comparison.p <= 0.05


@pytest.mark.parametrize(
    "shares", [{}, {"a": Share(n=1, of=2)}, {"a": Share(n=1, of=2), "b": Share(n=0, of=0)}]
)
def test_one_alone_is_no_contest(shares: dict[str, Share]) -> None:
    assert contest(shares) is None
