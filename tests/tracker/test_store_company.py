"""Waiting for company: only where many come at a time, and not again and again in vain."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tracker.store.company import Company


def turn(company: Company, waiting: list[int], coming: int = 0) -> bool:
    """One turn for those who wait and, where there is a wait, for as many who come meanwhile; whether there was one."""
    steps = company.gather(waiting)
    try:
        steps.send(None)
    except StopIteration:
        return False
    waiting += range(coming)
    with pytest.raises(StopIteration):
        steps.send(None)
    return True


@pytest.mark.parametrize("callers", [1, 2])
def test_the_few_never_wait(callers: int) -> None:
    company = Company(0)
    assert not any(turn(company, [0] * callers) for _ in range(10))


def test_after_many_together_the_next_waits_for_others() -> None:
    company = Company(0)
    assert not turn(company, [0, 0, 0])
    waiting = [0]
    assert turn(company, waiting, coming=4)
    assert len(waiting) == 5
    assert turn(company, [0], coming=1)
    assert not turn(company, [0])


def waits(company: Company, turns: int, coming: int) -> Sequence[bool]:
    return [turn(company, [0, 0, 0], coming) for _ in range(turns)]


def test_a_wait_in_vain_is_not_repeated_soon() -> None:
    company = Company(0)
    assert waits(company, 11, coming=0) == [False, True, *[False] * 8, True]


def test_as_long_as_others_come_each_turn_waits_for_them() -> None:
    company = Company(0)
    assert waits(company, 11, coming=1) == [False, *[True] * 10]
