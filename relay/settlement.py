"""What is written about a message: that it came, what became of each recipient, what is still owed, and the
reports on it. One transaction each, so that a crash leaves all of it or nothing; many messages share one.

When the store is away at the end of a successful try, the outcome is kept in memory and written when the store is
back (`relay.unsaved`): upstream has the mail, and the client is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from relay import log, replies
from relay.bounces import concerns_mailbox
from relay.compiled import Compiled, Compiler
from relay.config import OverrideTable
from relay.outcome import Outcome, Outcomes, Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.records import as_kept, may_be_kept, narrowing, recording, settling
from relay.reporting import Reporting, report_ids
from relay.store.originals import keeping_original
from relay.store.returns import keeping_sender
from relay.store.spool import (
    Waiting,
    deferring,
    ours,
    removing,
    telling,
    withdrawing,
    withdrawing_report,
)
from relay.store.suppression import Suppressing
from relay.submission import Submission
from relay.unsaved import Saving, Unsaved
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.store import deliveries
from tracker.store.database import Statement, execute
from tracker.store.register import overriding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finishing:
    """What a try under the queue's ownership led to, to be written."""

    submission: Submission
    addressed: tuple[Addressed, ...]
    outcomes: Outcomes
    waited: Mapping[bytes, Waiting]
    expired: frozenset[bytes]
    plain: Collection[bytes]
    told: Outcomes
    """What reports say, where that is less than what is written."""
    sender_kept: bool = False
    """Reports will come back to us: its sender is to be on record, if it is not yet."""


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
        suppressing: Suppressing | None = None,
        keeps_originals: bool = False,
    ) -> None:
        """`keeps_originals`: messages stay to be looked at, as `relay.store.originals` says which."""
        self._keeps_originals = keeps_originals
        self._domain = domain
        self._suppressing = suppressing or Suppressing(ring=domain.ring)
        self._queue = queue
        self._override = override
        self._clock = clock
        self.unsaved = Unsaved(queue.let_go)
        self._reporting = Reporting(queue, compiler, self._recording, hostname=hostname, clock=clock)

    async def record(
        self, message: Compiled, addressed: Sequence[Addressed], sender_kept: bool = False
    ) -> bool:
        """Writes down message and deliveries, as returned until we know better: should this process die now,
        that is what they are. `sender_kept`: reports will come back to us, and be passed on to its sender. False when
        the store does not take it."""
        try:
            await self._write(
                message,
                addressed,
                (
                    *self._recording(message, addressed, Status.RETURNED, sender_kept=sender_kept),
                    *self._original(message, addressed),
                ),
            )
        except StoreError as error:
            log.not_recorded(message.id, error=error)
            return False
        return True

    async def accept(
        self,
        message: Compiled,
        addressed: Sequence[Addressed],
        skipped: Outcomes,
        *,
        mine: bool,
        sender_kept: bool = False,
    ) -> tuple[Waiting, ...]:
        """Store-and-forward, in one transaction: the message is on record, and everybody is owed it who is not
        skipped. `mine`: this process goes on with it now. Raises StoreError."""
        waiting = tuple(_waiting(one) for one in addressed if one.delivery_id not in skipped)
        kept = self._queue.keeping(message.submission, waiting, mine=mine, tried=False) if waiting else ()
        recorded = self._recording(message, addressed, Status.QUEUED, sender_kept=sender_kept)
        original = self._original(message, addressed)
        await self._write(message, addressed, (*recorded, *settling(addressed, skipped), *kept, *original))
        if mine:
            self._queue.hold(one.delivery_id for one in waiting)
        return waiting

    async def keep(
        self,
        message: Compiled,
        addressed: Sequence[Addressed],
        outcomes: Outcomes,
        *,
        mine: bool,
        report_id: bytes,
        plain: Collection[bytes] = (),
    ) -> list[Addressed]:
        """Commits the outcomes so far, what is still owed and the report on what failed, under `report_id`; gives
        the recipients still open. `mine`: this process goes on with them now. Raises StoreError."""
        owed = [one for one in addressed if not _settled(outcomes, one)]
        # Whom upstream put off while the try goes on for others is written down once, when it is over.
        known = {one: outcome for one, outcome in outcomes.items() if outcome.settled or not mine}
        waiting = [_waiting(one, tries=int(one.delivery_id in known)) for one in owed]
        await self._domain.database.write(
            *(self._queue.keeping(message.submission, waiting, mine=mine, tried=True) if waiting else ()),
            deliveries.queueing([one.delivery_id for one in owed], self._clock()),
            *self._hard_bounces(addressed, known),
            narrowing(addressed, known, plain),
            *settling(addressed, known),
            *self._reporting.owed(message.submission, addressed, known, report_id=report_id),
        )
        if mine:
            self._queue.hold(one.delivery_id for one in owed)
        return owed

    async def settle(
        self,
        message: Compiled,
        addressed: Sequence[Addressed],
        outcomes: Outcomes,
        *,
        returned: bool,
        plain: Collection[bytes] = (),
        withdraw: bytes | None = None,
    ) -> None:
        """Writes what became of everybody; `returned`: the client was told to try again and keeps the mail.
        `withdraw`: nobody may be left in the queue, where `keep` may have put them before it ran out of time, nor
        the report of this id."""
        ids = tuple(one.delivery_id for one in addressed)
        # Of a refusal the client itself hears; that upstream makes no reports it would never know.
        taken = {one: outcome for one, outcome in outcomes.items() if outcome.status is Status.ACCEPTED}
        statements = (
            *self._hard_bounces(addressed, outcomes),
            *settling(addressed, outcomes, Status.RETURNED if returned else None),
            narrowing(addressed, outcomes, plain),
            *(withdrawing(ids, message.submission.id) if withdraw is not None else ()),
            *(one for id in (report_ids(withdraw) if withdraw else ()) for one in withdrawing_report(id)),
            *self._reporting.owed(message.submission, addressed, taken),
        )
        await self.unsaved.write(
            Saving(
                message_id=message.id,
                ids=ids,
                save=lambda: self._domain.database.write(*statements, may_wait=True),
            )
        )

    async def finish(
        self,
        submission: Submission,
        addressed: Sequence[Addressed],
        outcomes: Outcomes,
        *,
        waited: Mapping[bytes, Waiting],
        expired: frozenset[bytes] = frozenset(),
        plain: Collection[bytes] = (),
        sender_kept: bool = False,
    ) -> None:
        """Writes what a try under the queue's ownership led to: settled recipients leave the queue, the others
        get their next turn, the sender hears of failures and delays. Those in `expired` get no further turn.
        Nothing is written of those whom another process has taken over; so it does no harm to do it twice."""
        final = {
            one: replace(outcome, status=Status.BOUNCED)
            if one in expired and not outcome.settled
            else outcome
            for one, outcome in (self._nothing_heard(expired) | dict(outcomes)).items()
        }
        ids = tuple(one.delivery_id for one in addressed)
        finishing = _Finishing(
            submission=submission,
            addressed=tuple(addressed),
            outcomes=final,
            waited=waited,
            expired=expired,
            plain=frozenset(plain),
            told=final,
            sender_kept=sender_kept,
        )

        async def save() -> None:
            if lost := await self._domain.database.together(self._finish, finishing, may_wait=True):
                log.lease_lost(submission.id.hex(), recipients=lost)
            self._queue.let_go(ids)

        await self.unsaved.write(Saving(message_id=submission.id.hex(), ids=ids, save=save))

    async def dispose(self, submission: Submission, addressed: Sequence[Addressed], outcome: Outcome) -> int:
        """Writes what an operator decided of recipients who are held by this process; gives how many it was in time
        for. Who it was stands in the record and in no report. Raises StoreError."""
        outcomes = {one.delivery_id: outcome for one in addressed}
        finishing = _Finishing(
            submission=submission,
            addressed=tuple(addressed),
            outcomes=outcomes,
            waited={},
            expired=frozenset(),
            plain=frozenset(),
            told={one: replace(outcome, host="") for one in outcomes},
        )
        return len(addressed) - await self._domain.database.together(self._finish, finishing)

    async def close(self, *, grace: float) -> None:
        """Gives what is unsaved a last chance."""
        await self.unsaved.close(grace=grace)

    def _nothing_heard(self, ids: Iterable[bytes]) -> dict[bytes, Outcome]:
        """For those of whom the try itself had nothing to say, since it came to grief."""
        lost = Outcome(status=Status.DEFERRED, reply=replies.EXPIRED, at=self._clock())
        return dict.fromkeys(ids, lost)

    def _finish(self, connection: Connection, some: list[_Finishing]) -> list[int]:
        """Several at once; gives the number of recipients of each that were another's by now."""
        held = ours(
            connection,
            [person.delivery_id for one in some for person in one.addressed],
            {one.submission.id for one in some},
            self._queue.lease,
        )
        mine = [[person for person in one.addressed if person.delivery_id in held] for one in some]
        statements = (self._finishing(one, ours) for one, ours in zip(some, mine, strict=True))
        execute(connection, (statement for those in statements for statement in those))
        return [len(one.addressed) - len(ours) for one, ours in zip(some, mine, strict=True)]

    def _finishing(self, one: _Finishing, mine: Sequence[Addressed]) -> tuple[Statement, ...]:
        settled = [person.delivery_id for person in mine if _settled(one.outcomes, person)]
        open_ = [person for person in mine if not _settled(one.outcomes, person)]
        late = self._late(one, open_)
        lease = self._queue.lease
        return (
            *self._hard_bounces(mine, one.outcomes),
            # Consent was asked again for this try: the record says what the copy that went out really carries,
            # before it says who got one.
            narrowing(self._changed(one, mine), one.outcomes, one.plain, everybody=True),
            *settling(mine, one.outcomes),
            *self._reporting.owed(one.submission, mine, one.told, expired=one.expired),
            *self._reporting.delayed(one.submission, late, lifetime=self._queue.settings.lifetime),
            telling([waiting.delivery_id for waiting, _ in late], lease),
            deferring(self._delays(one, open_), lease),
            *(self._sender(one.submission) if one.sender_kept else ()),
            *removing(settled, one.submission.id, lease),
        )

    def _changed(self, one: _Finishing, mine: Sequence[Addressed]) -> list[Addressed]:
        """Those whose copy carried something else than is on record."""
        return [
            person
            for person in mine
            if person.delivery_id in one.plain
            or (waiting := one.waited.get(person.delivery_id)) is None
            or waiting.sent != person.decision
        ]

    def _sender(self, submission: Submission) -> tuple[Statement, ...]:
        return (keeping_sender(submission.id, submission.sender, self._domain.ring),)

    def _hard_bounces(self, addressed: Iterable[Addressed], outcomes: Outcomes) -> tuple[Statement, ...]:
        """The statements that count those refused because there is no such mailbox, where that is wanted."""
        refused = {
            one.normal: outcome.reply.enhanced
            for one in addressed
            if (outcome := outcomes.get(one.delivery_id)) is not None
            and outcome.status is Status.BOUNCED
            and concerns_mailbox(outcome.reply.enhanced)
            and one.normal is not None
        }
        return self._suppressing.bounced(refused, self._clock()) if refused else ()

    def _late(self, one: _Finishing, mine: Iterable[Addressed]) -> list[tuple[Waiting, Outcome]]:
        """Of whom the sender is to be told now that they are late."""
        warning = self._queue.settings.delay_warning
        return [
            (waiting, outcome)
            for person in mine
            if warning > 0
            and (waiting := one.waited.get(person.delivery_id)) is not None
            and (outcome := one.outcomes.get(person.delivery_id)) is not None
            and waiting.age >= warning
            and not waiting.delay_told
        ]

    def _delays(self, one: _Finishing, mine: Iterable[Addressed]) -> list[tuple[bytes, float]]:
        """Seconds until the next try of each: the same for all who were tried as often, so that they share a
        transaction again, and none so long that a delay would be told much too late."""
        warning = self._queue.settings.delay_warning
        by_tries: dict[int, float] = {}
        delays = []
        for person in mine:
            waiting = one.waited.get(person.delivery_id)
            tries, age = (waiting.tries, waiting.age) if waiting else (0, 0.0)
            seconds = by_tries.get(tries)
            if seconds is None:
                seconds = by_tries[tries] = self._queue.delay(tries + 1)
            if age < warning:
                seconds = min(seconds, max(warning - age, self._queue.settings.first_retry))
            delays.append((person.delivery_id, seconds))
        return delays

    async def _write(
        self, message: Compiled, addressed: Sequence[Addressed], statements: tuple[Statement, ...]
    ) -> None:
        """In one transaction, with the ledger's notes on those whose consent is passed over."""
        passed_over = [one.normal for one in addressed if one.decision.override and one.normal]
        if not passed_over:
            await self._domain.database.write(*statements, may_wait=True)
            return
        note = self._overriding(message, passed_over)

        def write(connection: Connection) -> None:
            execute(connection, statements)
            note(connection)

        await self._domain.database.change(write)

    def _recording(
        self,
        message: Compiled,
        addressed: Sequence[Addressed],
        status: Status,
        *,
        sender_kept: bool = False,
    ) -> tuple[Statement, ...]:
        return (
            *recording(message, addressed, status, self._domain.ring),
            *(self._sender(message.submission) if sender_kept else ()),
        )

    def _original(self, message: Compiled, addressed: Sequence[Addressed]) -> tuple[Statement, ...]:
        kept = self._keeps_originals and may_be_kept(message, addressed)
        return (keeping_original(message.submission, as_kept(message)),) if kept else ()

    def _overriding(self, message: Compiled, addresses: Sequence[str]) -> Callable[[Connection], None]:
        """Each person whose consent is passed over finds that in the ledger, with the ground it stands on."""
        content = {
            "message": message.id,
            "user": message.submission.client.user or "",
            "lawful_basis": self._override.lawful_basis,
            "confirmed_by": self._override.lawful_basis_confirmed_by,
        }
        return overriding(addresses, content, now=self._clock(), ring=self._domain.ring)


def _waiting(one: Addressed, *, tries: int = 0) -> Waiting:
    return Waiting(delivery_id=one.delivery_id, position=one.position, recipient=one.recipient, tries=tries)


def _settled(outcomes: Outcomes, one: Addressed) -> bool:
    outcome = outcomes.get(one.delivery_id)
    return outcome is not None and outcome.settled
