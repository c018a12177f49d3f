"""Is there room on the disk for one message more? Asked at every MAIL, so that a full disk is met before the dot."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from relay import log
from relay.replies import DISK_NEARLY_FULL, Reply

LOOK_AGAIN = 1.0
"""Seconds for which an answer holds."""


class DiskSpace:
    """Of the file system that holds `folder`. `least` octets must be free; 0 asks nothing."""

    def __init__(
        self,
        folder: Path,
        least: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self.least = least
        self._folder = folder
        self._clock = clock
        self._free = free
        self._look_at = 0.0
        self._short = False

    def check(self) -> Reply | None:
        """The reply that puts every message off, or None."""
        if not self.least:
            return None
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN
            self._look()
        return DISK_NEARLY_FULL if self._short else None

    def _look(self) -> None:
        try:
            free = self._free(self._folder)
        except OSError:
            return  # whoever writes there will say what is wrong
        if (free < self.least) != self._short:
            self._short = not self._short
            log.disk_space(short=self._short, free=free, least=self.least)
