"""The queue: keep what is not settled, hand it out under leases, say when to try again.

Each process holds rows under a lease of its own name and renews it while it works on them; when it dies, or never
heard that it had been given them, the lease runs out and any process goes on.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable, Sequence

from relay.config import QueueTable
from relay.store import spool
from relay.store.spool import Claimed, Waiting
from relay.submission import Submission
from tracker.store.database import Database, Statement

LEASE_SECONDS = 120.0
"""Well above what a renewal can be late, well below what a waiting recipient would notice."""


class Queue:
    """The queue as one process sees it."""

    def __init__(self, database: Database, settings: QueueTable) -> None:
        self._database = database
        self.settings = settings
        self.lease = secrets.token_hex(8)
        self._held: set[bytes] = set()

    def keeping(
        self, submission: Submission, waiting: Sequence[Waiting], *, mine: bool, tried: bool
    ) -> tuple[Statement, ...]:
        """The statements that put a message on disk. `mine`: this process goes on with it now."""
        delay = 0.0 if mine or not tried else self.delay(1)
        return spool.keeping(
            submission,
            waiting,
            lease=self.lease if mine else "",
            lease_seconds=LEASE_SECONDS,
            in_seconds=delay,
        )

    def delay(self, tries: int) -> float:
        """Seconds until the next try after so many: doubling from the first to the longest, give or take a
        tenth, so that what failed together does not come back together."""
        settings = self.settings
        doubled = settings.first_retry * 2.0 ** min(max(tries - 1, 0), 32)
        return min(doubled, settings.longest_retry) * random.uniform(0.9, 1.1)  # noqa: S311 - jitter, no secret

    def hold(self, ids: Iterable[bytes]) -> None:
        """This process works on them from now on."""
        self._held.update(ids)

    def let_go(self, ids: Iterable[bytes]) -> None:
        """It no longer does: what is still in the queue is anybody's once the lease has run out."""
        self._held.difference_update(ids)

    async def claim(self, messages: int) -> list[Claimed]:
        """What is due and free, under this process's lease. Raises StoreUnavailable."""
        held = frozenset(self._held)
        claimed = await self._database.change(
            lambda connection: spool.claim(
                connection, lease=self.lease, lease_seconds=LEASE_SECONDS, messages=messages, held=held
            )
        )
        for one in claimed:
            self.hold(waiting.delivery_id for waiting in one.waiting)
        return claimed

    async def renew(self) -> None:
        held = frozenset(self._held)
        await self._database.change(
            lambda connection: spool.renew(connection, held, lease=self.lease, lease_seconds=LEASE_SECONDS)
        )

    async def release(self) -> None:
        await self._database.change(lambda connection: spool.release(connection, lease=self.lease))

    async def next_due(self) -> float | None:
        """Seconds until something is due; None when nothing waits. Raises StoreUnavailable."""
        return await self._database.read(spool.next_due)

    async def totals(self) -> dict[str, int]:
        return await self._database.read(spool.totals)
