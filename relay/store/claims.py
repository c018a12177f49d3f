"""Who of the queue is next, and under whose lease: taken in small shares, every question by an index.

What has waited longest comes first. While more is due than can be taken, half of each share goes to the domains in
turn, one message each, so that a domain with fifty thousand recipients does not keep the others waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Double, bindparam, case, func, or_, select, text, update
from sqlalchemy.exc import NoResultFound

from relay import log
from relay.store.schema import queue, spool
from relay.store.spool import DAMAGED, STATE, WAITING, Claimed, database_now, submission_of, waiting_of
from tracker.store.database import execute
from tracker.store.schema import Id, deliveries

MOST_OCTETS = 32 * 1024 * 1024
"""Of originals taken into memory by one claim, as long as that is more than one message."""
_STEPS = 60
"""Domains looked at for one claim."""
_ROWS_FOR_EACH = 4
"""Recipients looked at for each message that may be taken; where more are due, the domains take turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one claim gave."""

    claimed: tuple[Claimed, ...]
    more: bool
    """More was due than this."""
    turn: str
    """The domain after which the next claim goes on taking turns."""


_FREE = queue.c.state == bindparam("b_state"), queue.c.due_at <= database_now()
_STILL_FREE = STATE == WAITING, queue.c.due_at + 0.0 <= database_now()
_OLDEST = select(queue.c.message_id, queue.c.domain).where(*_FREE).order_by(queue.c.due_at)
_OLDEST = _OLDEST.limit(bindparam("b_most"))
_NEXT_DUE = (
    select(queue.c.due_at - database_now())
    .where(queue.c.state == bindparam("b_state"))
    .order_by(queue.c.due_at)
    .limit(1)
)
# A walk from domain to domain, each step one look into the index (state, domain, due_at).
_TURNS = """
WITH RECURSIVE walk(domain, n) AS (
  SELECT (SELECT min(q.domain) FROM queue q WHERE q.state = 'waiting' AND q.domain > :turn), 1
  UNION ALL
  SELECT (SELECT min(q.domain) FROM queue q WHERE q.state = 'waiting' AND q.domain > walk.domain), walk.n + 1
  FROM walk WHERE walk.domain IS NOT NULL AND walk.n < :steps
)
SELECT walk.domain, (
  SELECT q.message_id FROM queue q
  WHERE q.state = 'waiting' AND q.domain = walk.domain AND q.due_at <= {now}
  ORDER BY q.due_at LIMIT 1
) AS message_id
FROM walk WHERE walk.domain IS NOT NULL
"""
_RENEW = (
    update(queue)
    .where(queue.c.delivery_id == bindparam("b_id"))
    .where(queue.c.lease == bindparam("b_lease"))
    .values(due_at=database_now() + bindparam("b_seconds", type_=Double))
)


def claim(
    connection: Connection,
    *,
    lease: str,
    lease_seconds: float,
    messages: int,
    held: Set[bytes] = frozenset(),
    crowded: Collection[str] = (),
    turn: str = "",
) -> Share:
    """Takes what is due, at most so many messages: rows nobody holds, or whose holder let the lease run out.
    Those in `held` are being worked on by the caller already: they are not given, and their lease is prolonged unless
    the work has just ended and let go of it.
    Of domains in `crowded` only what shares a message with others is taken."""
    ids, more, turn = _next(connection, messages, crowded, turn)
    ids = _affordable(connection, ids)
    if not ids:
        return Share(claimed=(), more=False, turn=turn)
    free = select(queue.c.delivery_id).where(queue.c.message_id.in_(ids), *_STILL_FREE)
    taking = update(queue).where(queue.c.message_id.in_(ids), *_STILL_FREE)
    if held and (mine := held & {bytes(one) for one in connection.execute(free).scalars()}):
        taking = taking.where(or_(queue.c.lease == lease, queue.c.delivery_id.not_in(mine)))
    if connection.dialect.name == "postgresql":
        taking = taking.where(queue.c.delivery_id.in_(free.with_for_update(skip_locked=True)))
    taken: Any = connection.execute(
        taking.values(lease=lease, due_at=database_now() + lease_seconds).returning(queue.c.delivery_id)
    )
    mine = {bytes(row.delivery_id) for row in taken}.difference(held)
    return Share(claimed=tuple(read(connection, ids, mine)), more=more, turn=turn)


def _next(
    connection: Connection, messages: int, crowded: Collection[str], turn: str
) -> tuple[list[bytes], bool, str]:
    """Whose turn it is: message ids, whether more is due, and where the turns go on."""
    ids: dict[bytes, None] = {}
    most = messages * _ROWS_FOR_EACH
    rows = connection.execute(_OLDEST, {"b_state": WAITING, "b_most": most}).all()
    oldest = dict.fromkeys(bytes(row.message_id) for row in rows if row.domain not in crowded)
    if len(rows) < most:
        return list(oldest)[:messages], len(oldest) > messages, turn
    for domain, message_id in _turns(connection, turn):
        if len(ids) >= max(messages // 2, 1):
            break
        turn = domain
        if message_id is not None and domain not in crowded:
            ids[message_id] = None
    else:
        turn = ""
    return list(ids | oldest)[:messages], True, turn


def _turns(connection: Connection, turn: str) -> list[tuple[str, bytes | None]]:
    """The next domains with something waiting, each with its oldest message that is due."""
    now = str(database_now().compile(dialect=connection.dialect))
    walk = text(_TURNS.format(now=now)).columns(message_id=Id)
    rows = connection.execute(walk, {"turn": turn, "steps": _STEPS})
    return [(row.domain, None if row.message_id is None else bytes(row.message_id)) for row in rows]


def _affordable(connection: Connection, ids: list[bytes]) -> list[bytes]:
    """As many of them, from the first on, as may be in memory together."""
    if not ids:
        return ids
    sizes = select(spool.c.message_id, func.length(spool.c.data)).where(spool.c.message_id.in_(ids))
    octets = {bytes(row[0]): row[1] for row in connection.execute(sizes)}
    taken: list[bytes] = []
    total = 0
    for one in ids:
        total += octets.get(one, 0)
        if taken and total > MOST_OCTETS:
            break
        taken.append(one)
    return taken


def read(connection: Connection, ids: Collection[bytes], mine: Collection[bytes]) -> Iterable[Claimed]:
    """The messages of these ids with those of their recipients in `mine`. What cannot be read is set aside."""
    joined = (
        select(
            queue,
            database_now().label("now"),
            deliveries.c.mode,
            deliveries.c.opens,
            deliveries.c.clicks,
            deliveries.c.override,
            deliveries.c.reason,
        )
        .outerjoin(deliveries, deliveries.c.id == queue.c.delivery_id)
        .where(queue.c.message_id.in_(ids))
    )
    theirs: dict[bytes, list[Any]] = {}
    for row in connection.execute(joined):
        if bytes(row.delivery_id) in mine:
            theirs.setdefault(bytes(row.message_id), []).append(row)
    originals = _originals(connection, list(theirs))
    for message_id in ids:
        if (rows := theirs.get(message_id)) is None:
            continue
        try:
            waiting = tuple(map(waiting_of, sorted(rows, key=lambda row: row.position)))
            row = originals[message_id] if message_id in originals else _original(connection, message_id)
            yield Claimed(submission=submission_of(row, waiting), waiting=waiting)
        except (ValueError, TypeError, KeyError, NoResultFound):
            log.set_aside(message_id.hex(), recipients=len(rows))
            _set_aside(connection, [bytes(row.delivery_id) for row in rows])


def _originals(connection: Connection, ids: list[bytes]) -> dict[bytes, Any]:
    """All together; nothing where one of them cannot even be read: they are then read one by one, so that it does
    not take the others with it."""
    try:
        rows = connection.execute(select(spool).where(spool.c.message_id.in_(ids))).all()
    except (ValueError, TypeError, KeyError):
        return {}
    return {bytes(row.message_id): row for row in rows}


def _original(connection: Connection, message_id: bytes) -> Any:
    return connection.execute(select(spool).where(spool.c.message_id == message_id)).one()


def _set_aside(connection: Connection, ids: list[bytes]) -> None:
    """A damaged row is kept for the operator and never blocks the others."""
    for start in range(0, len(ids), 500):
        these = queue.c.delivery_id.in_(ids[start : start + 500])
        connection.execute(update(queue).where(these).values(state=DAMAGED, lease="", due_at=database_now()))


def renew(connection: Connection, ids: Iterable[bytes], *, lease: str, lease_seconds: float) -> None:
    """Goes on holding these recipients, as far as they are held under `lease`."""
    rows = [{"b_id": one, "b_lease": lease, "b_seconds": lease_seconds} for one in ids]
    execute(connection, [(_RENEW, rows)])


def release(connection: Connection, *, leases: Collection[str]) -> int:
    """Lets go of everything held under these leases, and says how many rows that were: at an orderly stop, and of
    who is known to be dead, others need not wait for them to run out."""
    let_go = update(queue).where(queue.c.lease.in_(leases))
    earlier = case((queue.c.due_at < database_now(), queue.c.due_at), else_=database_now())
    return connection.execute(let_go.values(lease="", due_at=earlier)).rowcount


def leases(connection: Connection) -> list[str]:
    """Whoever holds something."""
    return list(connection.execute(select(queue.c.lease).distinct().where(queue.c.lease != "")).scalars())


def next_due(connection: Connection) -> float | None:
    """Seconds until something falls due (0 or less: now); None when nothing waits."""
    seconds: float | None = connection.execute(_NEXT_DUE, {"b_state": WAITING}).scalar_one_or_none()
    return seconds


_LATEST = (
    select(queue.c.due_at - database_now())
    .where(queue.c.state == bindparam("b_state"))
    .order_by(queue.c.due_at.desc())
    .limit(1)
)


def latest_due(connection: Connection) -> float:
    """Seconds until the last of what waits is due; 0 when nothing waits."""
    found = connection.execute(_LATEST, {"b_state": WAITING}).scalar_one_or_none()
    return 0.0 if found is None else float(found)


def sooner(connection: Connection, seconds: float, *, lease_seconds: float) -> int:
    """What is due in more than so many seconds is due now, or when its holder, if there is still one, does not renew
    its lease; gives how many."""
    late = update(queue).where(queue.c.state == WAITING, queue.c.due_at > database_now() + seconds)
    held = database_now() + lease_seconds
    return connection.execute(
        late.values(due_at=case((queue.c.lease == "", database_now()), else_=held))
    ).rowcount
