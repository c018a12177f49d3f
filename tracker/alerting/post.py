"""The way out for a letter of our own. The tracker knows nothing of mail: a relay hands us this at its start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tracker.store.database import Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail in plain words."""

    to: tuple[str, ...]
    sender: str
    """`""`: the relay itself, with the null sender."""
    subject: str
    """Goes on record with the message: names nobody."""
    text: str


class Post(Protocol):
    """Sends letters."""

    def queueing(self, letter: Letter, now: datetime) -> tuple[Statement, ...]:
        """The statements that queue it, to be run in a transaction of the caller's: then it is as sure to be sent as
        any mail."""
        ...

    def wake(self) -> None:
        """Something was queued."""
        ...
