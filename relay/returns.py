"""What comes back to our bounce domain: read, recorded with its delivery, and passed on to the original sender.

Promises: only what is addressed to a delivery of ours (or, for complaints, names one) is taken; it is recorded and its
passing on queued in one transaction before the 250; the same report twice is recorded and passed on once. What is
passed on is the message as it came, from the null sender, so that nothing can come back of it, and never tracked.
What comes for postmaster and abuse goes to whoever reads that, in the same way.
What is no report at all (a vacation's answer, a person's) is passed on too: nothing of it is recorded.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from relay import log, replies
from relay.bounces import Action, Fate, Kind, Report, concerns_mailbox, read
from relay.bounces.feedback import COMPLAINTS
from relay.compiled import BESIDE_THE_LOOP, Compiled
from relay.config import BouncesTable
from relay.delivery import MOST_HOPS, Delivery
from relay.mime import read_header
from relay.outcome import Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.records import OWN_REPORT, recording
from relay.replies import Reply
from relay.store import returns
from relay.store.returns import Returned
from relay.store.spool import Waiting
from relay.submission import MESSAGE_ID_OCTETS, Recipient, Submission
from relay.verp import ReturnPaths
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.store.database import Statement, execute
from tracker.store.deliveries import Attempt
from tracker.store.engines import BeforeErasures

_MOST_TOLD = 10
"""Recipients of one report that are recorded with a delivery: an address may stand for a list of many."""
_MOST_DELIVERIES = 500
"""That one report is addressed to; real ones are addressed to one."""
_READ = frozenset({"postmaster", "abuse"})
_CODES = {Action.FAILED: 550, Action.DELAYED: 451}
_WORDS = {Action.FAILED: Status.BOUNCED.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a report says of one delivery."""

    returned: Returned
    attempts: tuple[Attempt, ...]
    status: Status | None
    """Its new state; None where that does not change."""
    hard: str = ""
    """The enhanced code, where it says that there is no such mailbox."""


class Returns:
    """`take` for what is addressed to us, `has_mailbox` for whether it may be."""

    def __init__(
        self,
        settings: BouncesTable,
        paths: ReturnPaths,
        domain: Domain,
        delivery: Delivery,
        queue: Queue,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._domain = domain
        self._delivery = delivery
        self._queue = queue
        self._clock = clock

    async def deliver(self, submission: Submission) -> Reply:
        """What is for us is taken, the rest goes the way of all mail. Who writes to both hears of the latter."""
        ours = tuple(one for one in submission.recipients if one.local)
        if not ours:
            return await self._delivery.deliver(submission)
        others = tuple(one for one in submission.recipients if not one.local)
        if not others:
            return await self.take(submission)
        apart = replace(submission, recipients=ours, id=secrets.token_bytes(MESSAGE_ID_OCTETS))
        if (reply := await self.take(apart)).is_temporary:
            return reply
        return await self._delivery.deliver(replace(submission, recipients=others))

    def has_mailbox(self, address: str) -> bool:
        """Whether `address` is the return path of a delivery of ours, takes complaints, or is read by people."""
        return (
            self._is_for_feedback(address)
            or self._is_for_people(address)
            or self._paths.delivery(address) is not None
        )

    async def take(self, submission: Submission) -> Reply:
        """One message to our own addresses."""
        if len(submission.data) > self._settings.max_size:
            return replies.MESSAGE_TOO_BIG
        if len(read_header(submission.data).values("received")) > MOST_HOPS:
            return replies.MAIL_LOOP
        report = await self._read(submission)
        ids = self._about(submission, report)
        for_people = any(self._is_for_people(one.address) for one in submission.recipients)
        if not ids and not for_people:
            return replies.NO_SUCH_MAILBOX
        try:
            found = await self._domain.database.read(lambda connection: returns.find(connection, ids))
            if not found and not for_people:
                return replies.NO_SUCH_MAILBOX
            people = (self._settings.postmaster,) if for_people else ()
            passed_on = await self._passing_on(submission, found, people)
            fresh = await self._domain.database.change(self._writing(report, found, passed_on))
        except StoreError:
            return replies.store_unavailable(submission.id.hex())
        log.came_back(
            submission.id.hex(), kind=report.kind, deliveries=[one.hex() for one in ids], fresh=fresh
        )
        self._delivery.wake()
        return replies.accepted(submission.id.hex())

    async def _read(self, submission: Submission) -> Report:
        try:
            if len(submission.data) <= BESIDE_THE_LOOP:
                return read(submission.data)
            return await asyncio.to_thread(read, submission.data)
        except Exception as error:  # noqa: BLE001 - anybody may have written it; its sender's mail system may know better
            log.report_not_read(submission.id.hex(), error=error)
            return Report(kind=Kind.OTHER)

    def _about(self, submission: Submission, report: Report) -> list[bytes]:
        """The deliveries it is about: those it is addressed to, and of a complaint the one it names."""
        found = [self._paths.delivery(one.address) for one in submission.recipients]
        if report.kind is Kind.FEEDBACK and any(
            self._is_for_feedback(one.address) for one in submission.recipients
        ):
            found.append(self._paths.named_in(" ".join(report.return_paths)))
        return list(dict.fromkeys(one for one in found if one is not None))[:_MOST_DELIVERIES]

    def _is_for_feedback(self, address: str) -> bool:
        local, _, domain = address.rpartition("@")
        return local.lower() == self._settings.feedback != "" and self._paths.holds(domain)

    def _is_for_people(self, address: str) -> bool:
        """RFC 5321 4.5.1, RFC 2142 4: these are to reach somebody in every domain that takes mail."""
        local, _, domain = address.rpartition("@")
        return bool(self._settings.postmaster) and local.lower() in _READ and self._paths.holds(domain)

    def _writing(
        self, report: Report, found: Sequence[Returned], passed_on: tuple[Statement, ...]
    ) -> Callable[[Connection], bool]:
        now = self._clock()
        told = [self._told(report, one, now) for one in found]
        suppressing = tuple(statement for one in told for statement in self._suppressing(one, now))

        def write(connection: Connection) -> bool:
            connection.execute(
                BeforeErasures()
            )  # before anything is touched, as they do: nobody waits in a circle
            fresh = [
                returns.record(connection, one.returned.delivery_id, one.attempts, one.status, now)
                for one in told
                if one.attempts
            ]
            if fresh and not any(fresh):
                return False
            execute(connection, (*suppressing, *passed_on))
            return True

        return write

    def _told(self, report: Report, one: Returned, now: datetime) -> _Told:
        if report.kind is Kind.FEEDBACK:
            complained = report.feedback in COMPLAINTS
            word = Status.COMPLAINED.value if complained else "feedback"
            fate = Fate(action=Action.RELAYED, text=report.feedback, host=report.reporter)
            tried = _attempt(one, fate, word, 0, now)
            return _Told(returned=one, attempts=(tried,), status=Status.COMPLAINED if complained else None)
        # A list's address may stand for many; of ourselves speaks what names our recipient, or else all of it.
        theirs = [fate for fate in report.fates if one.recipient in fate.recipients] or report.fates
        failed = bool(theirs) and all(fate.action is Action.FAILED for fate in theirs)
        attempts = tuple(
            _attempt(one, fate, _WORDS.get(fate.action, fate.action.value), _CODES.get(fate.action, 250), now)
            for fate in report.fates[:_MOST_TOLD]
        )
        hard = next((fate.status for fate in theirs if concerns_mailbox(fate.status)), "") if failed else ""
        return _Told(returned=one, attempts=attempts, status=Status.BOUNCED if failed else None, hard=hard)

    def _suppressing(self, told: _Told, now: datetime) -> tuple[Statement, ...]:
        """By the address we sent to, never by one that a report names: reports can say what they like."""
        suppressing, recipient = self._delivery.suppressing, told.returned.recipient
        if recipient is None:
            return ()
        if told.status is Status.COMPLAINED:
            return suppressing.complained(recipient, told.attempts[0].text, now)
        return suppressing.bounced({recipient: told.hard}, now) if told.hard else ()

    async def _passing_on(
        self, submission: Submission, found: Sequence[Returned], people: tuple[str, ...]
    ) -> tuple[Statement, ...]:
        """The statements that queue it for the original senders and for `people`; none where nobody is known any
        more."""
        senders = tuple(dict.fromkeys((*(one.sender for one in found if one.sender), *people)))
        if not senders:
            log.nobody_to_pass_on_to(submission.id.hex())
            return ()
        passed_on = replace(
            submission,
            sender="",
            recipients=tuple(Recipient(address=sender, notify=("NEVER",)) for sender in senders),
            smtputf8=submission.smtputf8 or not all(map(str.isascii, senders)),
            envid=None,
            ret=None,
        )
        message: Compiled = await self._delivery.compiler.compiled(passed_on)
        addressed = [
            Addressed(
                delivery_id=secrets.token_bytes(16),
                position=position,
                recipient=recipient,
                normal=None,  # as of a report of our own: nobody asks who it went to
                decision=OWN_REPORT,
            )
            for position, recipient in enumerate(passed_on.recipients)
        ]
        waiting = [
            Waiting(delivery_id=one.delivery_id, position=one.position, recipient=one.recipient)
            for one in addressed
        ]
        return (
            *recording(message, addressed, Status.QUEUED, self._domain.ring),
            *self._queue.keeping(passed_on, waiting, mine=False, tried=False),
        )


def _attempt(one: Returned, fate: Fate, word: str, code: int, now: datetime) -> Attempt:
    return Attempt(
        delivery_id=one.delivery_id,
        at=now,
        status=word,
        host=fate.host,
        tls=None,
        code=fate.code or code,
        enhanced=fate.status,
        text="" if one.recipient is None else fate.text,
    )
