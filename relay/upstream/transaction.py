"""What is handed to an upstream, and what an upstream is. Values only; nothing here speaks SMTP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from relay.outcome import Outcome
from relay.replies import Reply
from relay.submission import Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One message to some recipients: one envelope, one content."""

    sender: str
    """The reverse path; `""` for the null sender."""
    recipients: tuple[Recipient, ...]
    content: tuple[bytes, ...]
    """The message in pieces, in order, dots not doubled; lines end in CRLF. Never joined, never changed."""
    smtputf8: bool = False
    eight_bit: bool = False
    envid: str | None = None
    ret: str | None = None
    unanimous: bool = False
    """All or nothing: should upstream answer its recipients differently, nothing is sent and everyone is
    DEFERRED."""
    client_sender: str | None = None
    """The reverse path the client gave, where `sender` is one of our own (VERP); None where they are the same.
    Routes look at this one."""
    user: str | None = None
    """Who handed the message in, if they logged in. Routes look at it; it is never said upstream."""

    @property
    def size(self) -> int:
        """Octets of the message as RFC 1870 3 counts them: before dots are doubled."""
        return sum(map(len, self.content))

    def only(self, numbers: list[int]) -> Transaction:
        """The same for those of the recipients only."""
        if len(numbers) == len(self.recipients):
            return self
        return replace(self, recipients=tuple(self.recipients[number] for number in numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What one server made of a transaction."""

    outcomes: tuple[Outcome | None, ...]
    """In the recipients' order; None for who may be offered to another server: this one never had the end of
    their message."""
    trouble: Reply | None = None
    """Why there are such, always as a temporary failure."""
    host: str = ""
    """`host:port` where that was heard; `""` when no connection came about."""
    tls: str | None = None


class Condition(StrEnum):
    UP = "up"
    DOWN = "down"
    """It failed repeatedly and is left alone for a while."""
    PROBING = "probing"
    """One connection tries whether it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """How one server is, for people to read. Holds no secrets and no addresses of people."""

    name: str
    """As the configuration calls it."""
    host: str
    """`host:port`, or `capture:PATH`."""
    priority: int = 0
    weight: int = 1
    condition: Condition = Condition.UP
    down_until: datetime | None = None
    """When it is tried again, while it is down."""
    connections: int = 0
    """Open ones, the idle included."""
    idle: int = 0
    limit: int = 0
    """How many there may be at present; less than `max_connections` after it complained. 0 for no limit."""
    waiting: int = 0
    """Transactions that wait for a connection."""
    failures: int = 0
    """In a row, up to now."""
    last_error: str = ""
    last_error_at: datetime | None = None


class Upstream(Protocol):
    """Where mail goes. `send` gives one outcome per recipient, in order, and raises nothing but
    CancelledError; a cancelled send may or may not have been delivered."""

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]: ...

    async def close(self, *, grace: float) -> None:
        """Take no more mail, let what is being sent finish for `grace` seconds, then break it off."""
        ...


class Host(Protocol):
    """One server mail can be offered to."""

    async def offer(self, transaction: Transaction) -> Offered | None:
        """None when it is left alone at present and was not asked. Raises nothing but CancelledError."""
        ...

    async def probed(self) -> bool:
        """Waits until the probe that is under way has ended. False when there is none, or it takes too long."""
        ...

    @property
    def trouble(self) -> Reply:
        """The last thing that went wrong, as a temporary failure."""
        ...

    def state(self) -> ServerState: ...

    def pause(self) -> float:
        """Seconds until it may be tried; 0.0 when it may be now."""
        ...

    async def retire(self) -> None:
        """Keep no connection from now on; returns when what has begun has come to its end."""
        ...

    async def close(self, *, grace: float) -> None: ...
