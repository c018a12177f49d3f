"""How much somebody may send in how long: a rate, and the buckets that hold everybody to theirs.

Pure; `now` is an argument, seconds of any clock that never goes back. A bucket holds what a whole period allows, so
that a mailing may come all at once, and fills evenly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Counted = Literal["messages", "recipients"]

ALLOWED = '"100/m" (messages in a minute), "1000/h", "10/s", "20000/d", or "500 recipients/h"'
MAX_BUCKETS = 100_000

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"([1-9][0-9]{0,8})(?: (messages|recipients))?/([smhd])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    amount: int
    seconds: float
    counted: Counted = "messages"

    def __str__(self) -> str:
        """As it is written in the configuration."""
        unit = next(unit for unit, seconds in _PERIODS.items() if seconds == self.seconds)
        return f"{self.amount}{' recipients' if self.counted == 'recipients' else ''}/{unit}"


def parse_rate(text: str) -> Rate:
    """Raises ValueError that says what is allowed."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a rate such as {ALLOWED}")
    counted: Counted = "recipients" if match[2] == "recipients" else "messages"
    return Rate(amount=int(match[1]), seconds=_PERIODS[match[3]], counted=counted)


class Buckets:
    """One for each who sends. They outlive a change of rates: what was used stays used."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}
        """What is used of the bucket, and when that was so."""

    def take(self, whose: str, rate: Rate, *, now: float, amount: int = 1) -> bool:
        """Takes it and gives True, or takes nothing and gives False."""
        used = self.used(whose, rate, now=now)
        if used + amount > rate.amount:
            return False
        self._used.pop(whose, None)  # so that the oldest stands first
        self._used[whose] = (used + amount, now)
        if len(self._used) > MAX_BUCKETS:
            del self._used[next(iter(self._used))]
        return True

    def has(self, whose: str, rate: Rate, *, now: float) -> bool:
        """Is there one left?"""
        return self.used(whose, rate, now=now) + 1 <= rate.amount

    def used(self, whose: str, rate: Rate, *, now: float) -> float:
        used, at = self._used.get(whose, (0.0, now))
        return max(0.0, used - (now - at) * rate.amount / rate.seconds)
