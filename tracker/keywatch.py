"""A key that was added to the file while the program runs is taken up by itself, for verifying: after a rotation links
of the new key come in as soon as the first program seals with it. New links keep to the key of the start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tracker import keyring, log
from tracker.errors import KeyRingError, StoreError
from tracker.tokens import KeyRing

_LOOK = 2.0
_Stamp = tuple[int, int, int] | None


class KeyWatch:
    """`start()`, and `await stop()`. `renew` is given the ring with whatever came to it."""

    def __init__(
        self, file: Path, current: Callable[[], KeyRing], renew: Callable[[KeyRing], Awaitable[None]]
    ) -> None:
        self._file = file
        self._current = current
        self._renew = renew
        self._seen: _Stamp = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> bool:
        """True when a key was taken up. A file that is damaged or lacks a key changes nothing."""
        stamp = _stamp(self._file)
        if stamp is None or stamp == self._seen:
            return False
        ring = self._current()
        try:
            found = keyring.load(self._file)
            if found.permanent != ring.permanent or ring.keys.keys() - found.keys.keys():
                raise KeyRingError(f"{self._file}: the key ring lacks keys that this program started with")
            new = found.keys.keys() - ring.keys.keys()
            if new:
                await self._renew(
                    KeyRing(newest=ring.newest, keys={**ring.keys, **found.keys}, permanent=ring.permanent)
                )
        except StoreError:
            return False  # the next look tries again
        except KeyRingError as error:
            self._seen = stamp
            log.keys_refused(str(error))
            return False
        self._seen = stamp
        if new:
            log.keys_taken_up(sorted(key.hex() for key in new))
        return bool(new)

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_LOOK)


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
