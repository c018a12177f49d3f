"""What became of each recipient, and which reply the client hears. Pure."""

from __future__ import annotations

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
