"""What is counted of mail for monitoring: no address, no domain, no sender, no text of anybody's.

Declared on the program's sheet before its processes are forked; see `tracker.metrics`.
"""

from __future__ import annotations

from collections.abc import Collection

from relay.outcome import Outcome, Status
from relay.replies import Reply
from tracker.metrics import Sheet

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 300.0, 600.0)
_OCTETS = (1e3, 5e3, 25e3, 1e5, 5e5, 1e6, 5e6, 25e6)
_ANSWERS = {2: "accepted", 4: "put-off", 5: "refused"}
_TRIED = (Status.ACCEPTED, Status.DEFERRED, Status.BOUNCED, Status.SKIPPED)


class MailMetrics:
    """Its methods are what happens."""

    def __init__(self, sheet: Sheet) -> None:
        self._answered = sheet.counter(
            "candor_messages_total",
            "Messages, by what the client heard; those refused before their end, or with all their recipients, too.",
            "answer",
            tuple(_ANSWERS.values()),
        )
        self._seconds = sheet.histogram(
            "candor_answer_seconds", "From the end of a message to the reply its client heard.", _SECONDS
        )
        self._octets = sheet.histogram("candor_message_octets", "Size of the messages that came.", _OCTETS)
        self._outcomes = sheet.counter(
            "candor_outcomes_total",
            "What tries led to, for each recipient.",
            "status",
            [str(status) for status in _TRIED],
        )
        self._twice = sheet.counter(
            "candor_maybe_sent_twice_total",
            "Recipients for whom upstream had the whole message and its reply was never heard.",
        )
        self._sessions = sheet.gauge("candor_smtp_sessions", "Clients connected now.")
        self._under_way = sheet.gauge("candor_tries_under_way", "Messages being handed on by the queue now.")
        self._away = sheet.gauge(
            "candor_upstream_away", "Processes that find no upstream at all, and only probe for it."
        )

    def answered(self, reply: Reply, *, seconds: float, octets: int) -> None:
        self._answered.add(_ANSWERS.get(reply.code // 100, "put-off"))
        self._seconds.observe(seconds)
        self._octets.observe(octets)

    def refused(self, reply: Reply) -> None:
        """The intake would not have it, or none of its recipients: there was nothing to deliver."""
        self._answered.add(_ANSWERS.get(reply.code // 100, "put-off"))

    def failed(self) -> None:
        """The flow raised an exception: the client was asked to try again."""
        self._answered.add("put-off")

    def tried(self, outcomes: Collection[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.status in _TRIED:
                self._outcomes.add(str(outcome.status))
            if outcome.maybe_sent:
                self._twice.add()

    def standing(self, *, sessions: int, under_way: int, is_away: bool) -> None:
        """How things are with this process now."""
        self._sessions.set(sessions)
        self._under_way.set(under_way)
        self._away.set(float(is_away))
