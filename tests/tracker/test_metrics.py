"""Numbers of several processes: each writes its own, whoever is asked adds them up, and none is lost with a process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.metrics import Sample, Sheet


def in_a_process(work: Callable[[], None]) -> int:
    """Does it in a child, which ends as a crash would."""
    pid = os.fork()
    if pid == 0:
        work()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def values(sheet: Sheet) -> dict[str, float]:
    """Every line that is no comment."""
    lines = [line for line in sheet.text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_a_process_counted_stays_when_it_is_killed_and_goes_on_with_the_next() -> None:
    sheet = Sheet(3)
    counted = sheet.counter("things_total", "Things.", "kind", ["red", "blue"])
    open_now = sheet.gauge("open", "Open now.")

    def life(row: int) -> Callable[[], None]:
        def live() -> None:
            sheet.take(row)
            open_now.set(7)
            for _ in range(1000):
                counted.add("red")
            counted.add("blue", 2)

        return live

    for row in (0, 1, 2, 1):
        assert in_a_process(life(row)) == -signal.SIGKILL
    found = values(sheet)
    assert (found['things_total{kind="red"}'], found['things_total{kind="blue"}']) == (4000, 8)
    assert found["candor_process_starts_total"] == 4
    assert found["open"] == 21  # nobody has buried them yet
    for row in (0, 2):
        sheet.leave(row)
    assert (values(sheet)["open"], values(sheet)["candor_processes"]) == (7, 1)
    assert values(sheet)['things_total{kind="red"}'] == 4000


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1000)), max_size=40))
def test_a_histogram_is_that_of_all_rows_together(sizes: list[tuple[int, int]]) -> None:
    sheet = Sheet(4)
    seen = sheet.histogram("seconds", "How long.", [1, 10, 100.5])
    for row, size in sizes:
        sheet.start = row * 512
        seen.observe(size)
    found = values(sheet)
    for bound in (1, 10, 100.5):
        assert found[f'seconds_bucket{{le="{bound}"}}'] == sum(size <= bound for _, size in sizes)
    assert found['seconds_bucket{le="+Inf"}'] == found["seconds_count"] == len(sizes)
    assert found["seconds_sum"] == sum(size for _, size in sizes)


def test_the_text_is_what_prometheus_reads() -> None:
    sheet = Sheet()
    sheet.counter("mail_total", "Mail.", "answer", ["yes", "no"]).add("no", 1.5)
    labels = (("state", "held"),)
    text = sheet.text([Sample(name="waiting", help="Who waits.", labels=labels, value=3)])
    assert text.endswith("\n")
    assert text.splitlines()[-7:] == [
        "# HELP mail_total Mail.",
        "# TYPE mail_total counter",
        'mail_total{answer="yes"} 0',
        'mail_total{answer="no"} 1.5',
        "# HELP waiting Who waits.",
        "# TYPE waiting gauge",
        'waiting{state="held"} 3',
    ]


def test_more_than_fits_is_a_mistake_that_shows_at_once() -> None:
    with pytest.raises(ValueError, match="no room for many"):
        Sheet().counter("many", "Too many.", "n", [str(n) for n in range(600)])
