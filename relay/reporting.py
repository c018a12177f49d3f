"""Which reports a sender is owed after a try, as the statements that queue them with the outcomes they tell of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from relay import log
from relay.compiled import Compiled, Compiler
from relay.dsn import Action, Told, report
from relay.outcome import Outcome, Outcomes, Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.records import OWN_REPORT
from relay.store.spool import Waiting
from relay.submission import Submission
from tracker.store.database import Statement

Recording = Callable[[Compiled, Sequence[Addressed], Status], tuple[Statement, ...]]


class Reporting:
    """Writes reports for one process; `recording` says how a message and its deliveries are written down."""

    def __init__(
        self,
        queue: Queue,
        compiler: Compiler,
        recording: Recording,
        *,
        hostname: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._compiler = compiler
        self._recording = recording
        self._hostname = hostname
        self._clock = clock

    def owed(
        self,
        submission: Submission,
        addressed: Sequence[Addressed],
        outcomes: Outcomes,
        *,
        expired: Collection[bytes] = (),
        report_id: bytes | None = None,
    ) -> tuple[Statement, ...]:
        """The statements for those who were refused for good, and for those whom upstream took without promising
        the report that was asked for (RFC 3461 5.2.2). Their reports have the ids of `report_ids`."""
        failed, relayed = [], []
        for one in addressed:
            outcome = outcomes.get(one.delivery_id)
            if outcome is None:
                continue
            if outcome.status is Status.BOUNCED:
                is_expired = one.delivery_id in expired
                failed.append(Told(recipient=one.recipient, outcome=outcome, expired=is_expired))
            elif outcome.status is Status.ACCEPTED and not outcome.dsn and one.recipient.notify:
                relayed.append(Told(recipient=one.recipient, outcome=outcome))
        failure_id, relayed_id = report_ids(report_id) if report_id else (None, None)
        statements = self._report(Action.FAILED, submission, failed, failure_id)
        if failed and not statements:
            self._unheard(submission, len(failed))
        return *statements, *self._report(Action.RELAYED, submission, relayed, relayed_id)

    def delayed(
        self, submission: Submission, late: Sequence[tuple[Waiting, Outcome]], *, lifetime: float
    ) -> tuple[Statement, ...]:
        """The statements for those who are late and of whom the sender has not been told so."""
        now = self._clock()
        told = [
            Told(
                recipient=one.recipient,
                outcome=outcome,
                retry_until=now + timedelta(seconds=max(lifetime - one.age, 0.0)),
            )
            for one, outcome in late
        ]
        return self._report(Action.DELAYED, submission, told, None)

    def _unheard(self, submission: Submission, recipients: int) -> None:
        if submission.sender:
            log.no_report_owed(submission.id.hex(), recipients=recipients)
        else:
            log.double_bounce(submission.id.hex(), recipients=recipients)

    def _report(
        self, action: Action, submission: Submission, told: Sequence[Told], report_id: bytes | None
    ) -> tuple[Statement, ...]:
        made = report(
            action, submission, told, hostname=self._hostname, now=self._clock(), report_id=report_id
        )
        if made is None:
            return ()
        recipient = made.recipients[0]
        sender = Addressed(
            delivery_id=made.id,
            position=0,
            recipient=recipient,
            # Nobody asks who a report went to, and an erased sender's address must not be written anew.
            normal=None,
            decision=OWN_REPORT,
        )
        waiting = Waiting(delivery_id=made.id, position=0, recipient=recipient)
        return (
            *self._recording(self._compiler.compile(made), [sender], Status.QUEUED),
            *self._queue.keeping(made, [waiting], mine=False, tried=False),
        )


def report_ids(report_id: bytes) -> tuple[bytes, bytes]:
    """The ids of the reports that one writing may lead to: on failures, and on who was handed on."""
    return report_id, report_id[:-1] + bytes([report_id[-1] ^ 1])
