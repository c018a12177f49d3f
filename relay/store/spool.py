"""The spool: messages that wait, byte for byte as they came, and who of their recipients is still owed one.

A row of `queue` is one recipient; it goes when the recipient is settled, and the message with its last one. A
lease says which process works on a row; who finds it expired may take it over. Times are the database's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Double, bindparam, delete, distinct, exists, func, insert, select, update
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from relay import log
from relay.store.schema import queue, spool
from relay.submission import Client, Recipient, Submission
from tracker.consent import Decision, Mode
from tracker.store.database import Statement, execute
from tracker.store.deliveries import decision_of
from tracker.store.schema import deliveries, messages

WAITING, HELD, DAMAGED = "waiting", "held", "damaged"


class database_now(FunctionElement[float]):  # noqa: N801 - reads as SQL
    """Seconds since 1970 by the database's clock: nodes whose clocks differ still agree on what is due."""

    type = Double()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(element: object, compiler: object, **keywords: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(element: object, compiler: object, **keywords: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One recipient who is still owed the message."""

    delivery_id: bytes
    position: int
    recipient: Recipient
    tries: int = 0
    age: float = 0.0
    """Seconds since it was queued."""
    sent: Decision | None = None
    """What its copy was decided to be at first; None when the tracker's record of it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message with the recipients that were claimed together."""

    submission: Submission
    waiting: tuple[Waiting, ...]


_INSERT_SPOOL = insert(spool)
_INSERT_QUEUE = insert(queue).values(
    queued_at=database_now(),
    due_at=database_now() + bindparam("in_seconds", type_=Double),
    lease_until=database_now() + bindparam("lease_seconds", type_=Double),
)
_REMOVE = (
    delete(queue).where(queue.c.delivery_id == bindparam("b_id")).where(queue.c.lease == bindparam("b_lease"))
)
_WITHDRAW = delete(queue).where(queue.c.delivery_id == bindparam("b_id"))
_AGAIN = (
    update(queue)
    .where(queue.c.delivery_id == bindparam("b_id"))
    .where(queue.c.lease == bindparam("b_lease"))
    .values(
        tries=queue.c.tries + 1,
        due_at=database_now() + bindparam("b_in_seconds", type_=Double),
        lease="",
        lease_until=0.0,
    )
)
_RENEW = (
    update(queue)
    .where(queue.c.delivery_id == bindparam("b_id"))
    .where(queue.c.lease == bindparam("b_lease"))
    .values(lease_until=database_now() + bindparam("b_seconds", type_=Double))
)
_EMPTY = (
    delete(spool)
    .where(spool.c.message_id == bindparam("b_message_id"))
    .where(~exists().where(queue.c.message_id == spool.c.message_id))
)


_FORGET_DELIVERY = delete(deliveries).where(deliveries.c.message_id == bindparam("b_id"))
_FORGET_MESSAGE = delete(messages).where(messages.c.id == bindparam("b_id"))


def keeping(
    submission: Submission, waiting: Sequence[Waiting], *, lease: str, lease_seconds: float, in_seconds: float
) -> tuple[Statement, ...]:
    """The statements that put a message and its unsettled recipients on disk. With a `lease` the caller goes on
    working on them; with `""` whoever is free does."""
    rows = [
        {
            "delivery_id": one.delivery_id,
            "message_id": submission.id,
            "position": one.position,
            "address": one.recipient.address,
            "notify": ",".join(one.recipient.notify),
            "orcpt": one.recipient.orcpt,
            "state": WAITING,
            "tries": one.tries,
            "in_seconds": in_seconds,
            "lease": lease,
            "lease_seconds": lease_seconds if lease else 0.0,
            "delay_told": False,
        }
        for one in waiting
    ]
    return (_INSERT_SPOOL, [_spool_row(submission)]), (_INSERT_QUEUE, rows)


def removing(ids: Sequence[bytes], message_id: bytes, lease: str) -> tuple[Statement, ...]:
    """The statements that let go of settled recipients, and of the message when they were the last."""
    rows = [{"b_id": one, "b_lease": lease} for one in ids]
    return ((_REMOVE, rows), (_EMPTY, [{"b_message_id": message_id}])) if rows else ()


def withdrawing(ids: Iterable[bytes], message_id: bytes) -> tuple[Statement, ...]:
    """The statements that take back what `keeping` may have written though nobody heard that it did."""
    return (_WITHDRAW, [{"b_id": one} for one in ids]), (_EMPTY, [{"b_message_id": message_id}])


def withdrawing_report(report_id: bytes) -> tuple[Statement, ...]:
    """The same for a report of ours, which is a message with one recipient of the same id: nothing stays of it."""
    row = [{"b_id": report_id}]
    return (*withdrawing([report_id], report_id), (_FORGET_DELIVERY, row), (_FORGET_MESSAGE, row))


def deferring(delays: Iterable[tuple[bytes, float]], lease: str) -> Statement:
    """The statement that puts recipients off by so many seconds each."""
    return _AGAIN, [{"b_id": one, "b_lease": lease, "b_in_seconds": seconds} for one, seconds in delays]


def ours(connection: Connection, ids: Collection[bytes], message_id: bytes, lease: str) -> set[bytes]:
    """Those of the recipients whom we still hold. Holds their message until the transaction is over, so that of
    two nodes that each settle a part of it the second sees what the first did."""
    connection.execute(select(spool.c.sender).where(spool.c.message_id == message_id).with_for_update())
    held = select(queue.c.delivery_id).where(queue.c.message_id == message_id).where(queue.c.lease == lease)
    return {bytes(row.delivery_id) for row in connection.execute(held)} & set(ids)


def claim(
    connection: Connection, *, lease: str, lease_seconds: float, messages: int, held: Collection[bytes] = ()
) -> list[Claimed]:
    """Takes what is due, at most so many messages: rows nobody holds, or whose holder let the lease run out.
    Those in `held` are being worked on by the caller already: their lease is prolonged, and they are not given."""
    now = database_now()
    free = (queue.c.state == WAITING) & (queue.c.due_at <= now) & (queue.c.lease_until <= now)
    due = (
        select(queue.c.message_id)
        .where(free)
        .group_by(queue.c.message_id)
        .order_by(func.min(queue.c.due_at))
        .limit(messages)
    )
    ids = [bytes(row.message_id) for row in connection.execute(due)]
    if not ids:
        return []
    rows = select(queue.c.delivery_id).where(queue.c.message_id.in_(ids)).where(free)
    if connection.dialect.name == "postgresql":
        rows = rows.with_for_update(skip_locked=True)
    mine = [bytes(row.delivery_id) for row in connection.execute(rows)]
    for start in range(0, len(mine), 500):
        connection.execute(
            update(queue)
            .where(queue.c.delivery_id.in_(mine[start : start + 500]))
            .values(lease=lease, lease_until=now + lease_seconds)
        )
    return _claimed(connection, ids, set(mine).difference(held))


def _claimed(connection: Connection, ids: list[bytes], mine: set[bytes]) -> list[Claimed]:
    joined = (
        select(
            queue,
            (database_now() - queue.c.queued_at).label("age"),
            deliveries.c.mode,
            deliveries.c.opens,
            deliveries.c.clicks,
            deliveries.c.override,
            deliveries.c.reason,
        )
        .outerjoin(deliveries, deliveries.c.id == queue.c.delivery_id)
        .where(queue.c.message_id.in_(ids))
        .order_by(queue.c.position)
    )
    theirs: dict[bytes, list[Any]] = {}
    for row in connection.execute(joined):
        if bytes(row.delivery_id) in mine:
            theirs.setdefault(bytes(row.message_id), []).append(row)
    claimed = []
    for message_id, rows in theirs.items():
        try:
            waiting = tuple(map(_waiting, rows))
            # One by one: a row that cannot even be read must not take the others with it.
            row = connection.execute(select(spool).where(spool.c.message_id == message_id)).one()
            claimed.append(Claimed(submission=_submission(row, waiting), waiting=waiting))
        except (ValueError, TypeError, KeyError, NoResultFound):
            log.set_aside(message_id.hex(), recipients=len(rows))
            _set_aside(connection, [bytes(row.delivery_id) for row in rows])
    return claimed


def _set_aside(connection: Connection, ids: list[bytes]) -> None:
    """A damaged row is kept for the operator and never blocks the others."""
    connection.execute(
        update(queue).where(queue.c.delivery_id.in_(ids)).values(state=DAMAGED, lease="", lease_until=0.0)
    )


def renew(connection: Connection, ids: Iterable[bytes], *, lease: str, lease_seconds: float) -> None:
    """Goes on holding these recipients, as far as they are held under `lease`."""
    rows = [{"b_id": one, "b_lease": lease, "b_seconds": lease_seconds} for one in ids]
    execute(connection, [(_RENEW, rows)])


def release(connection: Connection, *, lease: str) -> None:
    """Lets go of everything held under `lease`: at an orderly stop, others need not wait for it to run out."""
    connection.execute(update(queue).where(queue.c.lease == lease).values(lease="", lease_until=0.0))


def next_due(connection: Connection) -> float | None:
    """Seconds until something falls due (0 or less: now); None when nothing waits."""
    later = func.max if connection.dialect.name == "sqlite" else func.greatest
    moment = func.min(later(queue.c.due_at, queue.c.lease_until))
    seconds: float | None = connection.execute(
        select(moment - database_now()).where(queue.c.state == WAITING)
    ).scalar_one()
    return seconds


def totals(connection: Connection) -> dict[str, int]:
    """Recipients by state, and messages in the spool."""
    rows = connection.execute(select(queue.c.state, func.count()).group_by(queue.c.state))
    counted = {row[0]: row[1] for row in rows}
    messages = connection.execute(select(func.count(distinct(queue.c.message_id)))).scalar_one()
    return {**counted, "messages": messages}


def _spool_row(submission: Submission) -> dict[str, Any]:
    return {
        "message_id": submission.id,
        "sender": submission.sender,
        "data": submission.data,
        "received_at": submission.received_at,
        "client": asdict(submission.client),
        "envelope": {
            "smtputf8": submission.smtputf8,
            "eight_bit": submission.eight_bit,
            "envid": submission.envid,
            "ret": submission.ret,
        },
    }


def _submission(row: Any, waiting: Sequence[Waiting]) -> Submission:
    client = row.client if isinstance(row.client, dict) else json.loads(row.client)
    return Submission(
        id=bytes(row.message_id),
        sender=row.sender,
        recipients=tuple(one.recipient for one in waiting),
        data=bytes(row.data),
        received_at=row.received_at,
        client=Client(**client),
        **row.envelope,
    )


def _waiting(row: Any) -> Waiting:
    return Waiting(
        delivery_id=bytes(row.delivery_id),
        position=row.position,
        recipient=Recipient(
            address=row.address, notify=tuple(row.notify.split(",")) if row.notify else (), orcpt=row.orcpt
        ),
        tries=row.tries,
        age=float(row.age),
        sent=decision_of(row) if row.mode in set(Mode) else None,
    )
