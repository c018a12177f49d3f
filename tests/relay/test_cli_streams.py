"""Commands whose output nobody reads to the end, whose disk is full, or whose standard streams are closed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.commands import COMMAND, ROOT

FULL = "candor: cannot write the output: No space left on device\n"


def shell(command: str, ending: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = f'"$@" {command} {ending}'
    call = ["bash", "-o", "pipefail", "-c", line, "bash", *COMMAND]
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=60, env=environ)


@pytest.mark.parametrize(
    ("command", "ending", "code", "said"),
    [
        ("rewrite rules", "> /dev/full", 1, FULL),
        (
            "suppression add ann@example.org",
            "> /dev/full",
            1,
            "candor: made a new store, candor-data/candor.db\n" + FULL,
        ),
        ("config show", ">&-", 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_one_sentence(
    command: str, ending: str, code: int, said: str, tmp_path: Path
) -> None:
    ended = shell(command, ending, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", said)


def test_who_stops_reading_has_what_they_wanted(tmp_path: Path) -> None:
    ended = shell("rewrite rules", "| head -1", tmp_path)
    assert (ended.stdout, ended.stderr) == ("What is wrapped\n", "")


def test_what_is_opened_next_does_not_take_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Else the store's own file could be written into by a print."""
    assert shell("contact set ann@example.org country=FR", "<&- >&- 2>&-", tmp_path).returncode == 0
    assert (tmp_path / "candor-data" / "candor.db").read_bytes().startswith(b"SQLite format 3\0")
    assert shell("queue stats", "", tmp_path).stdout == "the queue is empty\n"
