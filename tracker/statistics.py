"""What a share may be taken to mean: its interval, and whether two of them differ. Pure.

A rate of three in ten says little, and of three thousand in ten thousand much; whoever reads the number should see
which it is. Intervals are Wilson's at 95 %, comparisons the two-proportion z test with Newcombe's interval of the
difference; several comparisons at once are held to Holm's stricter levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import erfc, sqrt

_Z = 1.959963984540054
"""The normal quantile for 95 %, two-sided."""
_LEVEL = 0.05
_LEAST_EXPECTED = 5.0
"""Expected successes and failures below which the normal approximation does not hold (Cochran's rule)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`n` of `of`; what cannot be a share cannot be made (ValueError)."""

    n: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.n <= self.of:
            raise ValueError(f"{self.n} of {self.of} is no share")

    @property
    def rate(self) -> float | None:
        """From 0 to 1; None where there is nothing to divide by."""
        return self.n / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the true rate lies, 19 times in 20 (Wilson 1927); None where there is nothing to divide by."""
        if not self.of:
            return None
        rate, z2 = self.n / self.of, _Z * _Z
        middle = (rate + z2 / (2 * self.of)) / (1 + z2 / self.of)
        half = _Z * sqrt(rate * (1 - rate) / self.of + z2 / (4 * self.of * self.of)) / (1 + z2 / self.of)
        # Rounding must not shut out the rate itself at the ends.
        return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))


class Finding(StrEnum):
    """What a comparison showed."""

    BEHIND = "behind"
    """Behind the leader, and hardly by chance."""
    NO_DIFFERENCE = "no difference shown"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One variant held against the leader."""

    difference: float
    """The leader's rate less this one's."""
    interval: tuple[float, float]
    """Where the true difference lies, 19 times in 20 (Newcombe 1998)."""
    p: float
    """The chance of a difference at least as large if there were none."""
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Variants against the one with the highest rate."""

    leader: str
    others: Mapping[str, Comparison]


def contest(shares: Mapping[str, Share]) -> Contest | None:
    """Holds every variant against the leader; None where fewer than two have a rate."""
    counted = {name: share for name, share in shares.items() if share.of}
    if len(counted) < 2:
        return None
    leader = max(counted, key=lambda name: (counted[name].n / counted[name].of, counted[name].of, name))
    first = counted.pop(leader)
    tests = {name: _p(first, share) for name, share in counted.items()}
    shown = _holm({name: p for name, p in tests.items() if _enough(first, counted[name])})
    return Contest(
        leader=leader,
        others={
            name: Comparison(
                difference=(first.rate or 0.0) - (share.rate or 0.0),
                interval=_of_difference(first, share),
                p=tests[name],
                finding=_finding(name, shown, enough=_enough(first, share)),
            )
            for name, share in counted.items()
        },
    )


def _finding(name: str, shown: set[str], *, enough: bool) -> Finding:
    if not enough:
        return Finding.TOO_FEW
    return Finding.BEHIND if name in shown else Finding.NO_DIFFERENCE


def _pooled(one: Share, other: Share) -> float:
    return (one.n + other.n) / (one.of + other.of)


def _enough(one: Share, other: Share) -> bool:
    pooled = _pooled(one, other)
    return min(one.of, other.of) * min(pooled, 1 - pooled) >= _LEAST_EXPECTED


def _p(one: Share, other: Share) -> float:
    """Two-sided, by the pooled two-proportion z test."""
    pooled = _pooled(one, other)
    spread = sqrt(pooled * (1 - pooled) * (1 / one.of + 1 / other.of))
    return erfc(abs(one.n / one.of - other.n / other.of) / spread / sqrt(2)) if spread else 1.0


def _of_difference(one: Share, other: Share) -> tuple[float, float]:
    (low1, high1), (low2, high2) = one.interval or (0.0, 1.0), other.interval or (0.0, 1.0)
    rate1, rate2 = one.n / one.of, other.n / other.of
    difference = rate1 - rate2
    return (
        difference - sqrt((rate1 - low1) ** 2 + (high2 - rate2) ** 2),
        difference + sqrt((high1 - rate1) ** 2 + (rate2 - low2) ** 2),
    )


def _holm(tests: Mapping[str, float]) -> set[str]:
    """Those whose difference is shown even though so many were looked at (Holm 1979)."""
    shown: set[str] = set()
    for place, name in enumerate(sorted(tests, key=lambda name: tests[name])):
        if tests[name] > _LEVEL / (len(tests) - place):
            break
        shown.add(name)
    return shown
