"""Hits that came to grief, told in totals: whose they were nobody knows yet, and of who declined nothing is logged."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from tracker import log

_APART = 60.0


class Trouble:
    """Says how many there were once a minute at most, when the next one comes or at the end."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._late = self._journaled = 0
        self._lost: Counter[str] = Counter()

    def late(self) -> None:
        """One was answered before its commit."""
        self._wait_or_tell()
        self._late += 1

    def lost(self, reason: str) -> None:
        """One was not kept, for want of the store or through a fault of ours."""
        self._wait_or_tell()
        self._lost[reason] += 1

    def journaled(self, hits: int) -> None:
        """So many wait in the journal until the store is back."""
        if hits:
            self._wait_or_tell()
            self._journaled += hits

    def tell(self) -> None:
        """What has gathered, if anything."""
        if self._late or self._lost or self._journaled:
            reasons = " ".join(f"{reason}={times}" for reason, times in sorted(self._lost.items()))
            log.hits_in_trouble(self._late, self._journaled, self._lost.total(), reasons)
        self._late, self._journaled, self._since = 0, 0, None
        self._lost.clear()

    def _wait_or_tell(self) -> None:
        """The minute begins with the first, so that no line is ever about one hit as it happens."""
        now = self._clock()
        if self._since is not None and now - self._since >= _APART:
            self.tell()
        if self._since is None:
            self._since = now
