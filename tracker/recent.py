"""What one process remembers of the last two minutes' hits: from which networks each delivery was asked for. Pure.

Networks are held as numbers, in memory and for the window only. Other processes do not know them: what follows from
them goes on record with the events.
"""

from __future__ import annotations

from collections import OrderedDict

from tracker.behaviour import NETWORKS, NETWORKS_WITHIN, Span
from tracker.verdict import Place

_MOST_DELIVERIES = 50_000
_MOST_HITS = 32
_FORGET_EVERY = 1.0
_Seen = tuple[float, ...]
"""Moments and networks in turns. Numbers in one tuple: the garbage collector passes over it once and never again, where
lists by the ten thousand would hold everybody up for tens of milliseconds."""
_VERSION_BITS = 3


class Recent:
    """Deliveries in the order of their last hit; the longest unheard of goes first."""

    def __init__(self, *, most: int = _MOST_DELIVERIES) -> None:
        self._most = most
        self._of: OrderedDict[bytes, _Seen] = OrderedDict()
        self._forget_at = 0.0

    def __len__(self) -> int:
        return len(self._of)

    def note(self, delivery: bytes, place: Place, at: float) -> Span | None:
        """One more hit (`at`: Unix seconds). When hits from so many networks came within the window: from the first of
        them until now."""
        if at >= self._forget_at or len(self._of) >= self._most:
            self._forget(at)
        version, number = place
        known = (*self._of.pop(delivery, ()), at, number << _VERSION_BITS | version)
        while known[0] < at - NETWORKS_WITHIN or len(known) > 2 * _MOST_HITS:
            known = known[2:]
        self._of[delivery] = known
        if len(known) < 2 * NETWORKS or len(set(known[1::2])) < NETWORKS:
            return None
        return known[0], at

    def _forget(self, now: float) -> None:
        """Whoever was last heard of too long ago, and makes room for one more."""
        self._forget_at = now + _FORGET_EVERY
        while self._of:
            oldest = next(iter(self._of.values()))
            if len(self._of) < self._most and oldest[-2] >= now - NETWORKS_WITHIN:
                return
            self._of.popitem(last=False)
