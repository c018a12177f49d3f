"""The queue: keep what is not settled, hand it out under leases, say when to try again.

Each process holds rows under a lease of its own name and renews it while it works on them; when it dies, or never
heard that it had been given them, the lease runs out and any process goes on. A process that starts on the same
machine need not wait for that (`relay.store.presence`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from relay import log
from relay.config import QueueTable
from relay.store import claims, spool
from relay.store.claims import Share
from relay.store.presence import Presence
from relay.store.selection import standing
from relay.store.spool import Claimed, Waiting, database_now
from relay.submission import Submission
from relay.timekeeping import Timekeeping
from tracker.metrics import Sample
from tracker.store.database import Database, Statement

LEASE_SECONDS = 60.0
"""Well above what a renewal can be late, well below what a waiting recipient would notice."""


_NOW = select(database_now())


class Queue:
    """The queue as one process sees it."""

    def __init__(self, database: Database, settings: QueueTable) -> None:
        self._database = database
        self.settings = settings
        self._presence = Presence(database)
        self.lease = self._presence.name
        self._held: set[bytes] = set()
        self._turn = ""
        self._time = Timekeeping()
        self._began = time.monotonic()

    async def take_over(self) -> None:
        """Says that this process is there, and frees what processes hold that are known to be dead.

        Raises StoreUnavailable."""
        await self._presence.announce()
        holders = await self._database.read(claims.leases)
        dead = await self._presence.departed([one for one in holders if one != self.lease])
        if dead and (freed := await self._database.change(lambda one: claims.release(one, leases=dead))):
            log.took_over(processes=len(dead), recipients=freed)

    def keeping(
        self, submission: Submission, waiting: Sequence[Waiting], *, mine: bool, tried: bool
    ) -> tuple[Statement, ...]:
        """The statements that put a message on disk. `mine`: this process goes on with it now."""
        return spool.keeping(
            submission,
            waiting,
            lease=self.lease if mine else "",
            in_seconds=LEASE_SECONDS if mine else self.delay(1) if tried else 0.0,
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

    async def give_back(self, ids: Collection[bytes]) -> None:
        """What was claimed and not begun is anybody's at once. Raises StoreUnavailable."""
        self.let_go(ids)
        if ids:
            await self._database.change(
                lambda connection: claims.renew(connection, ids, lease=self.lease, lease_seconds=0.0)
            )

    async def claim(self, messages: int, *, crowded: Collection[str] = ()) -> Share:
        """What is due and free, under this process's lease, in turns that leave out the domains in `crowded`.

        Raises StoreUnavailable."""
        held = frozenset(self._held)

        def claim(connection: Connection) -> Share:
            return claims.claim(
                connection,
                lease=self.lease,
                lease_seconds=LEASE_SECONDS,
                messages=messages,
                held=held,
                crowded=crowded,
                turn=self._turn,
            )

        share = await self._database.change(claim)
        self._turn = share.turn
        for one in share.claimed:
            self.hold(waiting.delivery_id for waiting in one.waiting)
        return replace(share, claimed=tuple(map(self._aged, share.claimed)))

    @property
    def may_expire(self) -> bool:
        """Not at once after the start: a machine that has just booted may not know the time yet, and who was away for
        days tries twice before giving up."""
        return time.monotonic() - self._began >= self.settings.first_retry

    def _note(self, now: float) -> None:
        if jump := self._time.note(now, time.monotonic()):
            log.clock_jumped(seconds=jump)

    def _aged(self, one: Claimed) -> Claimed:
        """With the time that its recipients have really waited."""
        now = (
            one.waiting[0].queued_at + one.waiting[0].age
        )  # when they were read: before anything may have jumped
        self._note(now)
        waiting = tuple(replace(each, age=self._time.waited(each.queued_at, now)) for each in one.waiting)
        return replace(one, waiting=waiting)

    async def renew(self) -> None:
        """Goes on holding what it holds, and being there. What is due later than anything ever is, by a clock that was
        wrong then, is due now. Raises StoreUnavailable, StoreError."""
        await self._presence.announce()
        held = frozenset(self._held)
        if held:
            await self._database.change(
                lambda connection: claims.renew(
                    connection, held, lease=self.lease, lease_seconds=LEASE_SECONDS
                )
            )
        await self._mend_clock()

    async def _mend_clock(self) -> None:
        self._note(await self._database.read(lambda connection: float(connection.execute(_NOW).scalar_one())))
        latest = max(self.settings.longest_retry * 1.2, LEASE_SECONDS * 2)
        if await self._database.read(lambda connection: claims.latest_due(connection)) > latest:
            found = await self._database.change(
                lambda connection: claims.sooner(connection, latest, lease_seconds=LEASE_SECONDS)
            )
            log.due_too_late(recipients=found)

    async def release(self) -> None:
        """At an orderly stop: nothing is held any more, and this process is no longer there."""
        try:
            await self._database.change(lambda connection: claims.release(connection, leases=[self.lease]))
        finally:
            await self._presence.close()

    async def next_due(self) -> float | None:
        """Seconds until something is due; None when nothing waits. Raises StoreUnavailable."""
        return await self._database.read(claims.next_due)

    async def samples(self) -> list[Sample]:
        """What waits, for monitoring. Raises StoreUnavailable."""
        found = await self._database.read(standing)
        recipients = [
            Sample(
                name="candor_queue_recipients",
                help="Recipients who wait, over all nodes on this store.",
                labels=(("state", state),),
                value=number,
            )
            for state, number in found.states.items()
        ]
        oldest = Sample(
            name="candor_queue_oldest_seconds",
            help="For how long the one has waited who has waited longest.",
            value=found.oldest,
        )
        return [*recipients, oldest]

    async def totals(self) -> dict[str, int]:
        return await self._database.read(spool.totals)
