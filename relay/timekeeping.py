"""How long mail has really waited, when the clock by which that is counted jumps.

The database's clock says what is due and how old a row is, so that nodes agree. A clock that was wrong is set right in
one step: by days after a machine without a battery has booted, by hours after a virtual machine was asleep. Nothing may
expire because of that. This process's own monotonic clock tells a step from time that has passed. Reads no clock.
"""

from __future__ import annotations

_STEP = 600.0
"""Seconds; what is less is not worth a word, and slow servers and two clocks that drift apart may make it."""


class Timekeeping:
    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._ahead = 0.0
        self._jumped_at = 0.0

    def note(self, database: float, monotonic: float) -> float:
        """Both clocks at one moment; gives the seconds by which the database's has jumped since the last note, 0 when
        it has not."""
        last, self._last = self._last, (database, monotonic)
        if last is None:
            return 0.0
        jump = (database - last[0]) - (monotonic - last[1])
        if abs(jump) < _STEP:
            return 0.0
        self._ahead += jump
        self._jumped_at = database
        return jump

    def waited(self, age: float, database: float) -> float:
        """Seconds that a row has really waited which is so old by the database's clock, at this moment of it. Where a
        clock was set back, nobody can tell what came before that from what came after it: then it is young."""
        was_there_before = database - age < self._jumped_at
        return max(0.0, age - self._ahead if was_there_before else age)
