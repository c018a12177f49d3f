"""Who of a department has shown that they read a message."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, case, exists, func, select

from tracker.consent import Mode
from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.measurable import by_name
from tracker.segments.selection import Selection
from tracker.store.carried import DELIVERED, HUMAN
from tracker.store.schema import deliveries, events, messages

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One department and one message. What is not measured is never "not read"."""

    group: str
    recipients: int
    delivered: int
    measured: int
    read: int
    """Opened or clicked, of those measured."""

    @property
    def not_shown(self) -> int:
        """Measured, delivered, and no sign of reading."""
        return self.measured - self.read

    @property
    def not_measured(self) -> int:
        return self.delivered - self.measured


async def who_has_read(
    domain: Domain, message_id: bytes, *, segment: Selection | None = None
) -> list[Reading]:
    """By department, how many have shown that they read a message. Of a segment, where one is given: then, since it may
    be one about few, measured is only who may be measured by name today. Raises NotFound, StoreUnavailable."""
    if segment is not None:
        return await _who_of_them_has_read(domain, message_id, segment)

    def work(connection: Connection) -> list[Reading]:
        _check_message(connection, message_id)
        arrived = deliveries.c.status.in_(DELIVERED)
        measured = arrived & (deliveries.c.mode == Mode.IDENTIFIED.value)
        read = exists().where(events.c.delivery_id == deliveries.c.id, events.c.verdict.in_(HUMAN))
        group = func.coalesce(deliveries.c.grp, "")
        query = (
            select(
                group.label("grp"),
                func.count().label("recipients"),
                func.count(case((arrived, 1))).label("delivered"),
                func.count(case((measured, 1))).label("measured"),
                func.count(case((measured & read, 1))).label("read"),
            )
            .where(deliveries.c.message_id == message_id)
            .group_by(group)
            .order_by(group)
        )
        return [
            Reading(
                group=row.grp,
                recipients=row.recipients,
                delivered=row.delivered,
                measured=row.measured,
                read=row.read,
            )
            for row in connection.execute(query)
        ]

    return await domain.database.read(work, within=30.0)


def _check_message(connection: Connection, message_id: bytes) -> None:
    if connection.execute(select(messages.c.id).where(messages.c.id == message_id)).first() is None:
        raise NotFound(f"there is no message {message_id.hex()}")


async def _who_of_them_has_read(domain: Domain, message_id: bytes, segment: Selection) -> list[Reading]:
    counted: dict[str, Counter[str]] = {}
    after: bytes | None = b""
    while after is not None:
        rows, after = await domain.database.read(
            partial(_read_by, domain, message_id=message_id, segment=segment, after=after), within=30.0
        )
        for group, *facts in rows:
            counted.setdefault(group, Counter()).update(dict(zip(_FACTS, facts, strict=True)))
    return [
        Reading(group=group, **{name: counted[group][name] for name in _FACTS}) for group in sorted(counted)
    ]


_FACTS = ("recipients", "delivered", "measured", "read")
_Fact = tuple[str, bool, bool, bool, bool]


def _read_by(
    domain: Domain, connection: Connection, message_id: bytes, segment: Selection, after: bytes
) -> tuple[list[_Fact], bytes | None]:
    """Of the next recipients who are in the segment, what is known of each; and where to go on."""
    _check_message(connection, message_id)
    read = exists().where(events.c.delivery_id == deliveries.c.id, events.c.verdict.in_(HUMAN))
    columns = (
        deliveries.c.id,
        deliveries.c.recipient,
        deliveries.c.grp,
        deliveries.c.mode,
        deliveries.c.status,
    )
    query = (
        select(*columns, read.label("read"))
        .where(deliveries.c.message_id == message_id, deliveries.c.id > after)
        .order_by(deliveries.c.id)
        .limit(_CHUNK)
    )
    rows = connection.execute(query).all()
    people = [row.recipient for row in rows if row.recipient is not None]
    chosen, may = segment.among(connection, people), by_name(domain, connection, people)
    found = []
    for row in rows:
        if row.recipient in chosen:
            arrived = row.status in DELIVERED
            measured = arrived and row.mode == Mode.IDENTIFIED.value and row.recipient in may
            found.append((row.grp or "", True, arrived, measured, measured and bool(row.read)))
    return found, bytes(rows[-1].id) if len(rows) == _CHUNK else None
