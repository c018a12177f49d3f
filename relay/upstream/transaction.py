"""What is handed to an upstream, and what an upstream is. Values only; nothing here speaks SMTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay.outcome import Outcome
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

    @property
    def size(self) -> int:
        """Octets of the message as RFC 1870 3 counts them: before dots are doubled."""
        return sum(map(len, self.content))


class Upstream(Protocol):
    """Where mail goes. `send` gives one outcome per recipient, in order, and raises nothing but
    CancelledError; a cancelled send may or may not have been delivered."""

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]: ...

    async def close(self, *, grace: float) -> None:
        """Take no more mail, let what is being sent finish for `grace` seconds, then break it off."""
        ...
