"""Keeps callers from waiting for a database that is known to be away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tracker import log
from tracker.errors import StoreUnavailable

_PAUSE = 0.5


class Breaker:
    """Closed while the database answers. A failure trips it; a probe in the background closes it again.

    `patience`: seconds a probe may take."""

    def __init__(self, name: str, probe: Callable[[], Awaitable[None]], *, patience: float) -> None:
        self._name = name
        self._probe = probe
        self._patience = patience
        self._watch: asyncio.Task[None] | None = None
        self._over = False

    @property
    def tripped(self) -> bool:
        return self._watch is not None

    def check(self) -> None:
        """Raises StoreUnavailable while tripped, and for ever after `close`."""
        if self._watch is not None or self._over:
            raise StoreUnavailable("the store is away" if not self._over else "the store is closed")

    def trip(self, reason: str) -> None:
        if self._watch is None and not self._over:
            log.store_away(self._name, reason)
            self._watch = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            try:
                async with asyncio.timeout(self._patience):
                    await self._probe()
            except Exception:  # noqa: BLE001, S112 - whatever a driver says: not back yet
                continue
            self._watch = None
            log.store_back(self._name)
            return

    async def close(self) -> None:
        self._over = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
