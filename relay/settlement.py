"""What is written about a message: that it came, what became of each recipient, what is still owed, and the
reports on what failed. One transaction each, so that a crash leaves all of it or nothing.

When the store is away at the end of a successful try, the outcome is kept in memory and written when the store is
back: upstream has the mail, and the client is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from relay import log, replies
from relay.compiled import Compiled, Compiler
from relay.config import OverrideTable
from relay.dsn import Failure, failure_report
from relay.kept import kept
from relay.outcome import Outcome, Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.store.spool import Waiting, deferring, ours, removing, withdrawing, withdrawing_report
from relay.submission import Submission
from tracker.consent import untracked
from tracker.domain import Domain
from tracker.errors import StoreError, StoreUnavailable
from tracker.store import deliveries
from tracker.store.database import Statement, execute
from tracker.store.register import overriding
from tracker.tokens import KeyRing

Outcomes = Mapping[bytes, Outcome]
"""By delivery id."""
_MOST_UNSAVED = 10_000
_SAVE_AGAIN = 2.0
_LAST_CHANCE, _ONCE_MORE = 3.0, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unsaved:
    """What became of a message, while the store is away."""

    message_id: str
    ids: tuple[bytes, ...]
    save: Callable[[], Awaitable[None]]


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
        self._unsaved: list[_Unsaved] = []
        self._saver: asyncio.Task[None] | None = None

    async def record(self, message: Compiled, addressed: Sequence[Addressed]) -> bool:
        """Writes down message and deliveries, as returned until we know better: should this process die now,
        that is what they are. False when the store does not take it."""
        statements = recording(message, addressed, Status.RETURNED, self._domain.ring)
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
            narrowing(addressed, known, plain),
            *settling(addressed, known),
            *self._reporting(message.submission, addressed, known, report_id=report_id),
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
        statements = (
            *settling(addressed, outcomes, Status.RETURNED if returned else None),
            narrowing(addressed, outcomes, plain),
            *(withdrawing(ids, message.submission.id) if withdraw is not None else ()),
            *(withdrawing_report(withdraw) if withdraw is not None else ()),
        )
        await self._save(
            _Unsaved(message_id=message.id, ids=ids, save=lambda: self._domain.database.write(*statements))
        )

    async def finish(
        self,
        submission: Submission,
        addressed: Sequence[Addressed],
        outcomes: Outcomes,
        *,
        tries: Mapping[bytes, int],
        expired: frozenset[bytes] = frozenset(),
        plain: Collection[bytes] = (),
    ) -> None:
        """Writes what a try under the queue's ownership led to: settled recipients leave the queue, the others
        get their next turn, failures are reported. Those in `expired` get no further turn. Nothing is written of
        those whom another process has taken over; so it does no harm to do it twice."""
        final = {
            one: replace(outcome, status=Status.BOUNCED)
            if one in expired and not outcome.settled
            else outcome
            for one, outcome in (self._nothing_heard(expired) | dict(outcomes)).items()
        }
        ids = tuple(one.delivery_id for one in addressed)

        def write(connection: Connection) -> int:
            held = ours(connection, ids, submission.id, self._queue.lease)
            mine = [one for one in addressed if one.delivery_id in held]
            execute(connection, self._finishing(submission, mine, final, tries, expired, plain))
            return len(ids) - len(mine)

        async def save() -> None:
            if lost := await self._domain.database.change(write):
                log.lease_lost(submission.id.hex(), recipients=lost)
            self._queue.let_go(ids)

        await self._save(_Unsaved(message_id=submission.id.hex(), ids=ids, save=save))

    def _nothing_heard(self, ids: Iterable[bytes]) -> dict[bytes, Outcome]:
        """For those of whom the try itself had nothing to say, since it came to grief."""
        lost = Outcome(status=Status.DEFERRED, reply=replies.EXPIRED, at=self._clock())
        return dict.fromkeys(ids, lost)

    async def close(self, *, grace: float) -> None:
        """Gives what is unsaved a last chance."""
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(grace, _LAST_CHANCE)):
                while self._unsaved:
                    await self._save_some(list(self._unsaved))
                    await asyncio.sleep(_ONCE_MORE)
        for one in self._unsaved:
            log.outcome_lost(one.message_id, error=StoreUnavailable())

    def _finishing(
        self,
        submission: Submission,
        mine: Sequence[Addressed],
        final: Outcomes,
        tries: Mapping[bytes, int],
        expired: frozenset[bytes],
        plain: Collection[bytes],
    ) -> tuple[Statement, ...]:
        settled = [one.delivery_id for one in mine if _settled(final, one)]
        again = [
            (one.delivery_id, self._queue.delay(tries.get(one.delivery_id, 0) + 1))
            for one in mine
            if not _settled(final, one)
        ]
        return (
            # Consent was asked again for this try: the record says what the copy that went out really carries,
            # before it says who got one.
            narrowing(mine, final, plain, everybody=True),
            *settling(mine, final),
            *self._reporting(submission, mine, final, expired),
            deferring(again, self._queue.lease),
            *removing(settled, submission.id, self._queue.lease),
        )

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
        *,
        report_id: bytes | None = None,
    ) -> tuple[Statement, ...]:
        """The statements that queue the report on recipients refused for good; none where none is owed."""
        failures = [
            Failure(recipient=one.recipient, outcome=outcome, expired=one.delivery_id in expired)
            for one in addressed
            if (outcome := outcomes.get(one.delivery_id)) is not None and outcome.status is Status.BOUNCED
        ]
        report = failure_report(
            submission, failures, hostname=self._hostname, now=self._clock(), report_id=report_id
        )
        if report is None:
            if failures:
                log.no_report_owed(submission.id.hex(), recipients=len(failures))
            return ()
        recipient = report.recipients[0]
        sender = Addressed(
            delivery_id=report.id,
            position=0,
            recipient=recipient,
            # Nobody asks who a report went to, and an erased sender's address must not be written anew.
            normal=None,
            decision=untracked("null-sender"),
        )
        message = self._compiler.compile(report)
        return (
            *recording(message, [sender], Status.QUEUED, self._domain.ring),
            *self._queue.keeping(report, [_waiting(sender)], mine=False, tried=False),
        )

    async def _save(self, unsaved: _Unsaved) -> None:
        """Writes now, or as soon as the store is back."""
        left = await self._save_one(unsaved)
        if left is None:
            return
        if len(self._unsaved) >= _MOST_UNSAVED:
            self._lose(unsaved, StoreUnavailable())
            return
        self._unsaved.append(left)
        if self._saver is None or self._saver.done():
            self._saver = asyncio.create_task(self._save_later())

    async def _save_later(self) -> None:
        while self._unsaved:
            await asyncio.sleep(_SAVE_AGAIN)
            await self._save_some(self._unsaved[:100])

    async def _save_some(self, some: Sequence[_Unsaved]) -> None:
        left = await asyncio.gather(*map(self._save_one, some))
        self._unsaved[: len(some)] = [one for one in left if one is not None]

    async def _save_one(self, unsaved: _Unsaved) -> _Unsaved | None:
        """Writes it; gives it back when the store is away."""
        try:
            await unsaved.save()
        except StoreUnavailable:
            return unsaved
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be held for ever
            self._lose(unsaved, error)
        return None

    def _lose(self, unsaved: _Unsaved, error: Exception) -> None:
        """Who is still in the queue then is tried again: rather twice than not at all."""
        log.outcome_lost(unsaved.message_id, error=error)
        self._queue.let_go(unsaved.ids)


def recording(
    message: Compiled, addressed: Sequence[Addressed], status: Status, ring: KeyRing
) -> tuple[Statement, ...]:
    """The statements that write down a message and its deliveries."""
    submission, controls, options = message.submission, message.controls, message.controls.options
    row = deliveries.Message(
        id=submission.id,
        mailing=message.mailing,
        received_at=submission.received_at,
        sender=message.mailing.sender,
        from_header=_storable(controls.from_header),
        subject=_storable(controls.subject),
        tags=tuple(map(_storable, options.tags)),
        variant=None if options.variant is None else _storable(options.variant),
        message_class=options.message_class,
        size=len(submission.data),
        untouched=message.untouchable,
        kept=kept(message.plan),
        links=tuple((link.number, _storable(link.url), _storable(link.text)) for link in message.plan.links),
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
    return deliveries.recording(row, sent, ring)


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
            text="" if one.normal is None else _storable(outcome.reply.text[:1000]),
        )
        for one in addressed
        if (outcome := outcomes.get(one.delivery_id)) is not None
    )


def narrowing(
    addressed: Iterable[Addressed], outcomes: Outcomes, plain: Collection[bytes], *, everybody: bool = False
) -> Statement:
    """The statement that says what the copies really carry that upstream took: those in `plain` nothing, because
    theirs could not be made; and with `everybody` the others what was decided for this try."""
    return deliveries.narrowing(
        (one.delivery_id, untracked("copy-failed") if one.delivery_id in plain else one.decision)
        for one in addressed
        if (everybody or one.delivery_id in plain)
        and (outcome := outcomes.get(one.delivery_id)) is not None
        and outcome.status is Status.ACCEPTED
    )


def _storable(text: str) -> str:
    """As databases take it: mail can spell lone surrogates, which are no characters, and PostgreSQL keeps no NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _waiting(one: Addressed, *, tries: int = 0) -> Waiting:
    return Waiting(delivery_id=one.delivery_id, position=one.position, recipient=one.recipient, tries=tries)


def _settled(outcomes: Outcomes, one: Addressed) -> bool:
    outcome = outcomes.get(one.delivery_id)
    return outcome is not None and outcome.settled
