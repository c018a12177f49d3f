"""Where mail arrives and where it does not: deliveries by the recipient's domain, with upstream's last words.

Of what is still on record: totals that the purge left say nothing of domains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from tracker.domain import Domain
from tracker.events import EventKind
from tracker.reports.sums import Scope, Sums, gathered, parts
from tracker.statistics import Share
from tracker.store.rollups_cells import DELIVERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other side said, and to how many deliveries it was the last word."""

    code: int
    enhanced: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainReport:
    """The deliveries to one domain."""

    domain: str
    statuses: Counter[str]
    measured: int = 0
    """Delivered, and measured by name."""
    people: Mapping[EventKind, int] = field(default_factory=dict)
    """Of those measured, who had an event of the kind."""
    answers: tuple[Answer, ...] = ()
    """Last words on what did not arrive, the most frequent first."""

    @property
    def deliveries(self) -> int:
        return self.statuses.total()

    @property
    def arrived(self) -> Share:
        """Delivered, of those whose fate is known."""
        waiting = self.statuses["queued"] + self.statuses["deferred"]
        return Share(
            n=sum(self.statuses[status] for status in DELIVERED), of=max(0, self.deliveries - waiting)
        )

    def share(self, kind: EventKind) -> Share:
        return Share(n=self.people.get(kind, 0), of=self.measured)

    def as_json(self) -> dict[str, Any]:
        return {
            "domain": self.domain,
            "deliveries": dict(self.statuses),
            "arrived": {"n": self.arrived.n, "of": self.arrived.of, "rate": self.arrived.rate},
            "trackable_delivered": self.measured,
            "identified": {
                kind.value: {"delivered": self.share(kind).n, "rate": self.share(kind).rate}
                for kind in EventKind
            },
            "answers": [{"code": one.code, "enhanced": one.enhanced, "n": one.n} for one in self.answers],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of mail, by where it went and by what was answered."""

    domains: tuple[DomainReport, ...]
    """Most deliveries first."""
    answers: tuple[Answer, ...]
    """Last words on what did not arrive, the most frequent first."""

    def as_json(self) -> dict[str, Any]:
        return {
            "domains": [one.as_json() for one in self.domains],
            "answers": [{"code": one.code, "enhanced": one.enhanced, "n": one.n} for one in self.answers],
        }


async def report_domains(
    domain: Domain, *, since: datetime, until: datetime, limit: int
) -> list[DomainReport]:
    """The domains that most mail of the period went to. Raises StoreUnavailable."""
    return list((await outcomes(domain, Scope(since=since, until=until), limit=limit)).domains)


async def outcomes(domain: Domain, scope: Scope, *, limit: int | None = None) -> Outcomes:
    """What became of the scope's mail at the domains that most of it went to. Raises StoreUnavailable."""

    def work(connection: Connection) -> Sums:
        return gathered(connection, scope, ("domain:state", "domain:arrived", "reply"))

    return _outcomes(await domain.database.view(work, within=30.0), limit)


_MOST_ANSWERS = 5


def _outcomes(sums: Sums, limit: int | None) -> Outcomes:
    statuses: dict[str, Counter[str]] = {}
    measured: Counter[str] = Counter()
    people: Counter[tuple[str, str]] = Counter()
    answers: dict[str, Counter[tuple[int, str]]] = {}
    everywhere: Counter[tuple[int, str]] = Counter()
    for (measure, _slot, under), n in sums.items():
        if measure == "domain:state":
            status, is_measured, name = parts(under, 3)
            statuses.setdefault(name, Counter())[status] += n
            measured[name] += n if is_measured == "1" else 0
        elif measure == "domain:arrived":
            kind, name = parts(under, 2)
            people[name, kind] += n
        elif measure == "reply":
            code, enhanced, name = parts(under, 3)
            answers.setdefault(name, Counter())[int(code), enhanced] += n
            everywhere[int(code), enhanced] += n
    ordered = sorted(statuses, key=lambda name: (-statuses[name].total(), name))
    return Outcomes(
        domains=tuple(
            DomainReport(
                domain=name,
                statuses=+statuses[name],
                measured=measured[name],
                people={kind: people[name, kind.value] for kind in EventKind},
                answers=_most(answers.get(name, Counter()), _MOST_ANSWERS),
            )
            for name in ordered[:limit]
        ),
        answers=_most(everywhere, None),
    )


def _most(answers: Counter[tuple[int, str]], most: int | None) -> tuple[Answer, ...]:
    ordered = sorted(answers.items(), key=lambda one: (-one[1], one[0]))
    return tuple(Answer(code=code, enhanced=enhanced, n=n) for (code, enhanced), n in ordered if n)[:most]
