"""The right to a connection: so many at a time, in the order asked, and fewer for a while where upstream complains."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Slots:
    """`limit` begins at `most`. After `lower` it grows by a quarter of that each `calm_seconds`, until it is there
    again."""

    def __init__(self, most: int, *, calm_seconds: float) -> None:
        self._most = most
        self._calm_seconds = calm_seconds
        self._queue: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.limit = most
        self.held = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def acquire(self, *, first: bool = False) -> None:
        """Waits as long as need be; `first` before all who wait already. Whoever returns from here releases."""
        if self.held < self.limit and not self._queue:
            self.held += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._queue.appendleft if first else self._queue.append)(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # it was passed over already
                    self._queue.remove(turn)
            else:  # it was our turn already
                self.held -= 1
            self._hand_on()
            raise

    def release(self) -> None:
        self.held -= 1
        self._hand_on()

    def lower(self, limit: int) -> bool:
        """True when that is lower than before. Who holds one keeps it."""
        lowered = max(1, limit) < self.limit
        if lowered:
            self.limit = max(1, limit)
        self._calm()
        return lowered

    def reset(self) -> None:
        """As many as at first."""
        self.close()
        self.limit = self._most
        self._hand_on()

    def close(self) -> None:
        """No more growing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_on(self) -> None:
        while self._queue and self.held < self.limit:
            turn = self._queue.popleft()
            if not turn.done():
                self.held += 1
                turn.set_result(None)

    def _calm(self) -> None:
        self.close()
        if self.limit < self._most:
            self._timer = asyncio.get_running_loop().call_later(self._calm_seconds, self._grow)

    def _grow(self) -> None:
        self.limit = min(self._most, self.limit + max(1, self._most // 4))
        self._hand_on()
        self._calm()
