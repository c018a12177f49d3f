"""Rollups: the sums that reports show, kept as mail and hits come in.

What a delivery adds to each sum is said in `rollups_cells`. A delivery or event that is new, or has changed, is not
rolled up yet as it is: `unrolled`, or a verdict that differs from `rolled`. Reports add those few live (`tail`), so
that they are exact at every moment; `take` and `put` roll them up a batch at a time.

Whoever changes what a delivery adds has one of two ways. A new state or a new verdict needs nothing but the mark: the
row knows what it was rolled up as. Before a delivery or an event goes, or no longer says whose it is, `take_back`
subtracts it in the same transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    text,
    update,
)

from tracker.store.messages import OWN_REPORT
from tracker.store.prepared import drive, execute
from tracker.store.rollups_cells import Cell, Facts, add
from tracker.store.rollups_facts import Mark, Sides, Signs, asked, packed, read, signs, states
from tracker.store.schema import Id, deliveries, events, messages, rollups

_WAITS = literal_column("deliveries.unrolled") == literal_column("1")
_DIFFERS = literal_column("events.rolled") != literal_column("events.verdict")
"""Word for word as the partial indexes have them, or they are not used."""
_MAY_BE_WITHDRAWN = deliveries.c.status.in_(("new", "queued", "deferred")) & exists().where(
    messages.c.id == deliveries.c.message_id, messages.c.untouched == OWN_REPORT
)
"""A report of ours that is not on its way yet: it may go without a trace."""
_ADD = text(
    "INSERT INTO rollups (subject, measure, slot, key, n) VALUES (:subject, :measure, :slot, :key, :n)"
    " ON CONFLICT (subject, measure, slot, key) DO UPDATE SET n = rollups.n + excluded.n"
).bindparams(bindparam("subject", type_=rollups.c.subject.type))
_DRIVER = (
    "INSERT INTO rollups (subject, measure, slot, key, n) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (subject, measure, slot, key) DO UPDATE SET n = n + excluded.n"
)
"""`_ADD` as SQLite's driver takes it."""
_CELL = {
    name: bindparam(f"b_{name}", type_=rollups.c[name].type) for name in ("subject", "measure", "slot", "key")
}
_SWEEP = delete(rollups).where(*(rollups.c[name] == bound for name, bound in _CELL.items()), rollups.c.n == 0)
_ROLLED = (
    "UPDATE deliveries SET rolled = ?, unrolled = 0, opened_at = ?, clicked_at = ?, alive_at = ?, silent_at = ?"
    " WHERE id = ?"
)
_COUNTED = "UPDATE events SET rolled = ? WHERE id IN ({marks})"
_IDS: Any = bindparam("b_ids", expanding=True, type_=Id)
_IN_ROLLUPS = select(deliveries.c.id).where(deliveries.c.id.in_(_IDS), deliveries.c.rolled.is_not(None))
_FORGET = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("b_id", type_=Id))
    .values(rolled=None, unrolled=1, opened_at=None, clicked_at=None, alive_at=None, silent_at=None)
)
_UNCOUNT = (
    update(events)
    .where(events.c.delivery_id == bindparam("b_id", type_=Id), events.c.rolled != "")
    .values(rolled="")
)
_AS_READ = "SELECT id, verdict, rolled FROM events WHERE id {ids}"
_AT_ONCE = 500
_ID = itemgetter(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Deliveries that wait to be rolled up, and what that adds to the sums."""

    states: Mapping[bytes, tuple[Facts, Facts | None]]
    """As they are, and as they were rolled up."""
    marks: Sequence[Mark]
    signs: Mapping[bytes, Signs]
    delta: Mapping[Cell, int]


def take(connection: Connection, most: int) -> Batch | None:
    """Reads so many that wait; None where nothing does. Nothing is held or written."""
    ids = _waiting(connection, most)
    return batch_of(connection, ids) if ids else None


def batch_of(connection: Connection, ids: Sequence[bytes]) -> Batch:
    """The same of these deliveries."""
    found = list(read(connection, ids))
    return Batch(
        states={one.id: (one.now, one.before) for one in found},
        marks=[mark for one in found for mark in one.unrolled],
        signs={one.id: signs(one.received, one.now, one.hits) for one in found},
        delta=_delta(found),
    )


def put(connection: Connection, batch: Batch) -> bool:
    """Adds a batch to the sums, and marks it. False, and nothing is done, where any of it has changed since it was read:
    it waits still. A new event is no change, it waits by itself."""
    ids = list(batch.states)
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        now = states(connection, some, hold=True)
        if any(id_ not in now or (now[id_].now, now[id_].before) != batch.states[id_] for id_ in some):
            return False
    for start in range(0, len(batch.marks), _AT_ONCE):
        part = batch.marks[start : start + _AT_ONCE]
        rows = asked(connection, _AS_READ, [mark.id for mark in part])
        if {tuple(row) for row in rows} != set(part):
            return False
    _write(connection, batch.delta)
    drive(
        connection,
        _in_style(connection, _ROLLED),
        sorted(((packed(now), *batch.signs[id_], id_) for id_, (now, _) in batch.states.items()), key=_ID),
    )
    _mark(connection, batch.marks)
    return True


def _mark(connection: Connection, marks: Sequence[Mark]) -> None:
    by_verdict: dict[str, list[int]] = {}
    for mark in marks:
        by_verdict.setdefault(mark.verdict, []).append(mark.id)
    for verdict, ids in sorted(by_verdict.items()):
        ids.sort()
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            sql = _COUNTED.format(marks=", ".join("?" * len(some)))
            drive(connection, _in_style(connection, sql), [(verdict, *some)])


def _in_style(connection: Connection, sql: str) -> str:
    """With marks as the driver has them."""
    if connection.dialect.name == "sqlite":
        return sql
    first, *others = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))


def take_back(connection: Connection, ids: Collection[bytes]) -> None:
    """Subtracts what these deliveries have added; they wait to be rolled up as what they will be. The caller holds them,
    changes or removes them next, and writes no event of theirs before."""
    asked = sorted(ids)
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        there = [bytes(one) for one in connection.execute(_IN_ROLLUPS, {"b_ids": some}).scalars()]
        if not there:
            continue
        delta: Counter[Cell] = Counter()
        for one in read(connection, there):
            _subtract(delta, one)
        _write(connection, delta)
        rows = [{"b_id": id_} for id_ in there]
        execute(connection, [(_FORGET, rows), (_UNCOUNT, rows)])


def tail(connection: Connection, which: Any = None) -> Counter[Cell]:
    """What is to be added to the sums for what is not rolled up yet; of messages for which `which` is true."""
    return _delta(read(connection, _waiting(connection, None, which)))


def add_at_once(connection: Connection, cells: Mapping[Cell, int]) -> None:
    """Adds sums that no delivery stands for any more."""
    _write(connection, cells)


def waiting(connection: Connection) -> int:
    """How many events and deliveries are not rolled up as they are."""
    of_events = select(func.count()).select_from(events).where(_DIFFERS).scalar_subquery()
    of_deliveries = select(func.count()).select_from(deliveries).where(_WAITS).scalar_subquery()
    return int(connection.execute(select(of_events + of_deliveries)).scalar_one())


def people_waiting(connection: Connection) -> set[str]:
    """Recipients of deliveries that are not rolled up as they are: what is kept of them is not the last word."""
    of_events = select(events.c.delivery_id).where(_DIFFERS)
    # Of whom there is none left is seen here: SQLite would go through everybody who is named for it.
    theirs = select(deliveries.c.recipient)
    found: set[str | None] = set()
    for which in (_WAITS, deliveries.c.id.in_(of_events)):
        found.update(connection.execute(theirs.where(which)).scalars())
    return {one for one in found if one is not None}


def _waiting(connection: Connection, most: int | None, which: Any = None) -> list[bytes]:
    ids: dict[bytes, None] = {}
    # No DISTINCT: SQLite would go through every event in the order of deliveries to save itself the sorting.
    of_events = select(events.c.delivery_id).where(_DIFFERS)
    of_deliveries = select(deliveries.c.id).where(_WAITS)
    if which is not None:
        # Not joined: SQLite would go through all of the messages' events for the few that wait.
        of_events = of_events.where(exists().where(messages.c.id == events.c.message_id, which))
        of_deliveries = of_deliveries.where(exists().where(messages.c.id == deliveries.c.message_id, which))
    if most is not None:
        of_deliveries = of_deliveries.where(~_MAY_BE_WITHDRAWN)
    for query in (of_events, of_deliveries):
        left = None if most is None else most - len(ids)
        if left is None or left > 0:
            ids |= {bytes(one): None for one in connection.execute(query.limit(left)).scalars()}
    return list(ids)


def _delta(some: Iterable[Sides]) -> Counter[Cell]:
    delta: Counter[Cell] = Counter()
    for one in some:
        _subtract(delta, one)
        add(delta, one.sent, one.now, one.hits)
    return delta


def _subtract(delta: Counter[Cell], one: Sides) -> None:
    if one.before is not None:
        add(delta, one.sent, one.before, one.hits_before, sign=-1)


def _write(connection: Connection, delta: Mapping[Cell, int]) -> None:
    """In one order, so that two transactions never wait for each other. A sum that came to nothing goes: its key may
    name what only one person stood for."""
    names = ("subject", "measure", "slot", "key")
    ordered = [(cell, n) for cell, n in sorted(delta.items()) if n]
    if connection.dialect.name == "sqlite" and ordered:
        drive(connection, _DRIVER, [(*cell, n) for cell, n in ordered])
    else:
        execute(connection, [(_ADD, [dict(zip(names, cell, strict=True), n=n) for cell, n in ordered])])
    less = [
        {f"b_{name}": value for name, value in zip(names, cell, strict=True)} for cell, n in ordered if n < 0
    ]
    execute(connection, [(_SWEEP, less)])
