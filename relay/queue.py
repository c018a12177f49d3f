"""The queue: keep what is not settled, hand it out under leases, say when to try again.

Each process holds its rows under a lease of its own name and renews it while it lives; when it dies, the lease
runs out and any other process goes on.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

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

    async def claim(self, messages: int) -> list[Claimed]:
        """What is due and free, under this process's lease. Raises StoreUnavailable."""
        return await self._database.change(
            lambda connection: spool.claim(
                connection, lease=self.lease, lease_seconds=LEASE_SECONDS, messages=messages
            )
        )

    async def renew(self) -> None:
        await self._database.change(
            lambda connection: spool.renew(connection, lease=self.lease, lease_seconds=LEASE_SECONDS)
        )

    async def release(self) -> None:
        await self._database.change(lambda connection: spool.release(connection, lease=self.lease))

    async def next_due(self) -> float | None:
        """Seconds until something is due; None when nothing waits. Raises StoreUnavailable."""
        return await self._database.read(spool.next_due)

    async def totals(self) -> dict[str, int]:
        return await self._database.read(spool.totals)
