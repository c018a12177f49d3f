"""Is a server worth asking? A circuit: after some failures in a row it is left alone, then one transaction probes.

Knows no sockets and reads no clock: `now` is monotonic seconds. What a failure is, is said by the caller.
"""

from __future__ import annotations

import asyncio
import random
from enum import Enum

from relay import replies
from relay.replies import Reply
from relay.upstream.settings import UpstreamSettings
from relay.upstream.transaction import Condition


class Entry(Enum):
    """May a transaction go ahead?"""

    YES = "yes"
    AS_PROBE = "as probe"
    NO = "no"


class Health:
    """One server's. Every `enter` that gave AS_PROBE is followed by `probe_over`, whatever happens."""

    def __init__(self, settings: UpstreamSettings, chance: random.Random | None = None) -> None:
        self._settings = settings
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, protects nothing
        self._pause = 0.0
        self._until: float | None = None
        self._probe: asyncio.Event | None = None
        self.failures = 0
        self.trouble: Reply = replies.UPSTREAM_UNREACHABLE

    @property
    def condition(self) -> Condition:
        if self._until is None:
            return Condition.UP
        return Condition.DOWN if self._probe is None else Condition.PROBING

    def seconds_left(self, now: float) -> float:
        """Until it may be asked again; 0.0 when it may be now, or is being probed."""
        return max(0.0, self._until - now) if self._until is not None and self._probe is None else 0.0

    def enter(self, now: float) -> Entry:
        if self._until is None:
            return Entry.YES
        if self._probe is not None or now < self._until:
            return Entry.NO
        self._probe = asyncio.Event()
        return Entry.AS_PROBE

    def probe_over(self) -> None:
        """The probe has ended, also when it was cancelled and found nothing out."""
        if self._probe is not None:
            self._probe.set()
            self._probe = None

    async def probed(self) -> bool:
        """Waits for the probe under way. False when there is none, or when it takes too long."""
        if self._probe is None:
            return False
        try:
            async with asyncio.timeout(self._settings.probe_patience):
                await self._probe.wait()
        except TimeoutError:
            return False
        return True

    def succeeded(self) -> bool:
        """True when it was down until now."""
        was_down = self._until is not None
        self.failures, self._pause, self._until = 0, 0.0, None
        return was_down

    def failed(self, reply: Reply, now: float, *, as_probe: bool = False) -> bool:
        """True when it has gone down by this. Transactions that were under way when it went down are no news."""
        self.failures += 1
        self.trouble = reply
        if self._until is None:
            if self.failures < self._settings.failures_until_down:
                return False
            self._leave_alone(self._settings.first_pause, now)
            return True
        if as_probe:
            self._leave_alone(self._pause * 2, now)
        return False

    def _leave_alone(self, seconds: float, now: float) -> None:
        # Spread by a quarter either way: many nodes must not come back all at once.
        self._pause = min(seconds, self._settings.longest_pause)
        self._until = now + self._pause * self._chance.uniform(0.75, 1.25)
