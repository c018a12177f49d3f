"""The queue's side of the flow: take what is due or was just taken in, try it, write what came of it.

What is claimed is held in small shares (`relay.ready`), so that memory stays bounded however much waits. While
upstream as a whole is away, one message is tried now and then and the rest stays as it is.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection
from contextlib import suppress

from relay import log
from relay.compiled import Compiled, normal_form
from relay.delivery import Delivery
from relay.metrics import MailMetrics
from relay.outcome import Outcome, Status
from relay.personalize import Addressed
from relay.queue import LEASE_SECONDS, Queue
from relay.ready import Work
from relay.rewrite import Plan
from relay.store.recipients import NOBODY, Known
from relay.store.spool import Waiting
from tracker.consent import Contact, Decision, Question, narrow, untracked
from tracker.errors import StoreError

_LOOK_AGAIN = 1.5
"""Seconds after which the queue is looked at even when nobody called: other nodes and the operator change it too."""
_AFTER_TROUBLE = 2.0
_SHORTEST, _LONGEST = 1.0, 30.0
"""Seconds between two tries while upstream is away."""
_AWAY_AFTER = 5
"""Tries in a row without a connection."""


class UpstreamWatch:
    """Whether upstream can be reached at all, as the tries have found it.

    A hundred thousand messages must not each be marked as put off because a cable is out."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause = 0.0
        self._until = 0.0

    def heard(self, outcomes: Collection[Outcome]) -> None:
        """What one try led to."""
        if not outcomes:
            return
        if any(outcome.host or outcome.status is not Status.DEFERRED for outcome in outcomes):
            if self._pause:
                log.upstream_back()
            self._failures, self._pause, self._until = 0, 0.0, 0.0
            return
        self._failures += 1
        if self._failures >= _AWAY_AFTER and time.monotonic() >= self._until:
            self._pause = min(max(self._pause * 2.0, _SHORTEST), _LONGEST)
            self._until = time.monotonic() + self._pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
            log.upstream_away(seconds=self._pause)

    @property
    def is_away(self) -> bool:
        return self._pause > 0

    @property
    def seconds(self) -> float:
        """Until something may be tried again; 0 when it may be now."""
        return max(0.0, self._until - time.monotonic())


class Worker:
    """`start()`, and `stop(grace=…)`."""

    def __init__(self, delivery: Delivery, queue: Queue, metrics: MailMetrics) -> None:
        self._delivery = delivery
        self._metrics = metrics
        self._queue = queue
        self._ready = delivery.ready
        self._watch = UpstreamWatch()
        self._called = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeps_until = time.monotonic() + LEASE_SECONDS
        self._more = True
        """Something due may be left on disk."""
        self._passed_over: frozenset[str] = frozenset()
        """Domains of which the last claim took nothing, since enough of theirs was here."""
        self._look_at = 0.0
        delivery.wake = self._wake
        delivery.ready.notify = self._called.set
        delivery.heard = self._heard

    @property
    def under_way(self) -> int:
        """Messages being tried."""
        return len(self._running)

    @property
    def is_away(self) -> bool:
        """Whether upstream is, as a whole."""
        return self._watch.is_away

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._renew())]

    async def stop(self, *, grace: float) -> None:
        """Claims nothing more and lets running tries finish; what is not done stays in the queue."""
        self._ready.open = False
        for task in self._tasks[:1]:
            task.cancel()
        with suppress(StoreError):
            await self._queue.give_back(
                [one.delivery_id for work in self._ready.drain() for one in work.waiting]
            )
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in [*self._running, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._running, *self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        await self._take_over()
        while True:
            self._called.clear()
            try:
                pause = await self._turn()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one turn, the queue goes on
                log.worker_failed(error=error)
                pause = _AFTER_TROUBLE
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._called.wait()

    async def _take_over(self) -> None:
        try:
            await self._queue.take_over()
        except Exception as error:  # noqa: BLE001 - then leases run out by themselves
            log.presence_failed(error=error)

    async def _turn(self) -> float:
        """Starts what may be started, and takes more where little is left; gives the seconds to wait before looking
        again. Whoever finishes or queues calls."""
        self._start()
        if not self._watch.seconds and self._is_low and (self._may_find or time.monotonic() >= self._look_at):
            pause = await self._claim()
            self._look_at = time.monotonic() + pause
            self._start()
        self._ready.open = not self._more and not self._watch.is_away
        if self._watch.seconds or not self._is_low:
            return self._watch.seconds or _LOOK_AGAIN
        return max(self._look_at - time.monotonic(), 0.01)

    @property
    def _may_find(self) -> bool:
        return self._more or bool(self._passed_over and self._passed_over - self._crowded)

    @property
    def _crowded(self) -> frozenset[str]:
        return self._ready.crowded(self._at_once + self._at_once // 2)

    @property
    def _is_low(self) -> bool:
        if self._watch.is_away:
            return not len(self._ready)
        return self._ready.is_low(self._most_of_a_domain, enough=self._at_once // 2)

    @property
    def _at_once(self) -> int:
        return self._queue.settings.at_once

    @property
    def _most_of_a_domain(self) -> int:
        """Messages to one domain tried together: a quarter of the room is always left for the others."""
        return self._at_once - self._at_once // 4

    @property
    def _room(self) -> int:
        if self._watch.is_away:  # one, to see whether it is back
            return 0 if self._watch.seconds or self._running else 1
        return self._at_once - len(self._running)

    def _start(self) -> None:
        while self._room > 0 and (work := self._ready.take(self._most_of_a_domain)) is not None:
            task = asyncio.create_task(self._try(work))
            self._running.add(task)
            task.add_done_callback(self._done)

    async def _claim(self) -> float:
        """Takes a share of what is due; gives the seconds to wait before looking again."""
        self._more, self._passed_over = False, frozenset()
        try:
            due = await self._queue.next_due()
            if due is None or due > 0:
                return _LOOK_AGAIN if due is None else min(max(due, 0.02), _LOOK_AGAIN)
            self._passed_over = crowded = self._crowded
            share = await self._queue.claim(1 if self._watch.is_away else self._at_once, crowded=crowded)
        except StoreError:
            self._more = True
            return _AFTER_TROUBLE
        for one in share.claimed:
            self._ready.add(Work(submission=one.submission, waiting=one.waiting))
        self._more |= share.more
        return 0.0 if share.claimed else _LOOK_AGAIN

    def _wake(self) -> None:
        """Something on disk may be due."""
        self._more = True
        self._called.set()

    def _heard(self, outcomes: Collection[Outcome]) -> None:
        self._metrics.tried(outcomes)
        was_away = self._watch.is_away
        self._watch.heard(outcomes)
        if self._watch.is_away:
            self._ready.open = False
        elif was_away:
            self._called.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._called.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.worker_failed(error=error)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            with suppress(StoreError, OSError):
                await self._queue.renew()
            if time.monotonic() < self._sweeps_until:  # a server may be late to notice who has died
                await self._take_over()

    async def _try(self, work: Work) -> None:
        try:
            await self._attempt(work)
        finally:
            self._ready.done(work)

    async def _attempt(self, work: Work) -> None:
        """One later try: the same steps as the first, from the stored original. What was taken in just now has
        those behind it already."""
        delivery = self._delivery
        try:
            message = work.message or await delivery.compiler.compiled(work.submission)
            addressed, paths, skipped = work.decided, work.paths, {}
            if not addressed:
                known = await delivery.ask(work.submission)
                await delivery.prepare(message, known)
                addressed = tuple(self._address(message, one, known) for one in work.waiting)
                paths = delivery.paths(work.submission, known)
                skipped = delivery.skipped(addressed, known)
            attempt = delivery.attempt(message, addressed, skipped, recorded=True, paths=paths)
        except BaseException:
            self._queue.let_go(one.delivery_id for one in work.waiting)
            raise
        lifetime = self._queue.settings.lifetime
        await delivery.see_through(
            work.submission,
            addressed,
            attempt,
            waited={one.delivery_id: one for one in work.waiting},
            expired=frozenset(
                one.delivery_id for one in work.waiting if one.age > lifetime and self._queue.may_expire
            ),
            sender_kept=paths is not None,
        )
        if any(outcome.status is not Status.ACCEPTED for outcome in attempt.outcomes.values()):
            self._more = True  # it may come back soon, and a report may wait

    def _address(self, message: Compiled, one: Waiting, known: dict[str, Known] | None) -> Addressed:
        normal = normal_form(one.recipient)
        contact = known.get(normal, NOBODY).contact if known is not None and normal is not None else None
        erased = contact is not None and contact.erased
        decision, footed = self._narrowed(message, one.sent, contact, normal)
        return Addressed(
            delivery_id=one.delivery_id,
            position=one.position,
            recipient=one.recipient,
            normal=None if erased else normal or one.recipient.address,
            group=contact.group if contact else None,
            decision=decision,
            footed=footed,
        )

    def _narrowed(
        self, message: Compiled, sent: Decision | None, contact: Contact | None, normal: str | None
    ) -> tuple[Decision, Plan | None]:
        """What was decided at first, as far as it still holds today."""
        if sent is None:
            return untracked("no-record"), None
        question = Question(
            contact=contact,
            reading=self._delivery.domain.policy.reading(message.circumstances(contact, normal)),
            opens=sent.opens,
            clicks=sent.clicks,
            override=sent.override,
            untouchable=message.untouchable,
            ceiling=message.ceiling,
        )
        today, footed = message.decided(question)
        return self._delivery.reachable((narrow(sent, today), footed), message)
