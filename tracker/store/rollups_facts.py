"""Reads what `rollups_cells` adds up: deliveries with their message, events, and upstream's last word.

Each is read twice over: as it is, and as it was when it was last rolled up. What a row was is on the row: a delivery
keeps what it was rolled up as, an event the verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, select

from tracker.store.rollups_cells import (
    DELIVERED,
    US,
    Cell,
    Facts,
    Gone,
    Hit,
    Sent,
    add_carried,
    add_settled,
    key,
)
from tracker.store.schema import (
    Id,
    attempts,
    carried_deliveries,
    carried_totals,
    deliveries,
    events,
    messages,
)

_EPOCH = date(1970, 1, 1)
AT_ONCE = 500
"""Deliveries in one question."""
_IDS: Any = bindparam("b_ids", expanding=True, type_=Id)
_SENT = (
    deliveries.c.id,
    deliveries.c.status,
    deliveries.c.mode,
    deliveries.c.reason,
    deliveries.c.domain,
    deliveries.c.grp,
    deliveries.c.accepted_at,
    deliveries.c.rolled,
    deliveries.c.message_id,
    messages.c.mailing_id,
    messages.c.variant,
    messages.c.received_at,
    messages.c.recipients,
)
_HIT = (
    events.c.delivery_id,
    events.c.kind,
    events.c.at,
    events.c.link,
    events.c.verdict,
    events.c.client,
    events.c.device,
    events.c.system,
    events.c.country,
    events.c.rolled,
    events.c.id,
)
_OF_MESSAGES = deliveries.join(messages, messages.c.id == deliveries.c.message_id)
_DELIVERIES: Select[Any] = select(*_SENT).select_from(_OF_MESSAGES).where(deliveries.c.id.in_(_IDS))
_HELD = _DELIVERIES.order_by(deliveries.c.id).with_for_update(of=deliveries, skip_locked=True)
_EVENTS: Select[Any] = (
    select(*_HIT)
    .where(events.c.delivery_id.in_(_IDS))
    .order_by(events.c.delivery_id, events.c.at, events.c.id)
)
_LAST = (
    select(func.max(attempts.c.id)).where(attempts.c.delivery_id.in_(_IDS)).group_by(attempts.c.delivery_id)
)
_ATTEMPTS = select(attempts.c.delivery_id, attempts.c.code, attempts.c.enhanced).where(
    attempts.c.id.in_(_LAST)
)


class Mark(NamedTuple):
    """An event that is to be rolled up."""

    id: int
    verdict: str
    rolled: str
    """The verdict under which it was; `""` for never."""


@dataclass(slots=True)
class Sides:
    """A delivery as it is, and as it was rolled up."""

    id: bytes
    sent: Sent
    now: Facts
    hits: list[Hit] = field(default_factory=list)
    before: Facts | None = None
    """None where it is in no rollup."""
    hits_before: list[Hit] = field(default_factory=list)
    unrolled: list[Mark] = field(default_factory=list)
    """Events that are not rolled up as they are."""


def read(connection: Connection, ids: Sequence[bytes]) -> Iterator[Sides]:
    """Both sides of each of these deliveries that there is."""
    for start in range(0, len(ids), AT_ONCE):
        yield from _some(connection, ids[start : start + AT_ONCE])


def matching(connection: Connection, which: Any) -> list[bytes]:
    """The deliveries of messages, or among deliveries, for which `which` is true."""
    query = select(deliveries.c.id).select_from(_OF_MESSAGES).where(which).order_by(deliveries.c.id)
    return [bytes(one) for one in connection.execute(query).scalars()]


def add_gone(connection: Connection, cells: Counter[Cell], which: Any, *, alone: bool = False) -> None:
    """Adds what is carried of messages for which `which` is true; with `alone` to the messages only."""
    totals = select(carried_totals, *_HEADING).join(messages, messages.c.id == carried_totals.c.subject_id)
    for row in connection.execute(totals.where(which)):
        _add_total(cells, row._asdict(), sent_of(row.subject_id, row), alone=alone)
    settled = select(carried_deliveries, *_HEADING).join(
        messages, messages.c.id == carried_deliveries.c.subject_id
    )
    for row in connection.execute(settled.where(which)):
        sent = sent_of(row.subject_id, row)
        add_settled(cells, sent, row.status, row.mode, row.reason, row.n, alone=alone)


def rolled_totals(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Counter[Cell]:
    """What rows of carried_totals come to, those of messages."""
    cells: Counter[Cell] = Counter()
    sent = _headings(connection, {row["subject_id"] for row in rows})
    for row in rows:
        if row["subject_id"] in sent:
            _add_total(cells, row, sent[row["subject_id"]])
    return cells


def rolled_deliveries(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Counter[Cell]:
    """What rows of carried_deliveries come to, those of messages."""
    cells: Counter[Cell] = Counter()
    sent = _headings(connection, {row["subject_id"] for row in rows})
    for row in rows:
        if row["subject_id"] in sent:
            add_settled(cells, sent[row["subject_id"]], row["status"], row["mode"], row["reason"], row["n"])
    return cells


_HEADING = [messages.c[name] for name in ("mailing_id", "variant", "received_at", "recipients")]


def _headings(connection: Connection, ids: Iterable[bytes]) -> dict[bytes, Sent]:
    rows = connection.execute(select(messages.c.id, *_HEADING).where(messages.c.id.in_(list(ids))))
    return {bytes(row.id): sent_of(row.id, row) for row in rows}


def _add_total(cells: Counter[Cell], row: Mapping[str, Any], sent: Sent, *, alone: bool = False) -> None:
    day = (date.fromisoformat(row["day"]) - _EPOCH).days if row["day"] else -1
    gone = Gone(row["measure"], row["kind"], row["verdict"], row["link"], day)
    add_carried(cells, sent, gone, row["n"], alone=alone)


def sent_of(message: bytes, row: Any) -> Sent:
    """`row`: mailing_id, variant, received_at and recipients of the message."""
    received = int(row.received_at.timestamp())
    return Sent(bytes(message), bytes(row.mailing_id), row.variant or "", received, row.recipients)


def _some(connection: Connection, ids: Sequence[bytes]) -> Iterable[Sides]:
    found = states(connection, ids)
    for row in connection.execute(_EVENTS, {"b_ids": list(ids)}):
        one = found.get(bytes(row[0]))
        if one is not None:
            _add(one, row)
    return found.values()


def states(connection: Connection, ids: Sequence[bytes], *, hold: bool = False) -> dict[bytes, Sides]:
    """The same without events. With `hold` nobody else changes them, or adds or removes events, while the transaction
    lasts; those that somebody else is at are left out."""
    query = _HELD if hold else _DELIVERIES
    rows = connection.execute(query, {"b_ids": list(ids)}).all()
    failed = [bytes(row.id) for row in rows if row.status not in DELIVERED]
    replies: dict[bytes, str] = {}
    if failed:
        last = connection.execute(_ATTEMPTS, {"b_ids": failed})
        replies = {bytes(row[0]): key(row[1], row[2]) for row in last}
    return {bytes(row.id): _sides(row, replies.get(bytes(row.id), "")) for row in rows}


def _sides(row: Any, reply: str) -> Sides:
    domain, group = row.domain, row.grp or ""
    return Sides(
        id=bytes(row.id),
        sent=sent_of(row.message_id, row),
        now=Facts(row.status, row.mode, row.reason, domain, group, _seconds(row.accepted_at), reply),
        before=None if row.rolled is None else _unpacked(row.rolled, domain, group),
    )


def _add(one: Sides, row: Any) -> None:
    _delivery, kind, at, link, verdict, client, device, system, country, rolled, id_ = row
    hit = Hit(kind, at.timestamp(), link or 0, verdict, client, device, system, country)
    one.hits.append(hit)
    if rolled != verdict:
        one.unrolled.append(Mark(id_, verdict, rolled))
    if rolled:
        one.hits_before.append(hit if rolled == verdict else hit._replace(verdict=rolled))


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def packed(facts: Facts) -> str:
    """What a delivery was rolled up as, but for what only an erasure changes."""
    accepted = "" if facts.accepted is None else repr(facts.accepted)
    return key(facts.status, facts.mode, facts.reason, accepted, facts.reply)


def _unpacked(rolled: str, domain: str, group: str) -> Facts:
    status, mode, reason, accepted, reply = rolled.split(US, 4)
    return Facts(status, mode, reason, domain, group, float(accepted) if accepted else None, reply)
