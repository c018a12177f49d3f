"""Which of those who wait an operator means, and what they want to know of them: the SQL of `candor queue`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, Text, and_, case, cast, distinct, exists, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from relay.store.schema import queue, spool
from relay.store.spool import DAMAGED, HELD, WAITING, database_now, domain_key
from tracker.errors import InvalidValue, NotFound
from tracker.moments import isoformat
from tracker.store.answers import last_words
from tracker.store.schema import attempts, messages

SENDING = "sending"
"""A state that no row has: waiting, and just now in the hands of a worker."""
AGES = (("5m", 300), ("20m", 1200), ("80m", 4800), ("5h", 18000), ("1d", 86400), ("5d", 432000))
"""Classes of age: younger than so many seconds. There is one more, for what is older."""
_HEX = re.compile(r"[0-9a-f]{1,32}\Z")
_IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Recipients that fit everything that is said; all of them when nothing is."""

    message: str = ""
    """How the message's id begins, in hex digits."""
    sender: str | None = None
    """An address, `@domain`, or `""` for mail from nobody."""
    recipient: str | None = None
    domain: str | None = None
    state: str | None = None
    """`waiting`, `sending`, `held` or `damaged`."""
    older_than: float | None = None
    """Seconds."""
    delivery: str = ""
    """The whole id of one delivery, in hex digits."""
    holding: str = ""
    """A part of the recipient, the sender or the subject, or how the message's id begins."""
    reply: str = ""
    """What was answered last; see `tracker.store.answers`."""

    @property
    def everything(self) -> bool:
        return self == Selection()

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row of `queue` must fulfil. Raises InvalidValue."""
        found: list[ColumnElement[bool]] = []
        if self.message:
            first, last = id_range(self.message)
            found.append(queue.c.message_id.between(first, last))
        if self.sender is not None:
            found.append(queue.c.message_id.in_(select(spool.c.message_id).where(_sender(self.sender))))
        if self.recipient is not None:
            found.append(func.lower(queue.c.address) == self.recipient.lower())
        if self.domain is not None:
            found.append(queue.c.domain == domain_key("@" + self.domain.lstrip("@")))
        if self.state is not None:
            found.append(_SHOWN_STATE.in_([self.state]))
        if self.older_than is not None:
            found.append(queue.c.queued_at <= database_now() - self.older_than)
        if self.delivery:
            found.append(queue.c.delivery_id == id_range(self.delivery)[0])
        if self.holding:
            found.append(_holding(self.holding))
        if self.reply:
            found.append(last_words(queue.c.delivery_id, self.reply))
        return found


def _holding(text: str) -> ColumnElement[bool]:
    """By the message of each row: few wait, and many messages are on record."""
    fits = [
        queue.c.address.icontains(text, autoescape=True),
        _of_its(spool.c.message_id, spool.c.sender.icontains(text, autoescape=True)),
        _of_its(messages.c.id, messages.c.subject.icontains(text, autoescape=True)),
    ]
    if _HEX.match(text.lower()):
        fits.append(queue.c.message_id.between(*id_range(text)))
    return or_(*fits)


def _of_its(id_column: Column[Any], fits: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(id_column).where(id_column == queue.c.message_id, fits).correlate(queue))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which part of them is wanted, and in which order; of equals those that came first."""

    sort: str = "since"
    """One of `SORTS`."""
    descending: bool = False
    limit: int
    offset: int = 0


def _sender(wanted: str) -> ColumnElement[bool]:
    sender = func.lower(spool.c.sender)
    if wanted.startswith("@"):
        return sender.endswith(wanted.lower(), autoescape=True)
    return sender == wanted.lower()


def is_busy() -> ColumnElement[bool]:
    """Somebody works on it now."""
    return and_(queue.c.lease != "", queue.c.due_at > database_now())


_SHOWN_STATE: ColumnElement[str] = case(
    (and_(queue.c.state == WAITING, is_busy()), SENDING), else_=queue.c.state
)


def id_range(prefix: str) -> tuple[bytes, bytes]:
    """The first and the last id that begin so. Raises InvalidValue."""
    digits = prefix.lower()
    if not _HEX.match(digits):
        raise InvalidValue(
            f"{prefix!r} is not (the beginning of) the id of a message: expected up to 32 hex digits"
        )
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))


def the_message(connection: Connection, prefix: str) -> bytes:
    """The one message that waits and whose id begins so. Raises InvalidValue, NotFound."""
    first, last = id_range(prefix)
    query = select(queue.c.message_id).where(queue.c.message_id.between(first, last)).distinct().limit(3)
    ids = [bytes(row.message_id) for row in connection.execute(query)]
    if not ids:
        raise NotFound(f"no message {prefix} is in the queue")
    if len(ids) > 1:
        shown = ", ".join(one.hex() for one in ids[:2])
        raise InvalidValue(f"{prefix} is the beginning of several ids ({shown}…): say more of it")
    return ids[0]


def how_many(connection: Connection, wanted: Selection) -> dict[str, int]:
    """Recipients and messages that are selected, and how many of the recipients are being sent to now."""
    busy = func.coalesce(func.sum(case((is_busy(), 1), else_=0)), 0)
    query = select(func.count(), func.count(distinct(queue.c.message_id)), busy).where(*wanted.conditions())
    row = connection.execute(query).one()
    return {"recipients": row[0], "messages": row[1], SENDING: int(row[2])}


def ids_of(connection: Connection, wanted: Selection) -> list[bytes]:
    """Delivery ids, message by message."""
    query = select(queue.c.delivery_id).where(*wanted.conditions())
    rows = connection.execute(query.order_by(queue.c.message_id, queue.c.position))
    return [bytes(row.delivery_id) for row in rows]


SORTS: Mapping[str, ColumnElement[Any]] = {
    "since": queue.c.queued_at,
    "next": queue.c.due_at,
    "recipient": queue.c.address,
    "domain": queue.c.domain,
    "state": _SHOWN_STATE,
    "tries": queue.c.tries,
    "sender": spool.c.sender,
    "size": func.length(spool.c.data),
}


def page(connection: Connection, wanted: Selection, order: Order) -> list[dict[str, Any]]:
    """Recipients, ready for JSON; with the last answer of each. Durations in seconds."""
    column = SORTS[order.sort]
    by = (
        column.desc() if order.descending else column.asc(),
        queue.c.queued_at,
        queue.c.message_id,
        queue.c.position,
    )
    picked = select(queue.c.delivery_id).where(*wanted.conditions()).order_by(*by)
    if order.sort in ("sender", "size"):
        picked = picked.outerjoin(spool, spool.c.message_id == queue.c.message_id)
    query = (
        select(
            queue,
            (database_now() - queue.c.queued_at).label("age"),
            (queue.c.due_at - database_now()).label("next"),
            _SHOWN_STATE.label("shown"),
            spool.c.sender,
            func.length(spool.c.data).label("size"),
            messages.c.subject,
        )
        .outerjoin(spool, spool.c.message_id == queue.c.message_id)
        .outerjoin(messages, messages.c.id == queue.c.message_id)
        # Picked first: what is joined is joined for these alone.
        .where(queue.c.delivery_id.in_(picked.limit(order.limit).offset(order.offset)))
        .order_by(*by)
    )
    rows = connection.execute(query).all()
    last = {one: tries[-1] for one, tries in tries_of(connection, [row.delivery_id for row in rows]).items()}
    return [_shown(row, last.get(bytes(row.delivery_id))) for row in rows]


def _shown(row: Any, last_try: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "message": bytes(row.message_id).hex(),
        "delivery": bytes(row.delivery_id).hex(),
        "subject": row.subject or "",
        "sender": row.sender,
        "recipient": row.address,
        "domain": row.domain,
        "state": row.shown,
        "tries": row.tries,
        "age": round(float(row.age), 1),
        "since": isoformat(datetime.fromtimestamp(row.queued_at, UTC)),
        "next_try": max(round(float(row.next), 1), 0.0) if row.shown == WAITING else None,
        "due_at": isoformat(datetime.fromtimestamp(row.due_at, UTC)) if row.shown == WAITING else None,
        "size": row.size,
        "delay_told": bool(row.delay_told),
        "last_try": last_try,
    }


def tries_of(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, list[dict[str, Any]]]:
    """What each was answered, first to last."""
    found: dict[bytes, list[dict[str, Any]]] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = attempts.c.delivery_id.in_(ids[start : start + _IDS_AT_ONCE])
        for row in connection.execute(select(attempts).where(some).order_by(attempts.c.id)):
            words = {
                name: getattr(row, name) for name in ("status", "host", "tls", "code", "enhanced", "text")
            }
            found.setdefault(bytes(row.delivery_id), []).append({"at": isoformat(row.at), **words})
    return found


def envelope_of(connection: Connection, message_id: bytes) -> dict[str, Any]:
    """The stored message but for its content; what is damaged is shown as it stands there."""
    query = select(
        spool.c.sender,
        cast(spool.c.received_at, Text).label("received_at"),
        cast(spool.c.envelope, Text).label("envelope"),
        func.length(spool.c.data).label("size"),
    ).where(spool.c.message_id == message_id)
    row = connection.execute(query).one_or_none()
    return {} if row is None else dict(row._mapping)


def original_of(connection: Connection, message_id: bytes) -> bytes:
    """The message as it came. Raises NotFound."""
    found = connection.execute(
        select(spool.c.data).where(spool.c.message_id == message_id)
    ).scalar_one_or_none()
    if found is None:
        raise NotFound(f"the content of message {message_id.hex()} is not there any more")
    return bytes(found)


def statistics(connection: Connection, *, domains: int) -> dict[str, Any]:
    """What waits, by state, by age, and by domain and age (the domains with the most), ready for JSON."""
    age = database_now() - queue.c.queued_at
    older = [func.coalesce(func.sum(case((age >= seconds, 1), else_=0)), 0) for _, seconds in AGES]
    by_domain = select(queue.c.domain, func.count().label("total"), *older).group_by(queue.c.domain)
    rows = connection.execute(by_domain.order_by(func.count().desc(), queue.c.domain)).all()
    states = connection.execute(select(_SHOWN_STATE, func.count()).group_by(_SHOWN_STATE)).all()
    oldest = connection.execute(select(func.max(age))).scalar_one()
    size = func.length(spool.c.data)
    sizes = connection.execute(
        select(func.count(), func.coalesce(func.sum(size), 0), func.coalesce(func.max(size), 0))
    ).one()
    return {
        "recipients": sum(row.total for row in rows),
        "messages": sizes[0],
        "octets": int(sizes[1]),
        "largest": int(sizes[2]),
        "oldest": None if oldest is None else round(float(oldest), 1),
        "states": {row[0]: row[1] for row in states},
        "ages": _in_classes(
            len(rows) and [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
        ),
        "domains": [
            {"domain": row.domain, "recipients": row.total, "ages": _in_classes(row[1:])}
            for row in rows[:domains]
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The queue in a few numbers."""

    states: Mapping[str, int]
    """Recipients in each state; all states are there."""
    oldest: float
    """Seconds; 0 when nothing waits."""


def standing(connection: Connection) -> Standing:
    age = func.max(database_now() - queue.c.queued_at)
    rows = connection.execute(select(_SHOWN_STATE, func.count(), age).group_by(_SHOWN_STATE)).all()
    counted = {row[0]: row[1] for row in rows}
    return Standing(
        states={state: counted.get(state, 0) for state in (WAITING, SENDING, HELD, DAMAGED)},
        oldest=max((float(row[2]) for row in rows), default=0.0),
    )


def _in_classes(counted: Any) -> dict[str, int]:
    """From (all, at least so old, at least that old, …) to how many are in each class."""
    numbers = [int(one) for one in counted or [0] * (len(AGES) + 1)]
    names = [f"<{name}" for name, _ in AGES] + [f">={AGES[-1][0]}"]
    return dict(
        zip(names, (one - later for one, later in zip(numbers, [*numbers[1:], 0], strict=True)), strict=True)
    )


def free(ids: Iterable[bytes]) -> ColumnElement[bool]:
    """Those of them that nobody works on."""
    return and_(queue.c.delivery_id.in_(ids), or_(queue.c.lease == "", queue.c.due_at <= database_now()))
