"""What became of messages while the store is away: kept in memory, written when it is back.

Upstream has the mail, and the client was told so; only the record of it is late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from relay import log
from tracker.errors import StoreUnavailable

_MOST_UNSAVED = 10_000
_SAVE_AGAIN = 2.0
_LAST_CHANCE, _ONCE_MORE = 3.0, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What became of one message, and how it is written."""

    message_id: str
    ids: tuple[bytes, ...]
    save: Callable[[], Awaitable[None]]


class Unsaved:
    """`await write(saving)`, then `close`. `let_go` is called with the ids of whom nothing will be written."""

    def __init__(self, let_go: Callable[[Iterable[bytes]], None]) -> None:
        self._let_go = let_go
        self.waiting: list[Saving] = []
        self._saver: asyncio.Task[None] | None = None

    async def write(self, saving: Saving) -> None:
        """Writes now, or as soon as the store is back."""
        left = await self._save_one(saving)
        if left is None:
            return
        if len(self.waiting) >= _MOST_UNSAVED:
            self._lose(saving, StoreUnavailable())
            return
        self.waiting.append(left)
        if self._saver is None or self._saver.done():
            self._saver = asyncio.create_task(self._save_later())

    async def close(self, *, grace: float) -> None:
        """Gives what is unsaved a last chance."""
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(grace, _LAST_CHANCE)):
                while self.waiting:
                    await self.save_some(list(self.waiting))
                    await asyncio.sleep(_ONCE_MORE)
        for one in self.waiting:
            log.outcome_lost(one.message_id, error=StoreUnavailable())

    async def _save_later(self) -> None:
        while self.waiting:
            await asyncio.sleep(_SAVE_AGAIN)
            await self.save_some(self.waiting[:100])

    async def save_some(self, some: Sequence[Saving]) -> None:
        """Tries these, the first that wait."""
        left = await asyncio.gather(*map(self._save_one, some))
        self.waiting[: len(some)] = [one for one in left if one is not None]

    async def _save_one(self, saving: Saving) -> Saving | None:
        """Writes it; gives it back when the store is away."""
        try:
            await saving.save()
        except StoreUnavailable:
            return saving
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be held for ever
            self._lose(saving, error)
        return None

    def _lose(self, saving: Saving, error: Exception) -> None:
        """Who is still in the queue then is tried again: rather twice than not at all."""
        log.outcome_lost(saving.message_id, error=error)
        self._let_go(saving.ids)
