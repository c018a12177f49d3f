"""Reads what `rollups_cells` adds up: deliveries with their message, events, and upstream's last word.

Each is read twice over: as it is, and as it was when it was last rolled up. What a row was is on the row: a delivery
keeps what it was rolled up as, an event the verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from tracker.consent import Mode
from tracker.events import EventKind
from tracker.store.rollups_cells import (
    DELIVERED,
    HUMAN,
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
from tracker.store.schema import carried_deliveries, carried_totals, deliveries, messages

_EPOCH = date(1970, 1, 1)
_OPENED, _CLICKED = EventKind.OPENED.value, EventKind.CLICKED.value
_MEASURED = Mode.IDENTIFIED.value, Mode.HYGIENE.value
AT_ONCE = 500
"""Deliveries in one question."""
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_BEGIN = datetime(1970, 1, 1)  # noqa: DTZ001 - as SQLite writes moments
_SENT = (
    "SELECT d.id, d.status, d.mode, d.reason, d.domain, d.grp, d.accepted_at, d.rolled, d.message_id,"
    " m.mailing_id, m.variant, m.received_at, m.recipients"
    " FROM deliveries d JOIN messages m ON m.id = d.message_id WHERE d.id {ids}"
)
_HITS = (
    "SELECT delivery_id, kind, at, link, verdict, client, device, system, country, rolled, id"
    " FROM events WHERE delivery_id {ids} ORDER BY delivery_id, at, id"
)
_REPLIES = (
    "SELECT delivery_id, code, enhanced FROM attempts WHERE id IN"
    " (SELECT max(id) FROM attempts WHERE delivery_id {ids} GROUP BY delivery_id)"
)
_OF_MESSAGES = deliveries.join(messages, messages.c.id == deliveries.c.message_id)


def asked(connection: Connection, sql: str, values: Sequence[Any]) -> Sequence[Any]:
    """The rows of a question about some values, `{ids}` in it, as the driver gives them: there are many, and what
    SQLAlchemy would make of each takes longer than to read it."""
    if connection.dialect.name == "sqlite":
        marks = sql.format(ids=f"IN ({','.join('?' * len(values))})")
        return connection.exec_driver_sql(marks, tuple(values)).all()
    return connection.exec_driver_sql(sql.format(ids="= ANY($1)"), (list(values),)).all()


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
    received: int
    """Unix microseconds."""
    now: Facts
    hits: list[Hit] = field(default_factory=list)
    before: Facts | None = None
    """None where it is in no rollup."""
    hits_before: list[Hit] = field(default_factory=list)
    unrolled: list[Mark] = field(default_factory=list)
    """Events that are not rolled up as they are."""


class Signs(NamedTuple):
    """What is kept on a delivery of when its recipient last did something. Unix microseconds."""

    opened: int | None = None
    clicked: int | None = None
    alive: int | None = None
    """Either."""
    silent: int | None = None
    """When it came in, where it was measured and nobody did anything since."""


def signs(received: int, facts: Facts, hits: Iterable[Hit]) -> Signs:
    """`received` in Unix microseconds."""
    last: dict[str, int] = {}
    for hit in hits:
        if hit.verdict in HUMAN:
            last[hit.kind] = max(last.get(hit.kind, 0), round(hit.at * 1_000_000))
    alive = max(last.values()) if last else None
    is_silent = (alive is None or alive < received) and facts.status in DELIVERED and facts.mode in _MEASURED
    return Signs(last.get(_OPENED), last.get(_CLICKED), alive, received if is_silent else None)


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
    for row in asked(connection, _HITS, ids):
        one = found.get(row[0])
        if one is not None:
            _add(one, row)
    return found.values()


def states(connection: Connection, ids: Sequence[bytes], *, hold: bool = False) -> dict[bytes, Sides]:
    """The same without events. With `hold` nobody else changes them, or adds or removes events, while the transaction
    lasts; those that somebody else is at are left out."""
    holds = hold and connection.dialect.name != "sqlite"
    rows = asked(connection, _SENT + (" ORDER BY d.id FOR UPDATE OF d SKIP LOCKED" if holds else ""), ids)
    failed = [row[0] for row in rows if row[1] not in DELIVERED]
    replies: dict[bytes, str] = {}
    if failed:
        replies = {row[0]: key(row[1], row[2]) for row in asked(connection, _REPLIES, failed)}
    sent: dict[bytes, tuple[int, Sent]] = {}
    return {row[0]: _sides(row, replies.get(row[0], ""), sent) for row in rows}


def _sides(row: Any, reply: str, known: dict[bytes, tuple[int, Sent]]) -> Sides:
    id_, status, mode, reason, domain, grp, accepted, rolled, message, mailing, variant, came, recipients = (
        row
    )
    received, sent = known.get(message) or (0, None)
    if sent is None:
        received = _micros(came)
        sent = Sent(message, mailing, variant or "", received // 1_000_000, recipients)
        known[message] = received, sent
    group = grp or ""
    return Sides(
        id=id_,
        sent=sent,
        received=received,
        now=Facts(status, mode, reason, domain, group, accepted and _micros(accepted) / 1_000_000, reply),
        before=None if rolled is None else _unpacked(rolled, domain, group),
    )


def _add(one: Sides, row: Any) -> None:
    _delivery, kind, at, link, verdict, client, device, system, country, rolled, id_ = row
    hit = Hit(kind, _micros(at) / 1_000_000, link or 0, verdict, client, device, system, country)
    one.hits.append(hit)
    if rolled != verdict:
        one.unrolled.append(Mark(id_, verdict, rolled))
    if rolled:
        one.hits_before.append(hit if rolled == verdict else hit._replace(verdict=rolled))


def _micros(moment: str | datetime) -> int:
    """Unix microseconds of a moment as the driver gives it."""
    if isinstance(moment, str):
        since = datetime.fromisoformat(moment) - _NAIVE_BEGIN
    else:
        since = moment - _BEGIN
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def packed(facts: Facts) -> str:
    """What a delivery was rolled up as, but for what only an erasure changes."""
    accepted = "" if facts.accepted is None else repr(facts.accepted)
    return key(facts.status, facts.mode, facts.reason, accepted, facts.reply)


def _unpacked(rolled: str, domain: str, group: str) -> Facts:
    status, mode, reason, accepted, reply = rolled.split(US, 4)
    return Facts(status, mode, reason, domain, group, float(accepted) if accepted else None, reply)
