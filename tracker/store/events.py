"""Events of identified deliveries: written as they happen, listed for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, bindparam, desc, exists, func, insert, select

from tracker.events import Event, EventKind, VerdictKind
from tracker.moments import isoformat
from tracker.store.database import Database, Statement, execute
from tracker.store.messages import urls
from tracker.store.prepared import drive
from tracker.store.schema import deliveries, events, messages, moment_text

ANONYMIZED = "anonymized"
"""Why a delivery measured by name no longer is: its person wanted past events to name nobody either."""

_NAMES = [column.name for column in events.c if column.name not in ("id", "rolled")]
_BOUND = {name: bindparam(f"b_{name}", type_=events.c[name].type) for name in _NAMES}
_WORDS: Mapping[str, str] = {one: one.value for one in (*EventKind, *VerdictKind)}
"""Words of our own as plain texts, which the driver takes several times quicker."""
_OF_SOMEBODY = (
    select(*_BOUND.values())
    .select_from(deliveries)
    .where(deliveries.c.id == bindparam("b_delivery_id"))
    .where(deliveries.c.recipient.is_not(None))
    .where(deliveries.c.reason != ANONYMIZED)
    # An erasure under way is waited for, and one that comes now waits for us and finds the event.
    .with_for_update(read=True)
)
_INSERT = insert(events).from_select(_NAMES, _OF_SOMEBODY)
_SAME = (
    exists()
    .where(events.c.delivery_id == _BOUND["delivery_id"])
    .where(events.c.at == _BOUND["at"])
    .where(events.c.kind == _BOUND["kind"])
    .where(func.coalesce(events.c.link, 0) == func.coalesce(_BOUND["link"], 0))
)
_INSERT_NEW = insert(events).from_select(_NAMES, _OF_SOMEBODY.where(~_SAME))


def recording(*happened: Event) -> Statement:
    """The statement that keeps events, unless their delivery names nobody any more or was made anonymous since: then
    they leave nothing."""
    return _INSERT, [_row(event) for event in happened]


def recording_new(happened: Iterable[Event]) -> Statement:
    """The same, but of events that may be there already, to the microsecond: those stay as they are."""
    return _INSERT_NEW, [_row(event) for event in happened]


_MOST_ROWS = 64
"""Events in one statement: SQLite's oldest limit on bound parameters is 999."""


@cache
def _driver(rows: int) -> str:
    """`_INSERT` for so many rows as SQLite's driver takes it, with moments as the text it keeps. One statement, for the
    driver lets go of the interpreter and waits for it again with every row of an `executemany`."""
    row = f"({', '.join('?' * len(_NAMES))})"
    return (
        f"INSERT INTO events ({', '.join(_NAMES)})"  # noqa: S608
        f" SELECT made.* FROM (VALUES {', '.join([row] * rows)}) AS made CROSS JOIN deliveries"  # in that order
        f" WHERE deliveries.id = made.column{_NAMES.index('delivery_id') + 1}"
        f" AND deliveries.recipient IS NOT NULL AND deliveries.reason <> '{ANONYMIZED}'"
    )


def record(connection: Connection, batches: list[Sequence[Event]]) -> list[None]:
    """Keeps events as `recording` does; for `Database.together`."""
    happened = [event for batch in batches for event in batch]
    if connection.dialect.name == "sqlite":
        for start in range(0, len(happened), _MOST_ROWS):
            some = happened[start : start + _MOST_ROWS]
            drive(connection, _driver(len(some)), [tuple(chain.from_iterable(map(_plain, some)))])
    else:
        execute(connection, [recording(*happened)])
    return [None] * len(batches)


def _plain(event: Event) -> tuple[Any, ...]:
    """What `_row` says, in the order of `_NAMES`, as the driver takes it: a test holds the two alike."""
    verdict, device = event.verdict, event.device
    return (
        _WORDS[event.kind],
        moment_text(event.at),
        event.message,
        event.delivery,
        event.link,
        _WORDS[verdict.kind],
        " ".join(verdict.reasons),
        verdict.rules,
        device.client,
        device.kind,
        device.system,
        event.country,
    )


def _row(event: Event) -> Mapping[str, Any]:
    verdict, device = event.verdict, event.device
    row = {
        "kind": event.kind.value,
        "at": event.at,
        "message_id": event.message,
        "delivery_id": event.delivery,
        "link": event.link,
        "verdict": verdict.kind.value,
        "verdict_reasons": " ".join(verdict.reasons),
        "rules": verdict.rules,
        "client": device.client,
        "device": device.kind,
        "system": device.system,
        "country": event.country,
    }
    return {f"b_{name}": value for name, value in row.items()}


class Events:
    """Reads of events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, message: bytes | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Events in the order they happened, ready for JSON; the latest `limit` of them. Raises
        StoreUnavailable."""
        return await self._database.read(lambda connection: _list(connection, message, limit), within=30.0)


def _list(connection: Connection, message: bytes | None, limit: int | None) -> list[dict[str, Any]]:
    query = (
        select(events, deliveries.c.recipient, messages.c.tags, messages.c.metadata)
        .join(deliveries, deliveries.c.id == events.c.delivery_id)
        .outerjoin(messages, messages.c.id == events.c.message_id)
        .order_by(desc(events.c.at), desc(events.c.id))
    )
    if message is not None:
        query = query.where(events.c.message_id == message)
    if limit is not None:
        query = query.limit(limit)
    rows = connection.execute(query).all()
    leads = urls(connection, {bytes(row.message_id) for row in rows if row.link is not None})
    return [
        {
            "id": str(row.id),
            "kind": row.kind,
            "at": isoformat(row.at),
            "message": bytes(row.message_id).hex(),
            "delivery": bytes(row.delivery_id).hex(),
            "link": row.link,
            "url": leads.get((bytes(row.message_id), row.link)),
            "verdict": row.verdict,
            "verdict_reasons": row.verdict_reasons.split(),
            "client": row.client,
            "device": row.device,
            "system": row.system,
            "country": row.country,
            "recipient": row.recipient,
            "tags": row.tags or [],
            "metadata": row.metadata or {},
        }
        for row in reversed(rows)
    ]
