"""Is there room for more mail where the store keeps it? Asked at every MAIL, looked up once a second.

Of PostgreSQL's disk nothing is known here; it says so itself when it is full.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from relay import log, replies
from relay.replies import Reply

_AGAIN = 1.0


class Room:
    """`check` is the intake's question: 452 while less than `least` octets are free in `folder`, else None. With a
    `least` of 0 there is always room."""

    def __init__(self, folder: Path | None, least: int) -> None:
        self._folder = folder
        self.least = least
        self._looked_at = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._full = False
        if folder is not None:
            self._note(self._free())

    def check(self) -> Reply | None:
        """What was found last; looks again in the background, for a disk may take long to answer."""
        if (
            self._folder is not None
            and self._looking is None
            and time.monotonic() - self._looked_at >= _AGAIN
        ):
            self._looking = asyncio.create_task(self._look())
        return replies.DISK_NEARLY_FULL if self._full else None

    async def _look(self) -> None:
        try:
            self._note(await asyncio.to_thread(self._free))
        finally:
            self._looking = None

    def _free(self) -> int:
        """Octets that we may still write; more than enough where nobody can say."""
        assert self._folder is not None  # noqa: S101 - asked by the callers
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return self.least
        return found.f_bavail * found.f_frsize

    def _note(self, free: int) -> None:
        self._looked_at = time.monotonic()
        was, self._full = self._full, free < self.least
        if self._full and not was:
            log.disk_nearly_full(free=free, least=self.least)
        elif was and not self._full:
            log.disk_has_room(free=free)
