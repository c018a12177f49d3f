"""One try for one message: copies go upstream, and each recipient has an outcome. Never an exception.

The client's first try and the queue's later ones are this same code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from relay import log
from relay.outcome import Outcome
from relay.personalize import Copy
from relay.signers import NotSignedError
from relay.submission import Submission
from relay.upstream import Transaction, Upstream
from tracker.consent import Mode

_AT_ONCE = 10
"""Copies of one message in memory together."""
MOST_OCTETS = 128 * 1024 * 1024
"""Octets of all messages' copies in memory together."""


class Budget:
    """Octets of copies that may be in memory together, for all attempts of a process. A copy larger than the whole
    goes when it is alone."""

    def __init__(self, octets: int = MOST_OCTETS) -> None:
        self._most = self._free = octets
        self._turn = asyncio.Lock()  # first come, first served: a large copy is not passed over for ever
        self._freed = asyncio.Event()

    async def take(self, octets: int) -> int:
        """Waits for room; gives how much of it is to be given back."""
        octets = min(octets, self._most)
        if self._free < octets or self._turn.locked():
            async with self._turn:
                while self._free < octets:
                    self._freed.clear()
                    await self._freed.wait()
                self._free -= octets
        else:
            self._free -= octets
        return octets

    def give_back(self, octets: int) -> None:
        self._free += octets
        self._freed.set()


class Attempt:
    """`start()`, then `wait()`; `outcomes` fills while it runs, so that what is settled is known early."""

    def __init__(
        self,
        upstream: Upstream,
        submission: Submission,
        copies: Sequence[Copy],
        *,
        unanimous: bool,
        budget: Budget,
        settled: Mapping[bytes, Outcome] | None = None,
    ) -> None:
        """`settled`: outcomes of those who need no try."""
        self._upstream = upstream
        self._submission = submission
        self._copies = copies
        self._unanimous = unanimous
        self._budget = budget
        self._task: asyncio.Task[None] | None = None
        self.outcomes: dict[bytes, Outcome] = dict(settled or {})
        """By delivery id."""
        self.plain: set[bytes] = set()
        """Delivery ids of tracked copies that could not be made, so that the plain one went."""

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def wait(self, seconds: float | None = None) -> bool:
        """Waits until it is over, or so many seconds; True when it is over. It goes on when the time is up."""
        assert self._task is not None  # noqa: S101 - started by the same caller
        task = self._task
        if not task.done():
            await _over(task, seconds)
        return task.done()

    def cancel(self) -> None:
        """Ends it: what was under way may have been sent, and will be tried again."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            if len(self._copies) == 1:
                await self._send(self._copies[0])
            else:
                await self._send_all()
        except Exception as error:  # noqa: BLE001 - recipients without an outcome are simply not settled
            log.attempt_failed(self._submission.id.hex(), error=error)

    async def _send_all(self) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def send(copy: Copy) -> None:
            async with turns:
                await self._send(copy)

        async with asyncio.TaskGroup() as group:
            for copy in self._copies:
                group.create_task(send(copy))

    async def _send(self, copy: Copy) -> None:
        """The copy is made when there is room for it, and gone when the room is given back."""
        room = await self._budget.take(len(self._submission.data))
        try:
            content = await self._content_beside(copy) if copy.is_slow else self._content(copy)
            outcomes = await self._upstream.send(self._transaction(copy, content))
        finally:
            self._budget.give_back(room)
        for one, outcome in zip(copy.addressed, outcomes, strict=True):
            self.outcomes[one.delivery_id] = outcome

    def _transaction(self, copy: Copy, content: tuple[bytes, ...]) -> Transaction:
        submission = self._submission
        return Transaction(
            sender=submission.sender if copy.return_path is None else copy.return_path,
            recipients=tuple(one.recipient for one in copy.addressed),
            content=content,
            smtputf8=submission.smtputf8,
            eight_bit=submission.eight_bit,
            envid=submission.envid,
            ret=submission.ret,
            unanimous=self._unanimous,
            client_sender=submission.sender,
            user=submission.client.user,
        )

    async def _content_beside(self, copy: Copy) -> tuple[bytes, ...]:
        """The same in a thread. A thread cannot be broken off: until it is done its copy lies in memory, so whoever
        ends the attempt waits that long and the room is given back afterwards."""
        making = asyncio.ensure_future(asyncio.to_thread(self._content, copy))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            await asyncio.gather(making, return_exceptions=True)
            raise

    def _content(self, copy: Copy) -> tuple[bytes, ...]:
        """The copy's bytes; whatever keeps a tracked copy from being made must not keep the mail."""
        try:
            return copy.content()
        except Exception as error:  # noqa: BLE001 - doubt never tracks, doubt never loses mail
            failed = log.not_signed if isinstance(error, NotSignedError) else log.copy_failed
            failed(self._submission.id.hex(), error=error)
            self.plain.update(
                one.delivery_id for one in copy.addressed if one.decision.mode is not Mode.UNTRACKED
            )
            return copy.plain()


async def _over(task: asyncio.Task[None], seconds: float | None) -> None:
    """`asyncio.wait` for one task, without its sets."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if seconds is None else loop.call_later(seconds, wake)
    task.add_done_callback(wake)
    try:
        await waiter
    finally:
        task.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()
