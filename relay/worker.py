"""The queue's side of the flow: claim what is due, ask consent afresh, try again, write what came of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from relay import log
from relay.compiled import Compiled, normal_form
from relay.delivery import Delivery
from relay.personalize import Addressed
from relay.queue import LEASE_SECONDS, Queue
from relay.store.spool import Claimed, Waiting
from tracker.consent import Contact, Decision, Question, decide, narrow, untracked
from tracker.errors import StoreError

_LOOK_AGAIN = 30.0
"""Seconds after which the queue is looked at even when nobody called: other nodes put mail there too."""
_AFTER_TROUBLE = 2.0


class Worker:
    """`start()`, and `stop(grace=…)`."""

    def __init__(self, delivery: Delivery, queue: Queue) -> None:
        self._delivery = delivery
        self._queue = queue
        self._called = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        delivery.wake = self._called.set

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._renew())]

    async def stop(self, *, grace: float) -> None:
        """Claims nothing more and lets running tries finish; what is not done stays in the queue."""
        for task in self._tasks[:1]:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for task in [*self._running, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._running, *self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._called.clear()
            try:
                pause = await self._claim()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one turn, the queue goes on
                log.worker_failed(error=error)
                pause = _AFTER_TROUBLE
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._called.wait()

    async def _claim(self) -> float:
        """Starts what is due, as far as there is room; gives the seconds to wait before looking again."""
        room = self._queue.settings.at_once - len(self._running)
        if room <= 0:
            return _LOOK_AGAIN  # whoever finishes calls
        try:
            claimed = await self._queue.claim(room)
            due = await self._queue.next_due() if not claimed else 0.0
        except StoreError:
            return _AFTER_TROUBLE
        for one in claimed:
            task = asyncio.create_task(self._try(one))
            self._running.add(task)
            task.add_done_callback(self._done)
        if claimed:
            return 0.0 if len(claimed) == room else _LOOK_AGAIN if due is None else max(due, 0.05)
        return _LOOK_AGAIN if due is None else min(max(due, 0.05), _LOOK_AGAIN)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._called.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.worker_failed(error=error)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            with suppress(StoreError):
                await self._queue.renew()

    async def _try(self, claimed: Claimed) -> None:
        """One later try: the same steps as the first, from the stored original."""
        delivery = self._delivery
        try:
            message = await delivery.compiler.compiled(claimed.submission)
            contacts = await delivery.ask(claimed.submission.recipients)
            addressed = [self._address(message, one, contacts) for one in claimed.waiting]
            attempt = delivery.attempt(message, addressed, recorded=True)
        except BaseException:
            self._queue.let_go(one.delivery_id for one in claimed.waiting)
            raise
        lifetime = self._queue.settings.lifetime
        await delivery.see_through(
            claimed.submission,
            addressed,
            attempt,
            tries={one.delivery_id: one.tries for one in claimed.waiting},
            expired=frozenset(one.delivery_id for one in claimed.waiting if one.age > lifetime),
        )

    def _address(self, message: Compiled, one: Waiting, contacts: dict[str, Contact] | None) -> Addressed:
        normal = normal_form(one.recipient)
        contact = contacts.get(normal) if contacts is not None and normal is not None else None
        erased = contact is not None and contact.erased
        return Addressed(
            delivery_id=one.delivery_id,
            position=one.position,
            recipient=one.recipient,
            normal=None if erased else normal or one.recipient.address,
            group=contact.group if contact else None,
            decision=self._narrowed(message, one.sent, contact, normal),
        )

    def _narrowed(
        self, message: Compiled, sent: Decision | None, contact: Contact | None, normal: str | None
    ) -> Decision:
        """What was decided at first, as far as it still holds today."""
        if sent is None:
            return untracked("no-record")
        question = Question(
            contact=contact,
            reading=self._delivery.domain.policy.reading(message.circumstances(contact, normal)),
            opens=sent.opens,
            clicks=sent.clicks,
            override=sent.override,
            untouchable=message.untouchable,
            ceiling=message.ceiling,
        )
        return narrow(sent, decide(question))
