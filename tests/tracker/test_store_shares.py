"""How much one transaction takes on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tracker.store.database import Database
from tracker.store.shares import Share


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [
        ([0.001] * 6, [10, 12, 15, 18, 22, 27]),
        ([0.001] * 9, [10, 12, 15, 18, 22, 27, 30, 30, 30]),
        ([0.015] * 3, [10, 10, 10]),
        ([0.04, 0.02, 0.02], [10, 5, 5]),
        ([5, 5, 5, 5], [10, 2, 1, 1]),
        ([5, 5, 0.001, 0.001], [10, 2, 1, 2]),
    ],
)
async def test_the_next_share_is_as_large_as_the_last_one_was_quick(
    seconds: Sequence[float], sizes: list[int], database: Database
) -> None:
    moments = iter([moment for one in seconds for moment in (0.0, one)])
    share = Share(first=10, most=30, clock=lambda: next(moments))
    assert [await database.change(share.of(lambda connection, most: most)) for _ in seconds] == sizes
