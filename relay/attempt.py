"""One try for one message: copies go upstream, and each recipient has an outcome. Never an exception.

The client's first try and the queue's later ones are this same code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from relay import log
from relay.outcome import Outcome
from relay.personalize import Copy
from relay.submission import Submission
from relay.upstream import Transaction, Upstream

_AT_ONCE = 10
"""Copies of one message in memory together."""


class Attempt:
    """`start()`, then `wait()`; `outcomes` fills while it runs, so that what is settled is known early."""

    def __init__(
        self, upstream: Upstream, submission: Submission, copies: Sequence[Copy], *, unanimous: bool
    ) -> None:
        self._upstream = upstream
        self._submission = submission
        self._copies = copies
        self._unanimous = unanimous
        self._task: asyncio.Task[None] | None = None
        self.outcomes: dict[bytes, Outcome] = {}
        """By delivery id."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def wait(self, seconds: float | None = None) -> bool:
        """Waits until it is over, or so many seconds; True when it is over. It goes on when the time is up."""
        assert self._task is not None  # noqa: S101 - started by the same caller
        done, _ = await asyncio.wait({self._task}, timeout=seconds)
        return bool(done)

    def cancel(self) -> None:
        """Ends it: what was under way may have been sent, and will be tried again."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def send(copy: Copy) -> None:
            async with turns:
                await self._send(copy)

        try:
            if len(self._copies) == 1:
                await self._send(self._copies[0])
            else:
                async with asyncio.TaskGroup() as group:
                    for copy in self._copies:
                        group.create_task(send(copy))
        except Exception as error:  # noqa: BLE001 - recipients without an outcome are simply not settled
            log.attempt_failed(self._submission.id.hex(), error=error)

    async def _send(self, copy: Copy) -> None:
        submission = self._submission
        transaction = Transaction(
            sender=submission.sender,
            recipients=tuple(one.recipient for one in copy.addressed),
            content=self._content(copy),
            smtputf8=submission.smtputf8,
            eight_bit=submission.eight_bit,
            envid=submission.envid,
            ret=submission.ret,
            unanimous=self._unanimous,
        )
        outcomes = await self._upstream.send(transaction)
        for one, outcome in zip(copy.addressed, outcomes, strict=True):
            self.outcomes[one.delivery_id] = outcome

    def _content(self, copy: Copy) -> tuple[bytes, ...]:
        """The copy's bytes; whatever keeps a tracked copy from being made must not keep the mail."""
        try:
            return copy.content()
        except Exception as error:  # noqa: BLE001 - doubt never tracks, doubt never loses mail
            log.copy_failed(self._submission.id.hex(), error=error)
            return copy.plain()
