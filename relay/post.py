"""Letters of our own, such as alerts: written as mail and put into the queue like reports, untracked, their recipients
never written down. Fulfils `tracker.alerting.post.Post`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from relay.compiled import Compiler
from relay.outcome import Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.records import OWN_REPORT, recording
from relay.store.spool import Waiting
from relay.submission import MESSAGE_ID_OCTETS, Client, Recipient, Submission
from tracker.alerting.post import Letter
from tracker.store.database import Statement
from tracker.tokens import KeyRing


class Post:
    """`compiler`, `hostname` and `wake` are asked for at each letter: a new configuration brings others."""

    def __init__(
        self,
        queue: Queue,
        ring: Callable[[], KeyRing],
        *,
        compiler: Callable[[], Compiler],
        hostname: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._ring = ring
        self._compiler = compiler
        self._hostname = hostname
        self.wake = wake

    def queueing(self, letter: Letter, now: datetime) -> tuple[Statement, ...]:
        """The statements that queue it for each of its recipients."""
        submission = written(letter, hostname=self._hostname(), now=now)
        addressed = [
            Addressed(
                delivery_id=secrets.token_bytes(16),
                position=position,
                recipient=recipient,
                normal=None,  # nobody asks who was told, and the person it tells of may be erased
                decision=OWN_REPORT,
            )
            for position, recipient in enumerate(submission.recipients)
        ]
        waiting = [
            Waiting(delivery_id=one.delivery_id, position=one.position, recipient=one.recipient)
            for one in addressed
        ]
        return (
            *recording(self._compiler().compile(submission), addressed, Status.QUEUED, self._ring()),
            *self._queue.keeping(submission, waiting, mine=False, tried=False),
        )


def written(letter: Letter, *, hostname: str, now: datetime) -> Submission:
    """The letter as a message. Nothing comes back of it: nobody is told of its fate (RFC 3461 4.1)."""
    id_ = secrets.token_bytes(MESSAGE_ID_OCTETS)
    is_ascii = all(map(str.isascii, (letter.sender, *letter.to)))
    mail = EmailMessage(policy=SMTP if is_ascii else SMTPUTF8)
    mail["From"] = letter.sender or f"Candor <MAILER-DAEMON@{hostname}>"
    mail["To"] = ", ".join(letter.to)
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{id_.hex()}@{hostname}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 5
    mail.set_content(letter.text, cte="quoted-printable")
    return Submission(
        id=id_,
        sender=letter.sender,
        recipients=tuple(Recipient(address=one, notify=("NEVER",)) for one in dict.fromkeys(letter.to)),
        data=mail.as_bytes(),
        received_at=now,
        client=Client(address="", helo=hostname),
        smtputf8=not is_ascii,
        eight_bit=not is_ascii,
    )
