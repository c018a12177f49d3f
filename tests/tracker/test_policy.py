"""What the `[consent]` table comes to."""

from __future__ import annotations

import pytest

from tracker.consent import Mode
from tracker.policy import Policy, Unknown


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("track", Mode.IDENTIFIED),
        ("anonymous", Mode.ANONYMOUS),
        ("aggregate", Mode.AGGREGATE),
        ("hygiene", Mode.HYGIENE),
        ("deny", Mode.UNTRACKED),
    ],
)
def test_each_word_for_unknown_leads_to_its_mode(word: str, mode: Mode) -> None:
    reading = Policy(unknown=Unknown(word)).reading()
    assert reading.unknown is mode
    assert word in reading.source


def test_every_word_is_in_the_table_above() -> None:
    assert {word.value for word in Unknown} == {"track", "anonymous", "aggregate", "hygiene", "deny"}


@pytest.mark.parametrize("unset", [True, False])
def test_an_unset_do_not_track_is_read_as_the_policy_says(unset: bool) -> None:
    assert Policy(do_not_track_unset=unset).reading().do_not_track_unset is unset


def test_nothing_said_means_tracked_as_in_the_defaults() -> None:
    assert Policy().reading().unknown is Mode.IDENTIFIED
    assert Policy().reading().do_not_track_unset is False
