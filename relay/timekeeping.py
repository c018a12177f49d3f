"""How long mail has really waited, when the clock by which that is counted jumps.

The database's clock says what is due and how old a row is, so that nodes agree. A clock that was wrong is set right in
one step: by days after a machine without a battery has booted, by hours after a virtual machine was asleep. Nothing may
expire because of that. This process's own monotonic clock tells a step from time that has passed. Reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

_STEP = 600.0
"""Seconds; what is less is not worth a word, and slow servers and two clocks that drift apart may make it."""
_ROUNDING = 0.001
"""Seconds; sums of times since 1970 are exact to less."""
_MOST_STEPS = 50


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Of the database's clock, while it did not jump."""

    begin: float
    end: float
    ahead: float
    """Of the first stretch's clock."""


class Timekeeping:
    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._earlier: list[_Stretch] = []
        self._begin = float("-inf")
        self._end = float("-inf")
        """The latest that the database's clock has shown since `_begin`: small steps back show times again."""
        self._ahead = 0.0

    def note(self, database: float, monotonic: float) -> float:
        """Both clocks at one moment; gives the seconds by which the database's has jumped since the last note, 0 when
        it has not."""
        last, self._last = self._last, (database, monotonic)
        if last is None:
            self._end = database
            return 0.0
        passed = monotonic - last[1]
        jump = (database - last[0]) - passed
        # It happened somewhere between the two notes: that time may belong to either stretch.
        self._end = max(self._end, last[0] + passed)
        if abs(jump) < _STEP:
            self._begin, self._end = min(self._begin, database - passed), max(self._end, database)
            return 0.0
        self._earlier.append(_Stretch(self._begin, self._end, self._ahead))
        del self._earlier[:-_MOST_STEPS]
        self._begin, self._end = database - passed, database
        self._ahead += jump
        return jump

    def waited(self, queued_at: float, database: float) -> float:
        """Seconds that a row has really waited which was queued then, at this moment, both by the database's clock.
        A clock that was set back has shown some times twice: then it is as young as it can be."""
        now = _Stretch(self._begin, max(self._end, database), self._ahead)
        possible = (
            database - queued_at - (self._ahead - one.ahead)
            for one in (*self._earlier, now)
            if one.begin - _ROUNDING <= queued_at <= one.end + _ROUNDING
        )
        return max(0.0, min(possible, default=0.0))
