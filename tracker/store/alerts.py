"""Alerts as rows: found once, then told, or not told because of quiet hours or the day's number.

A row names a person by the delivery alone, and goes when the delivery stops naming them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, select, text, update

from tracker.consent import Mode
from tracker.store.engines import BeforeErasures
from tracker.store.schema import Id, Moment, alerts, deliveries


class State(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    QUIET = "quiet"
    """Not told: of the same person or domain somebody was told shortly before."""
    CAPPED = "capped"
    """Not told: there were as many that day as is wished."""
    DROPPED = "dropped"
    """Not told: the configuration no longer names the alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is to be told, once for each `key`."""

    name: str
    kind: str
    key: bytes
    at: datetime
    message_id: bytes | None = None
    delivery_id: bytes | None = None
    link: int | None = None
    domain: str = ""
    n: int = 0
    of: int = 0


_NAMES = ("name", "kind", "key", "at", "found_at", "message_id", "delivery_id", "link", "domain", "n", "of")
_INSERT = text(
    'INSERT INTO alerts (name, kind, "key", at, found_at, state, message_id, delivery_id, link, domain, n, "of")'
    " VALUES (:name, :kind, :key, :at, :found_at, 'waiting', :message_id, :delivery_id, :link, :domain, :n, :of)"
    ' ON CONFLICT ("key") DO NOTHING'
).bindparams(
    *(bindparam(name, type_=Id) for name in ("key", "message_id", "delivery_id")),
    *(bindparam(name, type_=Moment) for name in ("at", "found_at")),
)


def key_of(*parts: bytes | str) -> bytes:
    """The same for the same thing, and tells nothing of it."""
    content = b"\n".join(part.encode() if isinstance(part, str) else part.hex().encode() for part in parts)
    return hashlib.blake2b(content, digest_size=16, person=b"candor-alert").digest()


def keep(connection: Connection, found: Iterable[Found], now: datetime) -> int:
    """Takes them down, but for those that are there already, and those whose delivery names nobody any more; gives how
    many are new."""
    connection.execute(BeforeErasures())
    rows = list(found)
    named = _still_named(connection, {one.delivery_id for one in rows if one.delivery_id is not None})
    kept = 0
    for one in rows:
        if one.delivery_id is None or one.delivery_id in named:
            kept += connection.execute(_INSERT, {**asdict(one), "found_at": now}).rowcount
    return kept


def _still_named(connection: Connection, ids: Collection[bytes]) -> set[bytes]:
    """An anonymisation under way is waited for, and one that comes later finds the row."""
    query = (
        select(deliveries.c.id)
        .where(deliveries.c.id.in_(ids), deliveries.c.recipient.is_not(None))
        .where(deliveries.c.mode == Mode.IDENTIFIED.value)
        .order_by(deliveries.c.id)
        .with_for_update(read=True)
    )
    return {bytes(one) for one in connection.execute(query).scalars()} if ids else set()


def waiting(connection: Connection, most: int) -> list[int]:
    """Those nobody was told of yet, oldest first."""
    query = select(alerts.c.id).where(alerts.c.state == State.WAITING.value)
    return list(connection.execute(query.order_by(alerts.c.id).limit(most)).scalars())


def take(connection: Connection, number: int) -> Any:
    """The row, if it still waits, held until the transaction is over; None otherwise."""
    mine = (alerts.c.id == number) & (alerts.c.state == State.WAITING.value)
    return connection.execute(select(alerts).where(mine).with_for_update()).one_or_none()


def settle(connection: Connection, number: int, state: State, now: datetime) -> None:
    mine = update(alerts).where(alerts.c.id == number)
    connection.execute(mine.values(state=state.value, settled_at=now))


def remove(connection: Connection, number: int) -> None:
    """Consent of today does not allow it: nothing stays of it."""
    connection.execute(delete(alerts).where(alerts.c.id == number))


def told_since(connection: Connection, name: str, since: datetime) -> int:
    """How many of this name were sent since then."""
    query = select(func.count()).select_from(alerts).where(*_sent(name, since))
    return int(connection.execute(query).scalar_one())


def told_about(
    connection: Connection, name: str, since: datetime, *, recipient: str | None, domain: str
) -> bool:
    """Whether one of this name about the same person, or domain, was sent since then."""
    query = select(alerts.c.id).where(*_sent(name, since))
    if recipient is None:
        query = query.where(alerts.c.domain == domain)
    else:
        theirs = exists().where(deliveries.c.id == alerts.c.delivery_id, deliveries.c.recipient == recipient)
        query = query.where(theirs)
    return connection.execute(query.limit(1)).first() is not None


def _sent(name: str, since: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        alerts.c.name == name,
        alerts.c.state == State.SENT.value,
        alerts.c.kind != "test",
        alerts.c.settled_at > since,
    )


def forget(connection: Connection, ids: Collection[bytes]) -> None:
    """Of deliveries that stop naming their person, or go."""
    connection.execute(delete(alerts).where(alerts.c.delivery_id.in_(ids)))


def forget_before(connection: Connection, before: datetime, most: int) -> int:
    """Some of those that are as old as an event may be; gives how many."""
    some = select(alerts.c.id).where(alerts.c.at < before).limit(most)
    return connection.execute(delete(alerts).where(alerts.c.id.in_(some))).rowcount


def of_person(connection: Connection, address: str) -> list[Any]:
    """Rows about a person (address in normal form), oldest first."""
    query = select(alerts).join(deliveries, deliveries.c.id == alerts.c.delivery_id)
    return list(connection.execute(query.where(deliveries.c.recipient == address).order_by(alerts.c.id)))
