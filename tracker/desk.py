"""What the operator's pages ask of mail. The tracker knows nothing of mail: whoever does hands the admin face, at
start-up, an object that fulfils `Desk`.

What waits in the queue, what is done about it, who gets no mail any more, how upstream is. Addresses stand here as
they were given; what leaves for a log or the audit does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tracker.store.deliveries import Attempt

WAITING_SORTS = ("since", "next", "recipient", "sender", "domain", "state", "tries", "size")
"""What `Desk.waiting` orders by."""
SUPPRESSED_SORTS = ("since", "address", "reason", "bounces")
STATES = ("waiting", "sending", "held", "damaged")
OLDER: Mapping[str, float] = {"20m": 1200, "1h": 3600, "4h": 14400, "1d": 86400, "3d": 259200}
"""For how long somebody may be asked to have waited at least, in seconds."""


class Finding(StrEnum):
    """How something is that was looked at."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that was looked at."""

    about: str
    state: Finding = Finding.OK
    found: str
    advice: str = ""
    """What to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Recipients who wait and fit everything that is said; all of them when nothing is."""

    message: str = ""
    """How the message's id begins, in hex digits."""
    delivery: str = ""
    """The whole id of one delivery, in hex digits."""
    search: str = ""
    """A part of the recipient, the sender or the subject, or how the message's id begins."""
    domain: str = ""
    state: str = ""
    """One of `STATES`."""
    reply: str = ""
    """What was answered last: `451`, `4.2.0`, or a part of its text."""
    older: str = ""
    """Waiting for longer than this, one of `OLDER`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One recipient who is still owed a message."""

    message: str
    """Ids in hex."""
    delivery: str
    subject: str
    sender: str | None
    """`""` for mail from nobody, None when the message's content is gone."""
    recipient: str
    domain: str
    state: str
    tries: int
    since: datetime
    next_try: datetime | None
    """None where it is not waiting for one."""
    size: int | None
    """Octets of the message."""
    last: Attempt | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How much was selected."""

    recipients: int
    messages: int
    sending: int
    """Of the recipients, in a worker's hands at the moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of those who were meant."""

    changed: int
    sending: int
    damaged: int = 0
    """Cannot be returned to their sender, because their message cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainWaiting:
    """Who waits for one domain: in all, and by class of age."""

    domain: str
    recipients: int
    ages: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStanding:
    """The whole queue in numbers."""

    recipients: int
    messages: int
    octets: int
    largest: int
    """Octets of the largest message."""
    oldest: float | None
    """Seconds; None when nothing waits."""
    states: Mapping[str, int]
    ages: Mapping[str, int]
    domains: Sequence[DomainWaiting]
    """Those with the most first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A message that waits, but for its content."""

    message: str
    sender: str
    received_at: datetime | None
    """None where that cannot be read."""
    size: int
    said: str
    """What else the client said with it, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """An address that mail is not sent to."""

    key: str
    """By which it is lifted, in hex."""
    address: str | None
    """None for an erased person."""
    reason: str
    since: datetime
    bounces: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamState:
    """A server that mail goes to."""

    name: str
    host: str
    condition: str
    """`up`, `down` or `probing`."""
    priority: int
    down_until: datetime | None
    connections: int
    idle: int
    limit: int
    """0 for none."""
    waiting: int
    failures: int
    """In a row."""
    last_error: str
    last_error_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that holds something of the queue now."""

    node: str
    process: str
    recipients: int


class Desk(Protocol):
    """Its methods raise StoreUnavailable, InvalidValue and NotFound."""

    @property
    def may_drop(self) -> bool:
        """Whether this process can write reports to senders, and so give mail up."""
        ...

    def upstreams(self) -> Sequence[UpstreamState] | None:
        """How each server is for this process; None where others speak to them."""
        ...

    async def findings(self) -> Sequence[Found]:
        """What is to be said of configuration, keys and clock; nothing where it is not known here."""
        ...

    async def standing(self, *, domains: int) -> QueueStanding: ...

    async def workers(self) -> Sequence[Worker]: ...

    async def count(self, wanted: Wanted) -> Counted: ...

    async def waiting(
        self, wanted: Wanted, *, sort: str, descending: bool, limit: int, offset: int = 0
    ) -> Sequence[Waiting]: ...

    async def envelope(self, message: str) -> Envelope | None:
        """None when its content is gone."""
        ...

    async def original(self, message: str) -> bytes:
        """The message as it came."""
        ...

    async def retry(self, wanted: Wanted) -> Done: ...

    async def hold(self, wanted: Wanted) -> Done: ...

    async def release(self, wanted: Wanted) -> Done: ...

    async def drop(self, wanted: Wanted, *, bounce: bool, by: str, why: str) -> Done:
        """Only where `may_drop`."""
        ...

    async def suppressed(
        self, *, search: str, reason: str, sort: str, descending: bool, limit: int, offset: int = 0
    ) -> Sequence[Suppressed]: ...

    async def suppress(self, address: str, *, note: str, now: datetime) -> None: ...

    async def listed(self, key: str) -> Suppressed | None: ...

    async def lift(self, key: str) -> bool:
        """False when nobody of that key was on the list."""
        ...
