"""What the sessions of one intake share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from relay import log as words
from relay.intake.deliveries import Deliveries
from relay.intake.limits import Failures, Memory
from relay.replies import Reply
from relay.users import User
from tracker.rates import Buckets

HasMailbox = Callable[[str], bool]
"""Asked at every RCPT in a local domain: is there such a mailbox? None: there are all."""
Check = Callable[[], Reply | None]
"""Asked at every MAIL: the reply that refuses it for now, or None."""

Refused = Callable[[Reply], None]
"""Told of every message that ends here: refused or put off before anybody was asked to deliver it."""


class UserBase(Protocol):
    """Who may log in, and what each may do."""

    async def authenticate(self, name: str, password: str) -> bool: ...
    def get(self, name: str) -> User | None: ...


@dataclass(slots=True, kw_only=True)
class Services:
    deliveries: Deliveries
    users: UserBase | None
    """None where nobody can log in."""
    check: Check | None
    log: words.Log
    has_mailbox: HasMailbox | None = None
    refused: Refused = lambda reply: None
    memory: Memory = field(default_factory=Memory)
    failures: Failures = field(default_factory=Failures)
    rates: Buckets = field(default_factory=Buckets)
    stopping: bool = False
