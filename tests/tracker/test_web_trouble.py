"""Hits that came to grief are told of in totals, never one by one."""

from __future__ import annotations

from structlog.testing import capture_logs

from tracker.web.trouble import Trouble


def test_no_line_is_about_one_hit_and_none_goes_uncounted() -> None:
    now = 1000.0
    trouble = Trouble(clock=lambda: now)
    with capture_logs() as lines:
        trouble.lost("away")
        trouble.late()
        trouble.journaled(3)
        now += 59.9
        trouble.lost("refused")
        assert lines == []
        now += 0.1
        trouble.lost("away")
        trouble.lost("away")
        trouble.tell()
        trouble.tell()
    said = ("answered_before_commit", "journaled", "lost", "reasons")
    assert [tuple(line[name] for name in said) for line in lines] == [
        (1, 3, 2, "away=1 refused=1"),
        (0, 0, 2, "away=2"),
    ]
    names = {*said, "event", "log_level"}
    assert all(set(line) == names for line in lines)
