"""What the sessions of one intake share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from relay import log as words
from relay.intake.authentication import Authenticate
from relay.intake.deliveries import Deliveries
from relay.intake.limits import Failures, Memory
from relay.replies import Reply

HasMailbox = Callable[[str], bool]
"""Asked at every RCPT in a local domain: is there such a mailbox? None: there are all."""
Check = Callable[[], Reply | None]
"""Asked at every MAIL: the reply that refuses it for now, or None."""


@dataclass(slots=True, kw_only=True)
class Services:
    deliveries: Deliveries
    authenticate: Authenticate | None
    check: Check | None
    log: words.Log
    has_mailbox: HasMailbox | None = None
    memory: Memory = field(default_factory=Memory)
    failures: Failures = field(default_factory=Failures)
    stopping: bool = False
