"""What is written about a message: that it came, what became of each recipient, what is still owed, and the
reports on what failed. One transaction each, so that a crash leaves all of it or nothing.

When the store is away at the end of a successful try, the outcome is kept in memory and written when the store is
back: upstream has the mail, and the client is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from relay import log
from relay.compiled import Compiled, Compiler, normal_form
from relay.config import OverrideTable
from relay.dsn import Failure, failure_report
from relay.outcome import Outcome, Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.store.spool import Waiting, deferring, removing
from relay.submission import Submission
from tracker.consent import untracked
from tracker.domain import Domain
from tracker.errors import StoreError, StoreUnavailable
from tracker.store import deliveries
from tracker.store.database import Statement, execute
from tracker.store.register import overriding

Outcomes = Mapping[bytes, Outcome]
"""By delivery id."""
_MOST_UNSAVED = 10_000
_SAVE_AGAIN = 2.0


class Settlement:
    """Writes for one process."""

    def __init__(
        self,
        domain: Domain,
        queue: Queue,
        compiler: Compiler,
        override: OverrideTable,
        *,
        hostname: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._domain = domain
        self._queue = queue
        self._compiler = compiler
        self._override = override
        self._hostname = hostname
        self._clock = clock
        self._unsaved: list[tuple[str, tuple[Statement, ...]]] = []
        self._saver: asyncio.Task[None] | None = None

    async def record(self, message: Compiled, addressed: Sequence[Addressed]) -> bool:
        """Writes down message and deliveries, as returned until we know better: should this process die now,
        that is what they are. False when the store does not take it."""
        statements = recording(message, addressed, Status.RETURNED)
        passed_over = [one.normal for one in addressed if one.decision.override and one.normal]
        try:
            if passed_over:
                note = self._overriding(message, passed_over)

                def write(connection: Connection) -> None:
                    execute(connection, statements)
                    note(connection)

                await self._domain.database.change(write)
            else:
                await self._domain.database.write(*statements)
        except StoreError as error:
            log.not_recorded(message.id, error=error)
            return False
        return True

    async def queue_all(self, message: Compiled, addressed: Sequence[Addressed]) -> None:
        """Store-and-forward: everybody is owed the message. Raises StoreError."""
        await self._domain.database.write(
            *self._queue.keeping(
                message.submission, [_waiting(one) for one in addressed], mine=False, tried=False
            ),
            deliveries.queueing([one.delivery_id for one in addressed], self._clock()),
        )

    async def keep(
        self, message: Compiled, addressed: Sequence[Addressed], outcomes: Outcomes, *, mine: bool
    ) -> list[Addressed]:
        """Commits the outcomes so far, what is still owed and the reports on what failed; gives the recipients
        still open. `mine`: this process goes on with them now. Raises StoreError."""
        owed = [one for one in addressed if not _settled(outcomes, one)]
        waiting = [_waiting(one, tries=int(one.delivery_id in outcomes)) for one in owed]
        await self._domain.database.write(
            *(self._queue.keeping(message.submission, waiting, mine=mine, tried=True) if waiting else ()),
            deliveries.queueing([one.delivery_id for one in owed], self._clock()),
            *settling(addressed, outcomes),
            *self._reporting(message.submission, addressed, outcomes),
        )
        return owed

    async def settle(
        self, message: Compiled, addressed: Sequence[Addressed], outcomes: Outcomes, *, returned: bool
    ) -> None:
        """Writes what became of everybody; `returned`: the client was told to try again and keeps the mail."""
        await self._save(message.id, settling(addressed, outcomes, Status.RETURNED if returned else None))

    async def finish(
        self,
        submission: Submission,
        addressed: Sequence[Addressed],
        outcomes: Outcomes,
        *,
        tries: Mapping[bytes, int],
        expired: frozenset[bytes] = frozenset(),
    ) -> None:
        """Writes what a try under the queue's ownership led to: settled recipients leave the queue, the others
        get their next turn, failures are reported. Those in `expired` get no further turn."""
        final = {
            one: replace(outcome, status=Status.BOUNCED)
            if one in expired and not outcome.settled
            else outcome
            for one, outcome in outcomes.items()
        }
        settled = [one.delivery_id for one in addressed if _settled(final, one)]
        again = [
            (one.delivery_id, self._queue.delay(tries.get(one.delivery_id, 0) + 1))
            for one in addressed
            if not _settled(final, one)
        ]
        lease = self._queue.lease
        await self._save(
            submission.id.hex(),
            (
                *settling(addressed, final),
                *self._reporting(submission, addressed, final, expired),
                deferring(again, lease),
                *removing(settled, submission.id, lease),
            ),
        )

    async def close(self, *, grace: float) -> None:
        """Gives what is unsaved a last chance."""
        if self._saver is not None:
            await asyncio.wait({self._saver}, timeout=grace)
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)

    def _overriding(self, message: Compiled, addresses: Sequence[str]) -> Callable[[Connection], None]:
        """Each person whose consent is passed over finds that in the ledger, with the ground it stands on."""
        content = {
            "message": message.id,
            "user": message.submission.client.user or "",
            "lawful_basis": self._override.lawful_basis,
            "confirmed_by": self._override.lawful_basis_confirmed_by,
        }
        return overriding(addresses, content, now=self._clock(), ring=self._domain.ring)

    def _reporting(
        self,
        submission: Submission,
        addressed: Sequence[Addressed],
        outcomes: Outcomes,
        expired: frozenset[bytes] = frozenset(),
    ) -> tuple[Statement, ...]:
        """The statements that queue the report on recipients refused for good; none where none is owed."""
        failures = [
            Failure(recipient=one.recipient, outcome=outcome, expired=one.delivery_id in expired)
            for one in addressed
            if (outcome := outcomes.get(one.delivery_id)) is not None and outcome.status is Status.BOUNCED
        ]
        report = failure_report(submission, failures, hostname=self._hostname, now=self._clock())
        if report is None:
            if failures:
                log.no_report_owed(submission.id.hex(), recipients=len(failures))
            return ()
        recipient = report.recipients[0]
        sender = Addressed(
            delivery_id=report.id,
            position=0,
            recipient=recipient,
            normal=normal_form(recipient) or recipient.address,
            decision=untracked("null-sender"),
        )
        message = self._compiler.compile(report)
        return (
            *recording(message, [sender], Status.QUEUED),
            *self._queue.keeping(report, [_waiting(sender)], mine=False, tried=False),
        )

    async def _save(self, message_id: str, statements: tuple[Statement, ...]) -> None:
        """Writes now, or as soon as the store is back."""
        try:
            await self._domain.database.write(*statements)
        except StoreUnavailable as error:
            if len(self._unsaved) >= _MOST_UNSAVED:
                log.outcome_lost(message_id, error=error)
                return
            self._unsaved.append((message_id, statements))
            if self._saver is None or self._saver.done():
                self._saver = asyncio.create_task(self._save_later())
        except StoreError as error:
            log.outcome_lost(message_id, error=error)

    async def _save_later(self) -> None:
        while self._unsaved:
            await asyncio.sleep(_SAVE_AGAIN)
            batch = self._unsaved[:100]
            try:
                await asyncio.gather(*(self._domain.database.write(*statements) for _, statements in batch))
            except StoreUnavailable:
                continue
            except StoreError as error:
                for message_id, _ in batch:
                    log.outcome_lost(message_id, error=error)
            del self._unsaved[: len(batch)]


def recording(message: Compiled, addressed: Sequence[Addressed], status: Status) -> tuple[Statement, ...]:
    """The statements that write down a message and its deliveries."""
    submission, controls, options = message.submission, message.controls, message.controls.options
    row = deliveries.Message(
        id=submission.id,
        mailing=message.mailing,
        received_at=submission.received_at,
        sender=message.mailing.sender,
        from_header=controls.from_header,
        subject=controls.subject,
        tags=options.tags,
        variant=options.variant,
        message_class=options.message_class,
        size=len(submission.data),
        untouched=message.untouchable,
        links=tuple((link.number, link.url, link.text) for link in message.plan.links),
    )
    sent = [
        deliveries.Delivery(
            id=one.delivery_id,
            message_id=submission.id,
            position=one.position,
            recipient=one.normal,
            group=one.group,
            decision=one.decision,
            status=str(status),
        )
        for one in addressed
    ]
    return deliveries.recording(row, sent)


def settling(
    addressed: Iterable[Addressed], outcomes: Outcomes, status: Status | None = None
) -> tuple[Statement, ...]:
    """The statements that write attempts and states; `status` stands in for every state when given."""
    return deliveries.settling(
        deliveries.Attempt(
            delivery_id=one.delivery_id,
            at=outcome.at,
            status=str(status or outcome.status),
            host=outcome.host,
            tls=outcome.tls,
            code=outcome.reply.code,
            enhanced=outcome.reply.enhanced,
            # Upstream likes to quote the address, and of an erased person there is none to be kept.
            text="" if one.normal is None else outcome.reply.text[:1000],
        )
        for one in addressed
        if (outcome := outcomes.get(one.delivery_id)) is not None
    )


def _waiting(one: Addressed, *, tries: int = 0) -> Waiting:
    return Waiting(delivery_id=one.delivery_id, position=one.position, recipient=one.recipient, tries=tries)


def _settled(outcomes: Outcomes, one: Addressed) -> bool:
    outcome = outcomes.get(one.delivery_id)
    return outcome is not None and outcome.settled
