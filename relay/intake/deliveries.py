"""Messages handed over to be delivered, and what is owed to them whatever their client does.

A delivery runs in a task of its own: a client that leaves, resets or is cut off never cancels it in the
middle of a commit. Whatever goes wrong inside becomes a temporary reply that names the submission.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from relay import log as words
from relay import replies
from relay.intake.limits import Claim
from relay.replies import Reply
from relay.submission import Submission

Deliver = Callable[[Submission], Awaitable[Reply]]


class Deliveries:
    def __init__(self, deliver: Deliver, log: words.Log) -> None:
        self._deliver = deliver
        self._log = log
        self._running: dict[asyncio.Task[None], Claim] = {}

    def __len__(self) -> int:
        return len(self._running)

    def begin(
        self,
        submission: Submission,
        *,
        claim: Claim,
        client_waits: Callable[[], bool],
        answer: Callable[[Reply], None],
    ) -> None:
        """`answer` hears the reply for the client, unless the delivery is cut off. The claim is released when the
        delivery is over."""
        task = asyncio.get_running_loop().create_task(self._run(submission, client_waits, answer))
        self._running[task] = claim
        task.add_done_callback(self._over)

    async def finish(self, *, grace: float) -> None:
        """Wait for what is running, at most `grace` seconds, then cancel it; the clients heard no 250."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        if self._running:
            words.delivery_cut_off(self._log, count=len(self._running))
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)

    async def _run(
        self, submission: Submission, client_waits: Callable[[], bool], answer: Callable[[Reply], None]
    ) -> None:
        id = submission.id.hex()
        try:
            reply = await self._deliver(submission)
        except Exception as error:  # noqa: BLE001 - the border: any trouble is ours, and temporary
            words.submission_failed(self._log, id, error=error)
            reply = replies.unexpected(id)
        words.submission_answered(self._log, id, reply=reply, client_waits=client_waits())
        answer(reply)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task).release()
