"""Where mail arrives and where it does not: deliveries by the recipient's domain, with upstream's last words.

Of what is still on record: totals that the purge left say nothing of domains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, distinct, func, select

from tracker.consent import Mode
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.statistics import Share
from tracker.store.carried import DELIVERED, HUMAN
from tracker.store.schema import attempts, deliveries, events, messages


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


async def report_domains(
    domain: Domain, *, since: datetime, until: datetime, limit: int
) -> list[DomainReport]:
    """The domains that most mail of the period went to. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[DomainReport]:
        period = messages.c.received_at.between(since, until)
        names = _most_frequent(connection, period, limit)
        theirs = period & deliveries.c.domain.in_(names)
        statuses, measured = _deliveries(connection, theirs)
        people, answers = _people(connection, theirs), _answers(connection, theirs)
        return [
            DomainReport(
                domain=name,
                statuses=statuses[name],
                measured=measured[name],
                people={kind: people[name, kind.value] for kind in EventKind},
                answers=tuple(answers.get(name, ())),
            )
            for name in names
        ]

    return await domain.database.read(work, within=30.0)


_OF_MESSAGES = deliveries.join(messages, messages.c.id == deliveries.c.message_id)


def _most_frequent(connection: Connection, period: Any, limit: int) -> list[str]:
    number = func.count()
    query = (
        select(deliveries.c.domain)
        .select_from(_OF_MESSAGES)
        .where(period)
        .group_by(deliveries.c.domain)
        .order_by(number.desc(), deliveries.c.domain)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def _deliveries(connection: Connection, theirs: Any) -> tuple[dict[str, Counter[str]], Counter[str]]:
    columns = deliveries.c.domain, deliveries.c.status, deliveries.c.mode
    query = select(*columns, func.count().label("n")).select_from(_OF_MESSAGES).where(theirs)
    statuses: dict[str, Counter[str]] = {}
    measured: Counter[str] = Counter()
    for row in connection.execute(query.group_by(*columns)):
        statuses.setdefault(row.domain, Counter())[row.status] += row.n
        if row.mode == Mode.IDENTIFIED and row.status in DELIVERED:
            measured[row.domain] += row.n
    return statuses, measured


def _people(connection: Connection, theirs: Any) -> Counter[tuple[str, str]]:
    counts = deliveries.c.status.in_(DELIVERED) & (deliveries.c.mode == Mode.IDENTIFIED.value)
    query = (
        select(
            deliveries.c.domain,
            events.c.kind,
            func.count(distinct(case((counts, events.c.delivery_id)))).label("n"),
        )
        .select_from(_OF_MESSAGES.join(events, events.c.delivery_id == deliveries.c.id))
        .where(theirs, events.c.verdict.in_(HUMAN))
        .group_by(deliveries.c.domain, events.c.kind)
    )
    return Counter({(row.domain, row.kind): row.n for row in connection.execute(query)})


_MOST_ANSWERS = 5


def _answers(connection: Connection, theirs: Any) -> dict[str, list[Answer]]:
    """By domain, what was said last about each delivery that did not arrive."""
    last = (
        select(func.max(attempts.c.id).label("id"))
        .select_from(_OF_MESSAGES.join(attempts, attempts.c.delivery_id == deliveries.c.id))
        .where(theirs, deliveries.c.status.not_in(DELIVERED))
        .group_by(deliveries.c.id)
        .subquery()
    )
    columns = deliveries.c.domain, attempts.c.code, attempts.c.enhanced
    number = func.count()
    query = (
        select(*columns, number.label("n"))
        .select_from(
            last.join(attempts, attempts.c.id == last.c.id).join(
                deliveries, deliveries.c.id == attempts.c.delivery_id
            )
        )
        .group_by(*columns)
        .order_by(number.desc(), attempts.c.code, attempts.c.enhanced)
    )
    found: dict[str, list[Answer]] = {}
    for row in connection.execute(query):
        theirs_so_far = found.setdefault(row.domain, [])
        if len(theirs_so_far) < _MOST_ANSWERS:
            theirs_so_far.append(Answer(code=row.code, enhanced=row.enhanced, n=row.n))
    return found
