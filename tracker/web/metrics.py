"""What is counted of hits for monitoring. A hit of somebody who declined is in none of these numbers, but in `late`,
`lost` and `bad tokens`, which are known before anybody could say whose hit it was.

Declared on the program's sheet before its processes are forked; see `tracker.metrics`.
"""

from __future__ import annotations

from tracker.consent import Mode
from tracker.metrics import Sheet

_KEPT = [str(mode) for mode in Mode if mode is not Mode.UNTRACKED]


class HitMetrics:
    """Its methods are what happens."""

    def __init__(self, sheet: Sheet) -> None:
        self._kept = sheet.counter(
            "candor_hits_kept_total", "Opens and clicks of which something was kept.", "mode", _KEPT
        )
        self._late = sheet.counter(
            "candor_hits_late_total", "Hits answered before what they leave was committed."
        )
        self._lost = sheet.counter(
            "candor_hits_lost_total", "Hits answered, and not kept: the store is away."
        )
        self._journaled = sheet.counter(
            "candor_hits_journaled_total", "Hits put aside until the store is back; then they are kept."
        )
        self._bad = sheet.counter("candor_bad_tokens_total", "Links and pixels that do not verify.")

    def kept(self, mode: Mode, n: int = 1) -> None:
        if mode is not Mode.UNTRACKED:
            self._kept.add(str(mode), n)

    def journaled(self, n: int) -> None:
        self._journaled.add(number=n)

    def late(self) -> None:
        self._late.add()

    def lost(self) -> None:
        self._lost.add()

    def bad_token(self) -> None:
        self._bad.add()
