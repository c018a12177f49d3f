"""What an operator may see and do of the queue, while relays work on it: Postfix's postqueue and postsuper.

Whatever is being sent at the moment is left to the worker that has it, and counted as `sending`: a hold takes effect
after that try, a drop has to be asked for again. Nothing is dropped without an outcome on record that says who did it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, case, select, update

from relay.outcome import Outcome, Status
from relay.personalize import Addressed
from relay.queue import LEASE_SECONDS, Queue
from relay.replies import Reply
from relay.settlement import Settlement
from relay.store import claims, selection
from relay.store.schema import queue
from relay.store.selection import Selection
from relay.store.spool import DAMAGED, HELD, STATE, WAITING, Claimed, Waiting, database_now
from relay.submission import Client, Recipient, Submission
from tracker.consent import untracked
from tracker.domain import Domain
from tracker.errors import NotFound

T = TypeVar("T")
_AT_ONCE = 200
"""Recipients in one transaction: a relay that runs beside waits no longer than that takes."""
_WITHIN = 30.0


class _OnIds(Protocol):
    def __call__(self, connection: Connection, /, ids: list[bytes]) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of those who were meant."""

    changed: int
    sending: int
    """In a worker's hands at the moment."""
    damaged: int = 0
    """Cannot be returned to their sender, because their message cannot be read."""


class Postmaster:
    """The queue in an operator's hands. Its methods raise StoreUnavailable, InvalidValue and NotFound."""

    def __init__(
        self, domain: Domain, queue: Queue, settlement: Settlement, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = domain.database
        self._deliveries = domain.deliveries
        self._queue = queue
        self._settlement = settlement
        self._clock = clock

    async def find(self, prefix: str) -> Selection:
        """The one message whose id begins so."""
        message_id = await self._read(lambda connection: selection.the_message(connection, prefix))
        return Selection(message=message_id.hex())

    async def count(self, wanted: Selection) -> dict[str, int]:
        return await self._read(lambda connection: selection.how_many(connection, wanted))

    async def page(self, wanted: Selection, *, limit: int, offset: int = 0) -> list[dict[str, Any]]:
        """Recipients who wait, oldest first."""
        return await self._read(
            lambda connection: selection.page(connection, wanted, limit=limit, offset=offset)
        )

    async def statistics(self, *, domains: int) -> dict[str, Any]:
        return await self._read(lambda connection: selection.statistics(connection, domains=domains))

    async def show(self, prefix: str) -> dict[str, Any]:
        """One message with all its recipients, those it has reached included, and every attempt."""
        wanted = await self.find(prefix)
        message_id = bytes.fromhex(wanted.message)
        waiting = await self.page(wanted, limit=1_000_000)
        ids = [bytes.fromhex(one["delivery"]) for one in waiting]
        tries = await self._read(lambda connection: selection.tries_of(connection, ids))
        for one in waiting:
            one["attempts"] = tries.get(bytes.fromhex(one["delivery"]), [])
        try:
            story = await self._deliveries.show(message_id)
        except NotFound:  # came while the store was away
            story = {"subject": "", "deliveries": []}
        return {
            "id": wanted.message,
            "subject": story["subject"],
            **await self._read(lambda connection: selection.envelope_of(connection, message_id)),
            "waiting": waiting,
            "settled": [one for one in story["deliveries"] if bytes.fromhex(one["id"]) not in set(ids)],
        }

    async def original(self, prefix: str) -> bytes:
        """The message as it came."""
        wanted = await self.find(prefix)
        return await self._read(
            lambda connection: selection.original_of(connection, bytes.fromhex(wanted.message))
        )

    async def retry(self, wanted: Selection) -> Done:
        """What waits is due now."""

        def due(connection: Connection, ids: list[bytes]) -> int:
            now = update(queue).where(selection.free(ids), STATE == WAITING)
            return connection.execute(now.values(due_at=database_now(), lease="")).rowcount

        return await self._change(wanted, due)

    async def hold(self, wanted: Selection) -> Done:
        """What waits is not tried until it is released; what is being sent, not after this try."""

        def hold(connection: Connection, ids: list[bytes]) -> int:
            waiting = update(queue).where(queue.c.delivery_id.in_(ids), STATE == WAITING)
            return connection.execute(waiting.values(state=HELD)).rowcount

        return await self._change(wanted, hold)

    async def release(self, wanted: Selection) -> Done:
        """What was held or set aside as damaged is tried (and read) again."""

        def release(connection: Connection, ids: list[bytes]) -> int:
            kept = update(queue).where(queue.c.delivery_id.in_(ids), STATE.in_((HELD, DAMAGED)))
            now = case((queue.c.lease == "", database_now()), else_=queue.c.due_at)
            return connection.execute(kept.values(state=WAITING, due_at=now)).rowcount

        return await self._change(wanted, release)

    async def drop(self, wanted: Selection, *, bounce: bool, by: str, why: str = "") -> Done:
        """Nothing more is tried; with `bounce` the sender is told, as far as a report is owed."""
        sending = (await self.count(wanted))[selection.SENDING]
        status = Status.BOUNCED if bounce else Status.SKIPPED
        text = "Dropped by the operator" + (f": {why}" if why else "")
        reply = Reply(code=554, detail="7.0", text=text)
        changed = damaged = 0
        for ids in _shares(await self._read(lambda connection: selection.ids_of(connection, wanted))):
            taken = await self._database.change(partial(self._take, ids=ids))
            claimed = await (self._whole(taken) if bounce else self._ids_alone(taken))
            for one in claimed:
                outcome = Outcome(status=status, reply=reply, host=f"operator {by}", at=self._clock())
                people = [_addressed(waiting) for waiting in one.waiting]
                changed += await self._settlement.dispose(one.submission, people, outcome)
            damaged += len(taken) - sum(len(one.waiting) for one in claimed)
        return Done(changed=changed, sending=sending, damaged=damaged)

    def _take(self, connection: Connection, ids: list[bytes]) -> list[bytes]:
        """Puts what is free under a lease of ours, whatever state it is in."""
        taking = update(queue).where(selection.free(ids))
        lease = {"lease": self._queue.lease, "due_at": database_now() + LEASE_SECONDS}
        taken: Any = connection.execute(taking.values(lease).returning(queue.c.delivery_id))
        return [bytes(row.delivery_id) for row in taken]

    async def _whole(self, ids: list[bytes]) -> list[Claimed]:
        """With their messages, for the reports; what cannot be read is set aside."""

        def read(connection: Connection) -> list[Claimed]:
            of = select(queue.c.message_id).where(queue.c.delivery_id.in_(ids)).distinct()
            messages = [bytes(row.message_id) for row in connection.execute(of)]
            return [one for id in messages for one in claims.read(connection, [id], set(ids))]

        return await self._database.change(read)

    async def _ids_alone(self, ids: list[bytes]) -> list[Claimed]:
        """Without their messages: nobody is told."""

        def read(connection: Connection) -> list[Claimed]:
            rows = connection.execute(select(queue).where(queue.c.delivery_id.in_(ids)))
            theirs: dict[bytes, list[Waiting]] = {}
            for row in rows:
                recipient = Recipient(address=row.address)
                one = Waiting(delivery_id=bytes(row.delivery_id), position=row.position, recipient=recipient)
                theirs.setdefault(bytes(row.message_id), []).append(one)
            return [
                Claimed(submission=self._nameless(id, one), waiting=tuple(one)) for id, one in theirs.items()
            ]

        return await self._read(read)

    def _nameless(self, message_id: bytes, waiting: Iterable[Waiting]) -> Submission:
        return Submission(
            id=message_id,
            sender="",
            recipients=tuple(one.recipient for one in waiting),
            data=b"",
            received_at=self._clock(),
            client=Client(address=""),
        )

    async def _change(self, wanted: Selection, work: _OnIds) -> Done:
        sending = (await self.count(wanted))[selection.SENDING]
        changed = 0
        for ids in _shares(await self._read(lambda connection: selection.ids_of(connection, wanted))):
            changed += await self._database.change(partial(work, ids=ids))
        return Done(changed=changed, sending=sending)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read(work, within=_WITHIN)


def _shares(ids: list[bytes]) -> Iterable[list[bytes]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _addressed(waiting: Waiting) -> Addressed:
    return Addressed(
        delivery_id=waiting.delivery_id,
        position=waiting.position,
        recipient=waiting.recipient,
        normal=waiting.recipient.address,
        decision=waiting.sent or untracked("no-record"),
    )
