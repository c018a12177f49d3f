"""What became of each recipient, and which reply the client hears. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relay.replies import Reply


class Status(StrEnum):
    """A recipient's state (DELIVERY, "Outcomes"). The last word lies with upstream, not with us."""

    QUEUED = "queued"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    SKIPPED = "skipped"
    RETURNED = "returned"
    COMPLAINED = "complained"
    """It arrived, and its recipient called it spam."""


SETTLED = frozenset({Status.ACCEPTED, Status.BOUNCED, Status.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One try's result for one recipient: never an exception, never absent.

    `status` is ACCEPTED, DEFERRED or BOUNCED (SKIPPED for mail suppressed on purpose)."""

    status: Status
    reply: Reply
    """Upstream's own words, or ours where upstream said nothing."""
    host: str = ""
    """`host:port` of the upstream spoken to; `""` when none was reached."""
    tried: str = ""
    """Then these, one after the other, in vain; or they are known to be down."""
    at: datetime
    """When the result was known; aware, UTC."""
    tls: str | None = None
    maybe_sent: bool = False
    """Upstream had the whole message but we never heard its reply: the next try may be a second copy."""
    dsn: bool = False
    """Upstream was told the sender's wishes for reports and will see to them (RFC 3461 4.2): a `SUCCESS` that
    was asked for is ours to report when this is False."""

    @property
    def settled(self) -> bool:
        return self.status in SETTLED


Outcomes = Mapping[bytes, Outcome]
"""By delivery id."""


def answer(outcomes: Sequence[Outcome], owed: int, accepted: Reply) -> Reply | None:
    """What the client hears when every one of its `owed` recipients is settled with one kind of result.

    A single recipient hears upstream's own words; of several, all taken gives `accepted`, all refused or all
    put off the first such reply. Who is skipped on purpose does not count beside others. None when the results are
    mixed or not all there: then it must be queued."""
    if len(outcomes) != owed:
        return None
    tried = [outcome for outcome in outcomes if outcome.status is not Status.SKIPPED]
    kinds = {outcome.status for outcome in tried}
    if len(kinds) > 1:
        return None
    if owed == 1 or kinds - {Status.ACCEPTED}:
        return _in_class((tried or outcomes)[0])
    return accepted


_CLASS = {Status.ACCEPTED: (200, 300), Status.DEFERRED: (400, 500), Status.BOUNCED: (500, 600)}


def _in_class(outcome: Outcome) -> Reply:
    """The reply, in the class its status stands for: a 5xx greeting is only a deferral, and a client that heard
    5xx would give up. Nor is upstream's 421 ours: it would end the client's session with us."""
    low, high = _CLASS.get(outcome.status, (200, 300))
    reply = outcome.reply
    if low <= reply.code < high and reply.code != 421:
        return reply
    return Reply(code={200: 250, 400: 451, 500: 550}[low], detail=reply.detail or "0.0", text=reply.text)
