"""Time that a clock only claims has passed makes no mail older."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.timekeeping import Timekeeping

HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize("jump", [10 * DAY, 2 * HOUR, -3 * DAY, 0.0, 30.0])
def test_a_jump_is_told_once_and_what_waited_then_has_not_waited_longer(jump: float) -> None:
    time = Timekeeping()
    assert time.note(1000.0, 5.0) == 0
    noted = time.note(1000.0 + HOUR + jump, 5.0 + HOUR)
    assert noted == (jump if abs(jump) >= HOUR else 0)
    assert time.note(1000.0 + 2 * HOUR + jump, 5.0 + 2 * HOUR) == 0
    now = 1000.0 + 2 * HOUR + jump
    waited = time.waited(now - 1000.0, now)  # queued at the first note
    if jump < 0:
        assert 0 <= waited <= 2 * HOUR
    else:
        assert waited == pytest.approx(2 * HOUR if noted else 2 * HOUR + jump)


def test_what_was_old_when_the_clock_was_set_back_is_as_old_as_before() -> None:
    time = Timekeeping()
    time.note(10 * DAY, 0.0)
    time.note(9 * DAY, HOUR)  # set back by a day and an hour
    assert time.waited(8 * DAY, 9 * DAY) == pytest.approx(9 * DAY + HOUR)


def test_what_came_after_a_jump_is_as_old_as_the_clock_says() -> None:
    time = Timekeeping()
    time.note(0.0, 0.0)
    time.note(10 * DAY, 60.0)
    assert time.waited(5 * HOUR, 10 * DAY + 6 * HOUR) == 5 * HOUR


def test_a_clock_that_was_set_back_again_leaves_nothing_behind() -> None:
    time = Timekeeping()
    time.note(0.0, 0.0)
    assert (time.note(DAY + 60.0, 60.0), time.note(120.0, 120.0)) == (DAY, -DAY)
    assert time.waited(120.0, 120.0) == 120.0


@given(st.lists(st.floats(0, 10 * DAY), max_size=20), st.floats(0.98, 1.02))
def test_two_clocks_that_drift_a_little_never_jump(steps: list[float], drift: float) -> None:
    time, database, monotonic = Timekeeping(), 0.0, 0.0
    for step in steps:
        step = min(step, 6 * HOUR)
        database, monotonic = database + step * drift, monotonic + step
        assert time.note(database, monotonic) == 0
    assert time.waited(HOUR, database) == HOUR
