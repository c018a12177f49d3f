"""How long it took people to open and click, from when upstream took the mail. Of those delivered and measured by name
that are still on record; times are rounded down to two digits that count (61 s, 120 s, 1300 s)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tracker.domain import Domain
from tracker.events import EventKind
from tracker.reports.sums import Scope, gathered, parts

STEPS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 3 * 86400, 7 * 86400)
"""Seconds at which a histogram is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Those who took so long."""

    since: int
    until: int | None
    """Seconds, from the first until before the second; None for the last."""
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimesTo:
    """Time to the first open or click."""

    kind: EventKind
    n: int
    median: int | None
    p90: int | None
    """Seconds that half, and nine in ten, did not exceed (nearest rank); None where there is nobody."""
    histogram: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "n": self.n,
            "median_seconds": self.median,
            "p90_seconds": self.p90,
            "histogram": [{"since": one.since, "until": one.until, "n": one.n} for one in self.histogram],
        }


async def times_to(domain: Domain, scope: Scope, kind: EventKind) -> TimesTo:
    """Of the scope's mail. Raises StoreUnavailable."""

    def work(connection: Connection) -> Counter[int]:
        found: Counter[int] = Counter()
        for (_measure, _slot, under), n in gathered(connection, scope, ("waited",)).items():
            of, seconds = parts(under, 2)
            if of == kind.value:
                found[int(seconds)] += n
        return +found

    found = await domain.database.view(work, within=30.0)
    edges = (0, *STEPS)
    return TimesTo(
        kind=kind,
        n=found.total(),
        median=_rank(found, 1, 2),
        p90=_rank(found, 9, 10),
        histogram=tuple(
            Step(
                since=low,
                until=high,
                n=sum(n for s, n in found.items() if s >= low and (high is None or s < high)),
            )
            for low, high in zip(edges, (*STEPS, None), strict=True)
        ),
    )


def _rank(found: Counter[int], n: int, of: int) -> int | None:
    """The least that `n` of `of` do not exceed."""
    wanted = -(-found.total() * n // of)
    so_far = 0
    for seconds, times in sorted(found.items()):
        so_far += times
        if so_far >= wanted:
            return seconds
    return None
