"""Time that a clock only claims has passed makes no mail older."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
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
    waited = time.waited(1000.0, 1000.0 + 2 * HOUR + jump)  # queued at the first note
    assert waited == pytest.approx(2 * HOUR if noted else 2 * HOUR + jump)


@pytest.mark.parametrize(
    ("queued", "jumps", "waited"),
    [
        pytest.param(0.5 * HOUR, [(HOUR, -DAY)], 2.5 * HOUR, id="set back"),
        pytest.param(-8 * DAY, [(HOUR, -DAY)], 8 * DAY + 3 * HOUR, id="set back, and it was old"),
        pytest.param(0.5 * HOUR, [(HOUR, -HOUR)], 1.5 * HOUR, id="set back: its time was shown twice"),
        pytest.param(
            1.5 * HOUR, [(HOUR, -10 * DAY), (2 * HOUR, 10 * DAY)], 1.5 * HOUR, id="queued while behind"
        ),
        pytest.param(
            1.5 * HOUR, [(HOUR, 10 * DAY), (2 * HOUR, -10 * DAY)], 1.5 * HOUR, id="queued while ahead"
        ),
        pytest.param(0.5 * HOUR, [(HOUR, 10 * DAY), (2 * HOUR, -10 * DAY)], 2.5 * HOUR, id="there and back"),
        pytest.param(2.5 * HOUR, [(HOUR, 10 * DAY)], 0.5 * HOUR, id="queued afterwards"),
    ],
)
def test_what_has_waited_through_jumps(
    queued: float, jumps: list[tuple[float, float]], waited: float
) -> None:
    """Noted every ten minutes for three hours."""

    def database(moment: float) -> float:
        return 100 * DAY + moment + sum(jump for when, jump in jumps if when <= moment)

    time = Timekeeping()
    for step in range(19):
        time.note(database(step * HOUR / 6), step * HOUR / 6)
    assert time.waited(database(queued), database(3 * HOUR)) == pytest.approx(waited)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.floats(0, HOUR), st.floats(-20 * DAY, 20 * DAY) | st.floats(-600, 600)), max_size=8
    ),
    st.data(),
)
def test_nothing_has_waited_longer_than_it_has(jumps: list[tuple[float, float]], data: st.DataObject) -> None:
    """However the clock jumps, and wherever between two notes; of what came while it showed a time that was never
    noted, nobody can say."""
    moments: list[tuple[float, float]] = []
    real, ahead = 0.0, 100 * DAY
    for passed, jump in jumps:
        moments += [(real, real + ahead), (real := real + passed, real + ahead)]
        ahead += jump
    moments += [(real, real + ahead), (real + 60.0, real + 60.0 + ahead)]
    time, known = Timekeeping(), []
    for first, last in zip(moments[::2], moments[1::2], strict=True):  # while the clock ran without a jump
        at_first = first is moments[0] or data.draw(st.booleans())
        at_last = last is moments[-1] or data.draw(st.booleans())
        for moment, database in (first,) * at_first + (last,) * at_last:
            time.note(database, moment)
        if at_first or at_last:
            known += [first, last]
    begun, queued_at = data.draw(st.sampled_from(known))
    assert time.waited(queued_at, moments[-1][1]) <= moments[-1][0] - begun + len(jumps) * 600.0


@given(st.lists(st.floats(0, 10 * DAY), max_size=20), st.floats(0.98, 1.02))
def test_two_clocks_that_drift_a_little_never_jump(steps: list[float], drift: float) -> None:
    time, database, monotonic = Timekeeping(), 0.0, 0.0
    for step in steps:
        step = min(step, 6 * HOUR)
        database, monotonic = database + step * drift, monotonic + step
        assert time.note(database, monotonic) == 0
    assert time.waited(database - HOUR, database) == pytest.approx(HOUR)
