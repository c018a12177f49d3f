"""The log's set-up: where lines go, in which form, and who else is heard."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
from structlog.testing import capture_logs
from support.commands import ROOT

from tracker import log

PROGRAM = """
import logging
from tracker import log
log.configure({style!r}, {level!r})
log.bad_token("click")
log.listening("tracker", "http://127.0.0.1:8080")
log.hits_in_trouble(1, 0, 0, "")
logging.getLogger("some.library").info("joe@people.example")
logging.getLogger("some.library").warning("something is wrong")
"""


def lines(style: str, level: str) -> list[str]:
    """What a program with that log says: on standard error only."""
    program = PROGRAM.format(style=style, level=level)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["bad-token", "listening", "hits-late-or-lost"]),
        ("info", ["listening", "hits-late-or-lost"]),
        ("warning", ["hits-late-or-lost"]),
        ("error", []),
    ],
)
def test_lines_are_json_from_the_level_up_and_libraries_are_heard_when_something_is_wrong(
    level: str, events: list[str]
) -> None:
    *ours, library = lines("json", level)
    said = [json.loads(line) for line in ours]
    assert [one["event"] for one in said] == events
    assert all({"level", "timestamp"} <= set(one) for one in said)
    assert library == "some.library WARNING something is wrong"


def test_readable_lines_have_no_colours_where_there_is_no_terminal() -> None:
    *ours, _ = lines("readable", "info")
    assert len(ours) == 2
    assert "listening" in ours[0]
    assert "\x1b" not in "".join(ours)


def test_each_word_of_the_log_is_one_event() -> None:
    words = [one for name, one in inspect.getmembers(log, inspect.isfunction) if name != "configure"]
    with capture_logs() as said:
        for word in words:
            given = inspect.signature(word).parameters.values()
            by_name = {one.name: 1 for one in given if one.kind is one.KEYWORD_ONLY}
            word(*[1] * (len(given) - len(by_name)), **by_name)
    assert len(said) == len(words) == len({one["event"] for one in said})
