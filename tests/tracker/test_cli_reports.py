"""`candor report`: its options are the same everywhere, and what they cannot mean is said."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import Installation
from support.lives import hit
from support.tracking import IDENTIFIED, Mail, send

from tracker.cli.sparkline import sparkline
from tracker.domain import Domain

NOW = datetime.now(UTC)
EVIL = "\x1b]0;taken\x07\u202ex"


@pytest.fixture
def store_kind() -> str:
    return "sqlite"


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


async def mail(domain: Domain) -> str:
    """Of today and of ten days ago; the latter was opened and clicked. Gives its id."""
    await send(domain, Mail(to={"new@x.example": IDENTIFIED}, campaign="new"))
    past = NOW - timedelta(days=10)
    copies = await send(
        domain, Mail(to={"old@x.example": IDENTIFIED}, campaign="old", subject=EVIL, received_at=past)
    )
    await hit(domain, copies["old@x.example"], past + timedelta(hours=2))
    await hit(domain, copies["old@x.example"], past + timedelta(hours=3), link=2)
    return copies["old@x.example"].message.hex()


def day(back: int) -> str:
    return (NOW - timedelta(days=back)).date().isoformat()


PERIODS = (
    (("--days", "3"), 1),
    (("--days", "30"), 2),
    ((), 2),
    (("--from", day(12), "--to", day(8)), 1),
    (("--to", day(8)), 1),
    (("--from", day(40), "--to", day(20)), 0),
)


def test_periods_are_whole_days(candor: Installation) -> None:
    candor.prepare(mail)
    for options, number in PERIODS:
        overview = candor.call("report", "overview", *options, "--json").json
        assert overview["now"]["messages"] == number, options
        domains = candor.call("report", "domains", *options, "--json").json
        assert sum(sum(one["deliveries"].values()) for one in domains) == number, options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("links", "--days", "3", "--from", "2026-05-01"), "one or the other"),
        (("overview", "--from", "2026-05-02", "--to", "2026-05-01"), "lies after"),
        (("conversions", "--from", "2999-05-02"), "lies after"),
        (("overview", "--csv", "--json"), "one or the other"),
        (("domains", "--from", "yesterday"), "does not match the format"),
        (("leads", "--segment", "nobody"), "nobody"),
    ],
)
def test_what_cannot_be_meant_is_said(options: tuple[str, ...], said: str, candor: Installation) -> None:
    done = candor.call("report", *options)
    assert done.code != 0
    assert said in done.err
    assert "Traceback" not in done.err


def test_people_see_blocks_tables_and_no_trick_of_a_subject(candor: Installation) -> None:
    message = candor.prepare(mail)
    for command in (("overview",), ("message", message), ("campaign", "old"), ("links",), ("campaign",)):
        shown = candor.call("report", *command)
        assert shown.code == 0
        assert "\x1b" not in shown.out
        assert "\u202e" not in shown.out
    shown = candor.call("report", "message", message).out
    assert "delivered █" in shown
    assert "first open" in shown
    assert "2h 0m" in shown or "2h" in shown
    assert "100.0%" in candor.call("report", "overview").out
    rows = list(csv.DictReader(io.StringIO(candor.call("report", "message", message, "--csv").out)))
    assert {"link 2: clicks", "opened", "click-to-open"} <= {row["figure"] for row in rows}
    (listed,) = candor.call("report", "campaign", "--search", "OL", "--json").json
    assert listed["name"] == "old"


def test_nothing_yet_is_said_in_words(candor: Installation) -> None:
    for command in ("overview", "links", "campaign"):
        shown = candor.call("report", command)
        assert shown.code == 0
        assert shown.out


@given(st.lists(st.integers(0, 10**9), max_size=500))
def test_blocks_show_each_number_against_the_highest(values: list[int]) -> None:
    line = sparkline(values)
    assert len(line) <= 72
    if len(values) <= 72:
        assert len(line) == len(values)
        for value, block in zip(values, line, strict=True):
            assert (block == "·") is (value == 0)
            assert block != "█" or value * 8 > max(values) * 7
        if any(values):
            assert line[values.index(max(values))] == "█"
