"""A short run of `make fuzz` with a seed that never changes, and the machinery that makes findings small."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import examination
from fuzz.examination import RULES, Finding, examine, minimised
from fuzz.run import Run, invent
from fuzz.seeds import hand_made, seeds

from relay.rewrite import Rules

SEED, INPUTS = 20, 600


def test_what_mutations_begin_with_is_rewritten_as_it_should_be() -> None:
    assert [finding for data in seeds() for finding, _ in (examine(data, RULES[1]),) if finding] == []


@pytest.mark.parametrize("share", range(4))
def test_hostile_mail_of_every_kind_changes_in_links_and_pixel_only(share: int, tmp_path: Path) -> None:
    run, messages = Run(SEED, tmp_path), seeds()
    for number in range(share * INPUTS, (share + 1) * INPUTS):
        assert run.step(number, invent(SEED, number, messages)) is None, number
    assert run.inputs == INPUTS


def test_an_input_is_the_same_whenever_its_seed_is() -> None:
    messages = hand_made()
    assert [invent(1, n, messages) for n in range(50)] == [invent(1, n, messages) for n in range(50)]
    assert len({invent(1, n, messages) for n in range(50)}) > 40


def test_a_finding_is_made_small_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = examination.examine

    def suspicious(data: bytes, rules: Rules) -> tuple[Finding | None, examination.Cost]:
        return (Finding("a word", "") if b"grass" in data else None), real(data, rules)[1]

    monkeypatch.setattr("fuzz.run.examine", suspicious)
    run = Run(1, tmp_path)
    run.step(0, b"the green grass of home")
    assert [path.read_bytes() for path in run.findings.values()] == [b"grass"]


def test_minimising_keeps_what_is_wrong() -> None:
    assert minimised(b"abc" * 100 + b"x" + b"def" * 100, lambda data: b"x" in data) == b"x"
