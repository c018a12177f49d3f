"""Which mail a report is about, and the sums over it.

Reports add cells (`tracker.store.rollups_cells`); where they come from is said here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, distinct, func, select, true

from tracker.events import EventKind
from tracker.store.rollups_cells import (
    DAY,
    DOUBTFUL,
    FIRST,
    HUMAN,
    LARGE,
    MACHINE,
    QUARTER,
    TOTAL,
    US,
    VIEW,
    Cell,
    add,
)
from tracker.store.rollups_facts import add_gone, matching, read
from tracker.store.schema import events, messages

_TIMED = (TOTAL, FIRST, VIEW, MACHINE, DOUBTFUL, "delivered")
_QUARTERS = DAY // QUARTER

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Sums = Counter[tuple[str, int, str]]
"""By measure, slot and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which mail: a message's, a mailing's (or one variant's of it), or what came in during a period. Nothing given:
    all of it. A period is widened to whole quarter hours; `until` is not part of it."""

    message: bytes | None = None
    mailing: bytes | None = None
    variant: str | None = None
    """With a mailing; `""` for messages of none."""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if (self.message is not None) + (self.mailing is not None) + self.is_period > 1:
            raise ValueError("a report is about a message, a mailing or a period")

    @property
    def is_period(self) -> bool:
        return self.since is not None or self.until is not None

    @property
    def quarters(self) -> tuple[int | None, int | None]:
        """The first quarter hour of the period and the first behind it."""
        return (
            None if self.since is None else quarter(self.since),
            None if self.until is None else -(-_micros(self.until) // (QUARTER * 1_000_000)),
        )

    def condition(self) -> Any:
        """On `messages`."""
        if self.message is not None:
            return messages.c.id == self.message
        if self.mailing is not None:
            which = messages.c.mailing_id == self.mailing
            if self.variant is None:
                return which
            return which & (
                messages.c.variant.is_(None) if not self.variant else messages.c.variant == self.variant
            )
        first, behind = self.quarters
        which = true()
        if first is not None:
            which = which & (messages.c.received_at >= moment(first))
        if behind is not None:
            which = which & (messages.c.received_at < moment(behind))
        return which


def quarter(at: datetime) -> int:
    """The quarter hour, in the numbering of `rollups_cells`."""
    return _micros(at) // (QUARTER * 1_000_000)


def moment(slot: int) -> datetime:
    """When a quarter hour begins."""
    return _EPOCH + timedelta(seconds=slot * QUARTER)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def gathered(connection: Connection, scope: Scope, measures: Collection[str]) -> Sums:
    """The sums of these measures over the scope's mail; none that stand under the time when it happened."""
    return Counter(
        {key_: n for key_, n in _counted(connection, scope).items() if key_[0] in measures and key_[1] == 0}
    )


def activity(connection: Connection, scope: Scope, *, since: datetime | None, until: datetime | None) -> Sums:
    """What happened when, in whole quarter hours (and days, of what is gone: measure `past`) of the period."""
    first = -1 if since is None else quarter(since)
    behind = 1 << 40 if until is None else quarter(until)
    found: Sums = Counter()
    for (measure, slot, under), n in _counted(connection, scope).items():
        if (measure in _TIMED and first <= slot < behind) or (
            measure == "past" and first <= slot * _QUARTERS < behind
        ):
            found[measure, slot, under] += n
    return found


def active(connection: Connection, scope: Scope, kind: EventKind, *, since: datetime, until: datetime) -> int:
    """Deliveries with an event by people from `since` until before `until`, each once."""
    theirs = events.join(messages, messages.c.id == events.c.message_id)
    query = (
        select(func.count(distinct(events.c.delivery_id)))
        .select_from(theirs)
        .where(scope.condition(), events.c.kind == kind.value, events.c.verdict.in_(HUMAN))
        .where(events.c.at >= since, events.c.at < until)
    )
    return int(connection.execute(query).scalar_one())


def _counted(connection: Connection, scope: Scope) -> Sums:
    cells: Counter[Cell] = Counter()
    for one in read(connection, matching(connection, scope.condition())):
        add(cells, one.sent._replace(recipients=LARGE), one.now, one.hits)
    add_gone(connection, cells, scope.condition(), each=True)
    sums: Sums = Counter()
    for (subject, measure, slot, under), n in cells.items():
        if subject.startswith(b"m"):
            sums[measure, slot, under] += n
    return sums


def parts(under: str, most: int) -> list[str]:
    """A key's parts; the last may hold anything."""
    return under.split(US, most - 1)
