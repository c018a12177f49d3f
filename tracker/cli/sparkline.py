"""Numbers as a line of blocks, the highest as a whole one."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDEST = 72
"""Fits a terminal with a word before it."""


def sparkline(values: Sequence[int]) -> str:
    """A block for each value, or for as many neighbours' sum as make it fit; `·` for nothing."""
    each = -(-len(values) // _WIDEST) or 1
    sums = [sum(values[start : start + each]) for start in range(0, len(values), each)]
    most = max(sums, default=0)
    return "".join(_BLOCKS[(value * len(_BLOCKS) - 1) // most] if value > 0 else "·" for value in sums)
