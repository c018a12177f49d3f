"""Which mail a report is about, and the sums over it.

Reports add cells (`tracker.store.rollups_cells`): those that are kept, and those of what is not rolled up yet. All that
one report adds has to be read in one view of the database (`Database.view`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, distinct, exists, func, or_, select, true

from tracker.events import EventKind
from tracker.store.rollups import tail
from tracker.store.rollups_cells import (
    DAY,
    DOUBTFUL,
    FIGURES,
    FIRST,
    HUMAN,
    LARGE,
    LINKS,
    MACHINE,
    QUARTER,
    TOTAL,
    US,
    VIEW,
    Cell,
    add,
    of_mailing,
    of_message,
)
from tracker.store.rollups_facts import add_gone, matching, read
from tracker.store.schema import events, messages, rollups

_TIMED = (TOTAL, FIRST, VIEW, MACHINE, DOUBTFUL, "delivered")
_QUARTERS = DAY // QUARTER
_DAY_MICROS = DAY * 1_000_000
_FAR = 1 << 30
_KEPT = FIGURES | LINKS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Sums = Counter[tuple[str, int, str]]
"""By measure, slot and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which mail: a message's, a mailing's (or one variant's of it), or what came in during a period. Nothing given:
    all of it. A period is widened to whole quarter hours, and to whole days (UTC) where its mail is split; `until` is not
    part of it."""

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

    def of_days(self) -> Scope:
        """The period widened to whole days (UTC), of which splits are kept."""
        first, behind = self.quarters
        return Scope(
            since=None if first is None else moment(first // _QUARTERS * _QUARTERS),
            until=None if behind is None else moment(-(-behind // _QUARTERS) * _QUARTERS),
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


def day(at: datetime) -> int:
    """The day (UTC) that it lies in, in the same numbering."""
    return _micros(at) // _DAY_MICROS


def moment(slot: int) -> datetime:
    """When a quarter hour begins."""
    return _EPOCH + timedelta(seconds=slot * QUARTER)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def gathered(connection: Connection, scope: Scope, measures: Collection[str]) -> Sums:
    """The sums of these measures over the scope's mail; none that stand under the time when it happened."""
    if scope.message is not None:
        return by_message(connection, [scope.message], measures)[scope.message]
    if scope.is_period and not FIGURES.issuperset(measures):
        scope = scope.of_days()
    sums: Sums = Counter()
    theirs = rollups.c.measure.in_(measures)
    for where in _where(scope):
        query = select(rollups.c.measure, rollups.c.key, func.sum(rollups.c.n)).where(theirs, where)
        for measure, under, n in connection.execute(query.group_by(rollups.c.measure, rollups.c.key)):
            sums[measure, 0, under] += int(n)
    belongs = _of_mailing(scope) if scope.mailing is not None else _in_period(scope)
    for cell, n in tail(connection, scope.condition()).items():
        if cell[1] in measures and belongs(cell):
            sums[cell[1], 0, cell[3]] += n
    return sums


def by_message(
    connection: Connection, ids: Sequence[bytes], measures: Collection[str]
) -> Mapping[bytes, Sums]:
    """The same of each of several messages."""
    found: dict[bytes, Sums] = {id_: Counter() for id_ in ids}
    for (subject, measure, slot, under), n in _message_cells(connection, ids, measures).items():
        if slot == 0 and measure in measures and subject[1:] in found:
            found[subject[1:]][measure, 0, under] += n
    return found


def activity(connection: Connection, scope: Scope, *, since: datetime | None, until: datetime | None) -> Sums:
    """What happened when, in whole quarter hours of the period; and by day (UTC) what is gone of it, measure `past`, with
    days before and behind it, since no time zone's days are those."""
    first = -1 if since is None else quarter(since)
    behind = _FAR if until is None else quarter(until)
    found: Sums = Counter()
    if scope.message is not None:
        cells = _message_cells(connection, [scope.message], (*_TIMED, "past"))
    else:
        for where, begin, end in (
            (_grains(scope, _TIMED, b"q"), first, behind),
            (_grains(scope, ("past",), b"d"), first // _QUARTERS - 1, behind // _QUARTERS + 2),
        ):
            columns = rollups.c.measure, rollups.c.slot, rollups.c.key, rollups.c.n
            query = select(*columns).where(where, rollups.c.slot >= begin, rollups.c.slot < end)
            for measure, slot, under, n in connection.execute(query):
                found[measure, slot, under] += n
        cells = tail(connection, scope.condition())
    belongs = _belongs(scope)
    for cell, n in cells.items():
        _subject, measure, slot, under = cell
        is_in = measure == "past" or (measure in _TIMED and first <= slot < behind)
        if is_in and belongs(cell):
            found[measure, slot, under] += n
    return found


def active(connection: Connection, scope: Scope, kind: EventKind, *, since: datetime, until: datetime) -> int:
    """Deliveries with an event by people from `since` until before `until`, each once. Whole days are added up by the
    day of activity before; what is left at both ends is looked up."""
    first, behind = -(-_micros(since) // _DAY_MICROS), _micros(until) // _DAY_MICROS
    if first >= behind:
        return _looked_up(connection, scope, kind, [(since, until)], None)
    number = active_days(connection, scope, kind, first, behind)
    begin, end = moment(first * _QUARTERS), moment(behind * _QUARTERS)
    edges = [(low, high) for low, high in ((since, begin), (end, until)) if low < high]
    return number + (_looked_up(connection, scope, kind, edges, (begin, end)) if edges else 0)


def active_days(connection: Connection, scope: Scope, kind: EventKind, first: int, behind: int) -> int:
    """The same of whole days (UTC, since 1970) from `first` until before `behind`."""
    if scope.message is not None:
        cells = _message_cells(connection, [scope.message], ("day",))
    else:
        where = _grains(scope, ("day",), b"d")
        query = select(rollups).where(where, rollups.c.slot >= first, rollups.c.slot < behind)
        cells = Counter()
        for row in connection.execute(query):
            cells[bytes(row.subject), row.measure, row.slot, row.key] += row.n
        cells.update(tail(connection, scope.condition()))
    belongs, number = _belongs(scope), 0
    for cell, n in cells.items():
        if cell[1] == "day" and first <= cell[2] < behind and belongs(cell):
            of, before = parts(cell[3], 2)
            number += n if of == kind.value and (not before or int(before) < first) else 0
    return number


def variants_of(connection: Connection, mailing: bytes) -> list[str]:
    """The variants of a mailing, `""` for messages of none."""
    kept = select(rollups.c.subject).where(_variants(mailing, None), rollups.c.measure == "state").distinct()
    begin = len(of_mailing(mailing))
    found = {bytes(one)[begin:].decode() for one in connection.execute(kept).scalars()}
    found |= {
        cell[0][begin:].decode()
        for cell in tail(connection, messages.c.mailing_id == mailing)
        if cell[0][:1] == b"c"
    }
    return sorted(found)


# --- where sums stand ---

_Belongs = Callable[[Cell], bool]


def _message_cells(connection: Connection, ids: Sequence[bytes], measures: Collection[str]) -> Counter[Cell]:
    """Cells of messages' own; of those that are too small to have any they are counted now."""
    sizes = select(messages.c.id, messages.c.recipients).where(messages.c.id.in_(ids))
    rows = connection.execute(sizes).all()
    # No splits are kept of a message.
    least = LARGE if _KEPT.issuperset(measures) else _FAR
    small = [bytes(row.id) for row in rows if row.recipients < least]
    large = [bytes(row.id) for row in rows if row.recipients >= least]
    cells: Counter[Cell] = Counter()
    if small:
        which = messages.c.id.in_(small)
        for one in read(connection, matching(connection, which)):
            add(cells, one.sent, one.now, one.hits, alone=True)
        add_gone(connection, cells, which, alone=True)
    if large:
        subjects = rollups.c.subject.in_([of_message(one) for one in large])
        for row in connection.execute(select(rollups).where(subjects, rollups.c.measure.in_(measures))):
            cells[bytes(row.subject), row.measure, row.slot, row.key] += row.n
        cells.update(tail(connection, messages.c.id.in_(large)))
    return Counter({cell: n for cell, n in cells.items() if cell[0][:1] == b"m"})


def _where(scope: Scope) -> Iterator[Any]:
    """Where the sums of a mailing or a period stand: whole days, and quarter hours at both ends."""
    if scope.mailing is not None:
        yield _variants(scope.mailing, scope.variant)
        return
    subject, slot = rollups.c.subject, rollups.c.slot
    first, behind = scope.quarters
    begin, end = -1 if first is None else first, _FAR if behind is None else behind
    days = -(-begin // _QUARTERS) if first is not None else -1, end // _QUARTERS
    if days[0] >= days[1]:
        yield (subject == b"q") & (slot >= begin) & (slot < end)
        return
    yield (subject == b"d") & (slot >= days[0]) & (slot < days[1])
    for low, high in ((begin, days[0] * _QUARTERS), (days[1] * _QUARTERS, end)):
        if (first is None and low == begin) or (behind is None and high == end):
            continue
        if low < high:
            yield (subject == b"q") & (slot >= low) & (slot < high)


def _variants(mailing: bytes, variant: str | None) -> Any:
    begin = of_mailing(mailing)
    if variant is not None:
        return rollups.c.subject == of_mailing(mailing, variant)
    return (rollups.c.subject >= begin) & (rollups.c.subject < begin + b"\xff")


def _grains(scope: Scope, measures: Collection[str], grain: bytes) -> Any:
    theirs = rollups.c.measure.in_(measures)
    if scope.mailing is not None:
        return theirs & _variants(scope.mailing, scope.variant)
    return theirs & (rollups.c.subject == grain)


def _belongs(scope: Scope) -> _Belongs:
    """Whether a cell that stands under the time when it happened is one of the scope's."""
    if scope.message is not None:
        return lambda _: True
    if scope.mailing is not None:
        return _of_mailing(scope)
    return lambda cell: cell[0] == (b"d" if cell[1] in ("past", "day") else b"q")


def _of_mailing(scope: Scope) -> _Belongs:
    mailing = of_mailing(scope.mailing or b"")
    if scope.variant is not None:
        whole = of_mailing(scope.mailing or b"", scope.variant)
        return lambda cell: cell[0] == whole
    return lambda cell: cell[0].startswith(mailing)


def _in_period(scope: Scope) -> _Belongs:
    first, behind = scope.quarters
    begin, end = -1 if first is None else first, _FAR if behind is None else behind
    if scope == scope.of_days():
        low, high = begin // _QUARTERS, end // _QUARTERS
        return lambda cell: cell[0] == b"d" and low <= cell[2] < high
    return lambda cell: cell[0] == b"q" and begin <= cell[2] < end


def _looked_up(
    connection: Connection,
    scope: Scope,
    kind: EventKind,
    spans: Sequence[tuple[datetime, datetime]],
    but: tuple[datetime, datetime] | None,
) -> int:
    """Deliveries with an event in one of the spans and none in `but`."""
    theirs: Any = events
    which: list[Any] = [events.c.kind == kind.value, events.c.verdict.in_(HUMAN)]
    which.append(or_(*((events.c.at >= low) & (events.c.at < high) for low, high in spans)))
    if scope.message is not None:
        which.append(events.c.message_id == scope.message)
    elif scope.mailing is not None:
        theirs = events.join(messages, messages.c.id == events.c.message_id)
        which.append(scope.condition())
    if but is not None:
        other = events.alias()
        which.append(
            ~exists().where(
                other.c.delivery_id == events.c.delivery_id,
                other.c.kind == kind.value,
                other.c.verdict.in_(HUMAN),
                other.c.at >= but[0],
                other.c.at < but[1],
            )
        )
    query = select(func.count(distinct(events.c.delivery_id))).select_from(theirs).where(*which)
    return int(connection.execute(query).scalar_one())


def parts(under: str, most: int) -> list[str]:
    """A key's parts; the last may hold anything."""
    return under.split(US, most - 1)
