"""Others who keep something of people in the same store: they are asked when a person wants to see or be rid of it.

The tracker knows nothing of mail. Whoever keeps addresses in tables of their own hands an object of this kind to the
domain at start-up, so that an export is complete and an erasure reaches everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from tracker.tokens import KeyRing


class Holder(Protocol):
    """Addresses come in normal form; each call runs within the caller's transaction."""

    def export(
        self, connection: Connection, address: str, ring: KeyRing
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """All that is kept of the person, by kind, ready for JSON; also of one who was erased."""
        ...

    def erase(self, connection: Connection, address: str, ring: KeyRing) -> None:
        """Lets go of the person for good. What is still owed to them may stay until it is done."""
        ...

    def forget_content(self, connection: Connection, messages: Collection[bytes]) -> None:
        """Lets go of what these messages (by id) said: somebody is erased to whom they went."""
        ...

    def expire(self, connection: Connection, before: datetime) -> int:
        """Lets go of some of the messages' content that was kept before then; gives how many, and 0 when none is
        left."""
        ...

    def expired(self, connection: Connection, before: datetime) -> int:
        """How many messages' content `expire` would let go of in all."""
        ...

    def purge(self, connection: Connection, messages: Collection[bytes]) -> None:
        """Lets go of what belongs to messages (by id) whose recipients are no longer on record."""
        ...
