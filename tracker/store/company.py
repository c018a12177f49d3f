"""Whether it is worth waiting a moment for others before what waits is done together.

A transaction or a question costs about the same for one caller as for ten, and the more so the busier the program is:
so where many come at a time, a moment's wait makes all of them cheaper. Who comes alone never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized

_ENOUGH = 3
"""Callers who went together last time, from which on more of them are worth waiting for."""
_PATIENT_AGAIN = 8
"""Turns without a wait after one in which nobody came."""


class Company:
    """`await gather(waiting)` before each turn, where `waiting` grows by itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = 0
        self._hasty_turns = 0

    async def gather(self, waiting: Sized) -> None:
        """Waits for more, where more may be expected."""
        before = len(waiting)
        if self._last >= _ENOUGH:
            if self._hasty_turns:
                self._hasty_turns -= 1
            else:
                await asyncio.sleep(self._seconds)
                if len(waiting) == before:
                    self._hasty_turns = _PATIENT_AGAIN
        self._last = len(waiting)
