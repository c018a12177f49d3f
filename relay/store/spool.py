"""The spool: messages that wait, byte for byte as they came, and who of their recipients is still owed one.

A row of `queue` is one recipient; it goes when the recipient is settled, and the message with its last one. A
lease says which process works on a row; who finds it expired may take it over (`relay.store.claims`). Times are the
database's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    bindparam,
    delete,
    distinct,
    exists,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from relay.store.schema import queue, spool
from relay.submission import Client, Recipient, Submission
from tracker.address import domain_of, normalize_domain
from tracker.consent import Decision, Mode
from tracker.errors import InvalidAddress
from tracker.store.database import Statement
from tracker.store.deliveries import decision_of
from tracker.store.question import Question
from tracker.store.schema import deliveries, messages

WAITING, HELD, DAMAGED = "waiting", "held", "damaged"
STATE = queue.c.state.concat("")
"""A row's state where other conditions say which rows: SQLite would otherwise go by the state's index, which is the
same for nearly all of them."""
_AT_ONCE = 500
"""Ids in one question: SQLite's oldest limit on bound parameters is 999."""


class database_now(FunctionElement[float]):  # noqa: N801 - reads as SQL
    """Seconds since 1970 by the database's clock: nodes whose clocks differ still agree on what is due."""

    type = Double()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(element: object, compiler: object, **keywords: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(element: object, compiler: object, **keywords: object) -> str:
    # Fixed within a statement: with clock_timestamp() no index on due times could be used.
    return "CAST(extract(epoch FROM statement_timestamp()) AS double precision)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One recipient who is still owed the message."""

    delivery_id: bytes
    position: int
    recipient: Recipient
    tries: int = 0
    queued_at: float = 0.0
    """By the database's clock, in seconds since 1970."""
    age: float = 0.0
    """Seconds that it has waited."""
    delay_told: bool = False
    """The sender has been told that it is late."""
    sent: Decision | None = None
    """What its copy was decided to be at first; None when the tracker's record of it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message with the recipients that were claimed together."""

    submission: Submission
    waiting: tuple[Waiting, ...]


_CLIENT = tuple(field.name for field in fields(Client))
_INSERT_SPOOL = insert(spool)
_INSERT_QUEUE = insert(queue).values(
    queued_at=database_now(), due_at=database_now() + bindparam("in_seconds", type_=Double)
)
_OURS = queue.c.delivery_id == bindparam("b_id"), queue.c.lease == bindparam("b_lease")
_HELD = Question(
    select(queue.c.delivery_id).where(
        queue.c.delivery_id.in_(bindparam("ids", expanding=True)),
        queue.c.lease.in_(bindparam("leases", expanding=True)),
    )
)
_REMOVE = delete(queue).where(*_OURS)
_WITHDRAW = delete(queue).where(queue.c.delivery_id == bindparam("b_id"))
_AGAIN = (
    update(queue)
    .where(*_OURS)
    .values(
        tries=queue.c.tries + 1,
        due_at=database_now() + bindparam("b_in_seconds", type_=Double),
        lease="",
    )
)
_TELL = update(queue).where(*_OURS).values(delay_told=true())
_EMPTY = (
    delete(spool)
    .where(spool.c.message_id == bindparam("b_message_id"))
    .where(~exists().where(queue.c.message_id == spool.c.message_id))
)
_FORGET_DELIVERY = delete(deliveries).where(deliveries.c.message_id == bindparam("b_id"))
_FORGET_MESSAGE = delete(messages).where(messages.c.id == bindparam("b_id"))


def domain_key(address: str) -> str:
    """The domain that statistics and fairness go by: in normal form where it has one, `""` where there is none."""
    domain = domain_of(address) if "@" in address else ""
    try:
        return normalize_domain(domain) if domain else ""
    except InvalidAddress:
        return domain.lower().encode("utf-8", "replace").decode("utf-8")


def keeping(
    submission: Submission, waiting: Sequence[Waiting], *, lease: str, in_seconds: float
) -> tuple[Statement, ...]:
    """The statements that put a message and its unsettled recipients on disk, due in so many seconds. With a `lease`
    the caller goes on working on them and that is when it runs out; with `""` whoever is free does."""
    rows = [
        {
            "delivery_id": one.delivery_id,
            "message_id": submission.id,
            "position": one.position,
            "address": one.recipient.address,
            "notify": ",".join(one.recipient.notify),
            "orcpt": one.recipient.orcpt,
            "domain": domain_key(one.recipient.address),
            "state": WAITING,
            "tries": one.tries,
            "in_seconds": in_seconds,
            "lease": lease,
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


def telling(ids: Iterable[bytes], lease: str) -> Statement:
    """The statement that says of recipients that their sender knows of the delay."""
    return _TELL, [{"b_id": one, "b_lease": lease} for one in ids]


def ours(
    connection: Connection, ids: Sequence[bytes], message_ids: Collection[bytes], lease: str
) -> set[bytes]:
    """Those of the recipients whom we still hold. Holds their messages until the transaction is over, so that of
    two nodes that each settle a part of one the second sees what the first did."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        for some in _shares(sorted(message_ids)):  # sorted, or two nodes could wait for each other
            locking = select(spool.c.message_id).where(spool.c.message_id.in_(some))
            connection.execute(locking.order_by(spool.c.message_id).with_for_update())
    held: set[bytes] = set()
    for some in _shares(ids):
        held.update(bytes(row.delivery_id) for row in _HELD.rows(connection, ids=some, leases=[lease]))
    return held


def totals(connection: Connection) -> dict[str, int]:
    """Recipients by state, and messages in the spool."""
    rows = connection.execute(select(queue.c.state, func.count()).group_by(queue.c.state))
    counted = {row[0]: row[1] for row in rows}
    messages = connection.execute(select(func.count(distinct(queue.c.message_id)))).scalar_one()
    return {**counted, "messages": messages}


def _shares(ids: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _spool_row(submission: Submission) -> dict[str, Any]:
    return {
        "message_id": submission.id,
        "sender": submission.sender,
        "data": submission.data,
        "received_at": submission.received_at,
        "client": {name: getattr(submission.client, name) for name in _CLIENT},
        "envelope": {
            "smtputf8": submission.smtputf8,
            "eight_bit": submission.eight_bit,
            "envid": submission.envid,
            "ret": submission.ret,
        },
    }


def submission_of(row: Any, waiting: Sequence[Waiting]) -> Submission:
    """The message of a row of `spool`. Raises ValueError, TypeError or KeyError where it cannot be read."""
    client: dict[str, Any] = dict(row.client if isinstance(row.client, dict) else json.loads(row.client))
    client["tags"] = tuple(client.get("tags", ()))  # JSON knows only lists
    return Submission(
        id=bytes(row.message_id),
        sender=row.sender,
        recipients=tuple(one.recipient for one in waiting),
        data=bytes(row.data),
        received_at=row.received_at,
        client=Client(**client | {"tags": tuple(client.get("tags", ()))}),  # JSON knows lists only
        **row.envelope,
    )


def waiting_of(row: Any) -> Waiting:
    """The recipient of a row of `queue`, joined with what was decided for them."""
    return Waiting(
        delivery_id=bytes(row.delivery_id),
        position=row.position,
        recipient=Recipient(
            address=row.address, notify=tuple(row.notify.split(",")) if row.notify else (), orcpt=row.orcpt
        ),
        tries=row.tries,
        queued_at=float(row.queued_at),
        age=float(row.now) - float(row.queued_at),
        delay_told=bool(row.delay_told),
        sent=decision_of(row) if row.mode in set(Mode) else None,
    )
