"""Rolls up what waits, a little every second, in whichever process has the turn.

Reading and adding up is done beside; the transaction only looks that nothing has changed, and writes. It is kept short,
and where mail and hits come in quickly the work waits for them: reports are exact meanwhile, they only take longer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from tracker import log
from tracker.errors import StoreError
from tracker.store import jobs as turns
from tracker.store import rollups
from tracker.store.database import Database

NAME = "roll-up"
_HOLD = timedelta(seconds=30)
_EVERY = 1.0
"""Seconds between two looks."""
_NOT_OURS = 10.0
"""Seconds until the next look where another process has the turn."""
_AFTER_TROUBLE = 30.0
_LONGEST = 0.02
"""Seconds that a transaction should take."""
_LEAST, _MOST = 20, 500
_BUSY = 0.5
"""Of a processor, used by this process between two turns: from then on mail and hits come first."""
_SHARE, _SHARE_WHILE_BUSY = 0.5, 0.1
"""Of the time that is spent on it, while more waits."""
_WITHIN = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """What one turn did."""

    waited: int = 0
    """Deliveries that were to be rolled up; where some changed meanwhile they wait for the next turn."""
    is_more: bool = False
    """As many waited as were asked for."""
    is_ours: bool = True


class Rolling:
    """`start()`, and `await stop()`."""

    def __init__(self, database: Database, *, every: float = _EVERY) -> None:
        self._database = database
        self._every = every
        self._name = secrets.token_hex(8)
        self._most = 4 * _LEAST
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """What waits goes on waiting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def turn(self) -> Rolled:
        """Rolls up a batch. Raises StoreError."""
        batch, now = await self._database.read(self._take, within=_WITHIN)
        if batch is None:
            return Rolled()
        began = time.monotonic()
        put = await self._database.change(partial(self._put, batch=batch, now=now), within=_WITHIN)
        took = time.monotonic() - began
        asked = self._most
        if put is not None:
            # Waiting for others' commits is part of what it took: a busy store is given smaller batches.
            self._most = int(max(_LEAST, min(_MOST, self._most * min(2.0, _LONGEST / max(took, 1e-3)))))
        return Rolled(waited=len(batch.states), is_more=len(batch.states) >= asked, is_ours=put is not None)

    async def all(self) -> int:
        """Everything that waits, unless another process is at it; gives the number of deliveries. Raises StoreError."""
        number = 0
        while (rolled := await self.turn()).waited and rolled.is_ours:
            number += rolled.waited
        return number

    def _take(self, connection: Connection) -> tuple[rollups.Batch | None, datetime]:
        return rollups.take(connection, self._most), turns.database_time(connection)

    def _put(self, connection: Connection, batch: rollups.Batch, now: datetime) -> bool | None:
        if not turns.keep(connection, NAME, holder=self._name, now=now, until=now + _HOLD):
            return None
        return rollups.put(connection, batch)

    async def _run(self) -> None:
        pause = self._every
        while True:
            busy = await _busy_while(asyncio.sleep(pause))
            began = time.monotonic()
            try:
                rolled = await self.turn()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, reports are exact without
                log.job_failed(NAME, str(error) if isinstance(error, StoreError) else type(error).__name__)
                pause = _AFTER_TROUBLE
                continue
            if not rolled.is_ours:
                pause = _NOT_OURS
            elif rolled.is_more:
                share = _SHARE_WHILE_BUSY if busy >= _BUSY else _SHARE
                pause = min(self._every, (time.monotonic() - began) * (1 / share - 1))
            else:
                pause = self._every


async def _busy_while(pause: Awaitable[None]) -> float:
    """How much of a processor this process used meanwhile."""
    began, used = time.monotonic(), time.process_time()
    await pause
    return (time.process_time() - used) / max(time.monotonic() - began, 1e-6)
