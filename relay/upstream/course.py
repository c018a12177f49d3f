"""How far a transaction has come with one server: who has an answer, who waits for another try on the wire.

One transaction handed to us may take several upstream: the rest of the recipients when there were too many,
all of them again when a kept connection turns out to have ended.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from relay import log
from relay.outcome import Outcome, Status
from relay.replies import Reply
from relay.upstream.answers import Answer, put_off
from relay.upstream.connection import Connection
from relay.upstream.dialogue import Dialogue
from relay.upstream.settings import UpstreamSettings
from relay.upstream.transaction import Offered, Transaction

LOG: Final[log.Log] = structlog.get_logger("relay.upstream")


class Course:
    """Begins with everyone waiting, ends with an answer for each."""

    def __init__(self, transaction: Transaction, settings: UpstreamSettings) -> None:
        self._transaction = transaction
        self._settings = settings
        self._answers: dict[int, Answer] = {}
        self._dialogue: Dialogue | None = None
        self._connection: Connection | None = None
        self._most = len(transaction.recipients)
        self.waiting = list(range(len(transaction.recipients)))
        self.was_not_begun = False
        """The server went down before it was this transaction's turn."""

    @property
    def may_be_repeated(self) -> bool:
        return self._dialogue is None or not self._dialogue.has_begun

    @property
    def may_go_elsewhere(self) -> bool:
        """Whoever waits was certainly not sent the message: its end never left us."""
        return self._dialogue is None or not self._dialogue.has_ended

    def next_dialogue(self, connection: Connection) -> Dialogue:
        """With as many of the waiting as upstream is known to take at once."""
        most = min(self._most, connection.offer.most_recipients or self._most)
        who = self.waiting if self._transaction.unanimous else self.waiting[:most]
        self._connection = connection
        self._dialogue = Dialogue(connection, self._transaction, who, self._settings)
        return self._dialogue

    def collect(self) -> None:
        """Take over what the dialogue has found out so far."""
        if self._dialogue is None:
            return
        self._answers.update(self._dialogue.answers)
        self.waiting = [number for number in self.waiting if number not in self._answers]
        if self._dialogue.too_many:
            self._most = max(1, self._dialogue.how_many_taken)

    def start_over(self) -> None:
        """Only those without an answer; everyone, where one decision is to be made about all."""
        if self._transaction.unanimous:
            self._answers.clear()
            self.waiting = list(range(len(self._transaction.recipients)))

    def trouble(self, reply: Reply) -> None:
        """The connection came to its end, or there was none. Those who wait keep waiting if another server may
        be asked for them, else they are put off."""
        log.upstream_trouble(LOG, host=self._settings.name, reply=reply, recipients=len(self.waiting))
        if self.may_go_elsewhere:
            self.start_over()
        else:
            self.break_off(reply)

    def break_off(self, reply: Reply) -> None:
        """Put off everyone without an answer."""
        if self._dialogue is not None:
            self._dialogue.break_off(reply)
            self.collect()
        self._answers.update((number, put_off(reply)) for number in self.waiting)
        self.waiting = []

    def offered(self, at: datetime, trouble: Reply | None) -> Offered:
        """What it has led to; who still waits has no outcome."""
        doubtful = sum(answer.maybe_sent for answer in self._answers.values())
        if doubtful:
            log.may_be_sent_twice(LOG, host=self._settings.name, recipients=doubtful)
        outcomes: list[Outcome | None] = [None] * len(self._transaction.recipients)
        waiting = frozenset(self.waiting)
        for number, answer in self._answers.items():
            if number not in waiting:
                outcomes[number] = self._outcome(answer, at)
        reached = self._connection
        return Offered(
            outcomes=tuple(outcomes),
            trouble=trouble,
            host=reached.host if reached else "",
            tls=reached.tls if reached else None,
        )

    def _outcome(self, answer: Answer, at: datetime) -> Outcome:
        reached = self._connection
        return Outcome(
            status=answer.status,
            reply=answer.reply,
            host=reached.host if reached else "",
            at=at,
            tls=reached.tls if reached else None,
            maybe_sent=answer.maybe_sent,
            dsn=answer.status is Status.ACCEPTED and reached is not None and reached.offer.dsn,
        )
