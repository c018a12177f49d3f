"""What one process remembers of the last two minutes' hits: from which networks each delivery was asked for. Pure.

Networks are held as numbers, in memory and for the window only. Other processes do not know them: what follows from
them goes on record with the events.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from tracker.behaviour import NETWORKS, NETWORKS_WITHIN, Span
from tracker.verdict import Place

_MOST_DELIVERIES = 50_000
_MOST_HITS = 32


class Recent:
    """Deliveries in the order of their last hit; the longest unheard of goes first."""

    def __init__(self, *, most: int = _MOST_DELIVERIES) -> None:
        self._most = most
        self._of: OrderedDict[bytes, deque[tuple[float, Place]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def note(self, delivery: bytes, place: Place, at: float) -> Span | None:
        """One more hit (`at`: Unix seconds). When hits from so many networks came within the window: from the first of
        them until now."""
        known = self._of.setdefault(delivery, deque(maxlen=_MOST_HITS))
        self._of.move_to_end(delivery)
        known.append((at, place))
        self._forget(at)
        while known and known[0][0] < at - NETWORKS_WITHIN:
            known.popleft()
        if len(known) < NETWORKS or len({one for _, one in known}) < NETWORKS:
            return None
        return known[0][0], at

    def _forget(self, now: float) -> None:
        while self._of:
            oldest = next(iter(self._of.values()))
            if len(self._of) <= self._most and oldest and oldest[-1][0] >= now - NETWORKS_WITHIN:
                return
            self._of.popitem(last=False)
