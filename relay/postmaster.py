"""What an operator may do of the queue beyond what the store alone allows: give mail up, with a report to its sender.

Whatever is being sent at the moment is left to the worker that has it, and counted as `sending`: a drop has to be
asked for again. Nothing is dropped without an outcome on record that says who did it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from relay.compiled import Compiler
from relay.config import Config
from relay.outcome import Outcome, Status
from relay.personalize import Addressed
from relay.queue import LEASE_SECONDS, Queue
from relay.replies import Reply
from relay.settlement import Settlement
from relay.store import claims, selection
from relay.store.schema import queue
from relay.store.selection import Selection
from relay.store.spool import Claimed, Waiting, database_now
from relay.store.steering import Done, Steering, shares
from relay.submission import Client, Recipient, Submission
from tracker.consent import untracked
from tracker.domain import Domain

__all__ = ["Done", "Postmaster", "postmaster"]


def postmaster(domain: Domain, config: Config, queue: Queue | None = None) -> Postmaster:
    """The queue in an operator's hands, as this configuration has it. `queue`: whose lease it works under; one of its
    own unless given."""
    queue = queue or Queue(domain.database, config.queue)
    compiler = Compiler(config.rewrite.rules(*config.tracker.urls), domain.ring, {})
    settlement = Settlement(
        domain, queue, compiler, config.override, hostname=config.relay.name, clock=_utc_now
    )
    return Postmaster(domain, queue, settlement, clock=_utc_now)


class Postmaster(Steering):
    """All of it. Its methods raise StoreUnavailable, InvalidValue and NotFound."""

    def __init__(
        self, domain: Domain, queue: Queue, settlement: Settlement, *, clock: Callable[[], datetime]
    ) -> None:
        super().__init__(domain)
        self._queue = queue
        self._settlement = settlement
        self._clock = clock

    async def drop(self, wanted: Selection, *, bounce: bool, by: str, why: str = "") -> Done:
        """Nothing more is tried; with `bounce` the sender is told, as far as a report is owed."""
        sending = (await self.count(wanted))[selection.SENDING]
        status = Status.BOUNCED if bounce else Status.SKIPPED
        text = "Dropped by the operator" + (f": {why}" if why else "")
        reply = Reply(code=554, detail="7.0", text=text)
        changed = damaged = 0
        for ids in shares(await self._read(lambda connection: selection.ids_of(connection, wanted))):
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


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _addressed(waiting: Waiting) -> Addressed:
    return Addressed(
        delivery_id=waiting.delivery_id,
        position=waiting.position,
        recipient=waiting.recipient,
        normal=waiting.recipient.address,
        decision=waiting.sent or untracked("no-record"),
    )
