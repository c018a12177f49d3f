"""How the interpreter shares a serving program's time: what the garbage collector walks over, and how soon one thread
hands on to the next. Both decide how late the slowest answers are."""

from __future__ import annotations

import gc
import sys

_COLLECT_EVERY = 5000
"""Objects more, of those that can be in cycles, until the collector looks for cycles among the young ones."""
_HAND_ON_EVERY = 0.001
"""Seconds a thread of the store may keep the loop waiting. Python's own 5 ms are half of what an answer may take."""


def spare_the_lasting() -> None:
    """To be called when a program has started: what it consists of lasts as long as it runs. Walking over it again and
    again in search of garbage took a tenth of the time of each message."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


def hand_on_soon() -> None:
    """For a program whose answers must not wait behind what the store's threads compute."""
    sys.setswitchinterval(_HAND_ON_EVERY)
