"""The hits of deliveries as they are on record, judged again together, and what changes put down.

Whoever judges holds the deliveries (`FOR UPDATE`), as the purge and an erasure do, so that two nodes never write a
verdict that rests on less than the other's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from tracker.behaviour import PAGE_WITHIN, PROVISIONAL, History, Kinds, Seen, Span, judge
from tracker.events import EventKind, Verdict, VerdictKind
from tracker.store.question import Question
from tracker.store.schema import deliveries, events, page_visits
from tracker.verdict import RULES, TOO_SOON_REASON

MOST = 2000
"""Hits that are judged together; with more, a delivery's are taken slice by slice."""
VISITS_KEPT = timedelta(minutes=10)
_AROUND = timedelta(seconds=PROVISIONAL)
"""What happened so long before may bear on a hit."""
_REACH = timedelta(seconds=70)
"""What happens so much later may still bear on a hit."""

_UPDATE = (
    update(events)
    .where(events.c.id == bindparam("b_id"))
    .values(verdict=bindparam("b_verdict"), verdict_reasons=bindparam("b_reasons"), rules=RULES)
)
_HIT = (
    events.c.id,
    events.c.delivery_id,
    events.c.kind,
    events.c.at,
    events.c.link,
    events.c.verdict,
    events.c.verdict_reasons,
    events.c.rules,
)
_IDS: BindParameter[Sequence[bytes]] = bindparam("b_ids", expanding=True)
_BEGIN = bindparam("b_begin", type_=events.c.at.type)
_HAS_REASON = (events.c.verdict_reasons != "") | (events.c.verdict != VerdictKind.PERSON.value)
_DOUBTFUL = Question(
    select(events.c.delivery_id)
    .where(events.c.delivery_id.in_(_IDS), events.c.at >= _BEGIN)
    .group_by(events.c.delivery_id)
    .having(
        (func.min(events.c.link) != func.max(events.c.link)) | (func.sum(case((_HAS_REASON, 1), else_=0)) > 0)
    )
)
_VISITED = Question(
    select(page_visits.c.delivery_id).where(page_visits.c.delivery_id.in_(_IDS), page_visits.c.at >= _BEGIN)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be judged again of some deliveries: hits from `since` on, in the light of what was before."""

    since: datetime
    spreads: Mapping[bytes, Sequence[Span]] = field(default_factory=dict)
    now: datetime


def differing(connection: Connection, ids: Sequence[bytes], wanted: Wanted, kinds: Kinds) -> set[bytes]:
    """Of these deliveries, those of which a verdict would change; nothing is held or written."""
    worth = sorted(doubtful(connection, ids, wanted))
    if not worth:
        return set()
    return {id_ for id_, changes in _judged(connection, worth, wanted, kinds).items() if changes}


def doubtful(connection: Connection, ids: Sequence[bytes], wanted: Wanted) -> set[bytes]:
    """Of these deliveries, those whose hits can tell anything together that each did not tell by itself.

    Every rule needs one of these: clicks on two different links, a hit that had a reason of its own (what came too
    soon has one), a look at the preference page, hits from many networks. Asked of the database, which counts without
    giving the rows out; most who click have clicked on one link."""
    begin = wanted.since - _AROUND
    found = {id_ for id_ in ids if wanted.spreads.get(id_)}
    for question in (_DOUBTFUL, _VISITED):
        found.update(bytes(row.delivery_id) for row in question.rows(connection, b_ids=ids, b_begin=begin))
    return found


def put_right(connection: Connection, ids: Sequence[bytes], wanted: Wanted, kinds: Kinds) -> int:
    """Judges again what `wanted` says, and writes what changes; gives the number of events."""
    hold(connection, ids)
    changes = [one for some in _judged(connection, ids, wanted, kinds).values() for one in some]
    if changes:
        connection.execute(_UPDATE, changes)
    return len(changes)


def hold(connection: Connection, ids: Collection[bytes]) -> None:
    """Nobody else adds, removes or judges a hit of these deliveries while the transaction lasts."""
    connection.execute(
        select(deliveries.c.id).where(deliveries.c.id.in_(ids)).order_by(deliveries.c.id).with_for_update()
    )


def _judged(
    connection: Connection, ids: Sequence[bytes], wanted: Wanted, kinds: Kinds
) -> dict[bytes, list[dict[str, object]]]:
    begin = wanted.since - _AROUND
    rows = connection.execute(
        select(*_HIT)
        .where(events.c.delivery_id.in_(ids), events.c.at >= begin)
        .order_by(events.c.delivery_id, events.c.at.desc(), events.c.id.desc())
        .limit(MOST + 1)
    ).all()
    if len(rows) > MOST and len(ids) > 1:  # one of them is being flooded, and must not hide the others
        found: dict[bytes, list[dict[str, object]]] = {}
        for one in ids:
            found |= _judged(connection, [one], wanted, kinds)
        return found
    by_delivery: dict[bytes, list[Any]] = defaultdict(list)
    for row in reversed(rows):
        by_delivery[bytes(row.delivery_id)].append(row)
    accepted, visits = acceptances(connection, by_delivery), _visits(connection, by_delivery, begin)
    known_from = (wanted.now - VISITS_KEPT + timedelta(seconds=PAGE_WITHIN)).timestamp()
    settled = wanted.since.timestamp()
    changes = {}
    for id_, theirs in by_delivery.items():
        history = History(
            hits=[seen(row) for row in theirs],
            accepted_at=accepted.get(id_),
            visits=visits.get(id_, ()),
            visits_since=known_from,
            spreads=wanted.spreads.get(id_, ()),
        )
        pairs = zip(theirs, judge(history, kinds), strict=True)
        changes[id_] = [
            changed(row, found)
            for row, found in pairs
            if row.at.timestamp() >= settled and differs(row, found)
        ]
    return changes


def seen(row: Any) -> Seen:
    return Seen(
        kind=EventKind(row.kind),
        at=row.at.timestamp(),
        link=row.link,
        verdict=Verdict(
            kind=VerdictKind(row.verdict), reasons=tuple(row.verdict_reasons.split()), rules=row.rules
        ),
    )


def differs(row: Any, found: Verdict) -> bool:
    return bool(row.verdict != found.kind.value or row.verdict_reasons != " ".join(found.reasons))


def changed(row: Any, found: Verdict) -> dict[str, object]:
    return {"b_id": row.id, "b_verdict": found.kind.value, "b_reasons": " ".join(found.reasons)}


def acceptances(connection: Connection, ids: Collection[bytes]) -> dict[bytes, float | None]:
    """When upstream took each (Unix seconds); None where it has not."""
    query = select(deliveries.c.id, deliveries.c.accepted_at).where(deliveries.c.id.in_(ids))
    return {
        bytes(row.id): row.accepted_at.timestamp() if row.accepted_at else None
        for row in connection.execute(query)
    }


def _visits(connection: Connection, ids: Collection[bytes], begin: datetime) -> dict[bytes, list[float]]:
    query = (
        select(page_visits.c.delivery_id, page_visits.c.at)
        .where(page_visits.c.delivery_id.in_(ids), page_visits.c.at >= begin)
        .order_by(page_visits.c.at)
    )
    found: dict[bytes, list[float]] = defaultdict(list)
    for row in connection.execute(query):
        found[bytes(row.delivery_id)].append(row.at.timestamp())
    return found


# --- slice by slice, for whoever goes through all of them ---


class Slice(NamedTuple):
    """What was judged of a delivery."""

    until: datetime | None
    """Where to go on; None when there are no more."""
    judged: int
    changed: int


def judge_whole(connection: Connection, id_: bytes, after: datetime | None, kinds: Kinds) -> Slice:
    """Judges a delivery's hits later than `after`, as many as are judged together, by their lasting facts, and marks
    them as judged by these rules."""
    hold(connection, [id_])
    mine = select(*_HIT).where(events.c.delivery_id == id_)
    later, order = mine if after is None else mine.where(events.c.at > after), (events.c.at, events.c.id)
    rows = list(connection.execute(later.order_by(*order).limit(MOST + 1)))
    is_last, rows = len(rows) <= MOST, rows[:MOST]
    if not rows:
        return Slice(None, 0, 0)
    end = rows[-1].at
    if not is_last and end - _REACH > rows[0].at:
        end -= _REACH  # what is later is judged in the next slice, when it is known what followed
    if after is not None:
        around = mine.where(events.c.at <= after, events.c.at >= after - _AROUND)
        rows[:0] = reversed(
            connection.execute(around.order_by(*(one.desc() for one in order)).limit(MOST)).all()
        )
    history = History(
        hits=[seen(row) for row in rows],
        accepted_at=acceptances(connection, [id_]).get(id_),
        visits=(),
    )
    judged = [
        (row, found)
        for row, found in zip(rows, judge(history, kinds), strict=True)
        if (after is None or row.at > after) and row.at <= end
    ]
    rewritten = [changed(row, found) for row, found in judged if differs(row, found) or row.rules != RULES]
    if rewritten:
        connection.execute(_UPDATE, rewritten)
    return Slice(None if is_last else end, len(judged), sum(differs(row, found) for row, found in judged))


# --- looks at the preference page ---


def note_visits(connection: Connection, visits: Sequence[tuple[bytes, datetime]]) -> None:
    connection.execute(insert(page_visits), [{"delivery_id": id_, "at": at} for id_, at in visits])


def forget_visits(connection: Connection, ids: Collection[bytes]) -> None:
    """Of deliveries whose reader has made a choice there, or that are going."""
    connection.execute(delete(page_visits).where(page_visits.c.delivery_id.in_(ids)))


def forget_old_visits(connection: Connection, now: datetime) -> int:
    return connection.execute(delete(page_visits).where(page_visits.c.at < now - VISITS_KEPT)).rowcount


# --- which deliveries ---


def hit_since(connection: Connection, since: datetime, after: bytes, most: int) -> list[bytes]:
    """Deliveries behind `after` with hits since then whose verdict may rest on too little: there are several, or one
    that came too soon for what was on record then."""
    soon = func.sum(case((events.c.verdict_reasons.contains(TOO_SOON_REASON), 1), else_=0))
    query = (
        select(events.c.delivery_id)
        .where(events.c.at >= since, events.c.delivery_id > after)
        .group_by(events.c.delivery_id)
        .having((func.count() > 1) | (soon > 0))
        .order_by(events.c.delivery_id)
        .limit(most)
    )
    return [bytes(one) for one in connection.execute(query).scalars()]


def judged_otherwise(
    connection: Connection, after: int, most: int, *, every: bool
) -> list[tuple[int, bytes]]:
    """The next events (id, delivery) behind `after` that other rules judged; all of them with `every`."""
    query = select(events.c.id, events.c.delivery_id).where(events.c.id > after)
    if every:  # each delivery once, at its first event
        earlier = events.alias()
        query = query.where(
            ~exists().where(earlier.c.delivery_id == events.c.delivery_id, earlier.c.id < events.c.id)
        )
    else:
        query = query.where(events.c.rules != RULES)
    rows = connection.execute(query.order_by(events.c.id).limit(most)).all()
    return [(row.id, bytes(row.delivery_id)) for row in rows]
