"""`candor conversion record` and `candor report conversions`, as people and programs read them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import Installation
from support.lives import hit
from support.tracking import IDENTIFIED, JOE, Copy, say, to_joe

from tracker.clickid import click_id
from tracker.domain import Domain
from tracker.tokens import Kind, Token

NOW = datetime.now(UTC)
GOALS = (
    '[[goal]]\nname = "order"\n[[goal]]\nname = "signup"\nvalue = "5"\ncurrency = "EUR"\nmodel = "linear"\n'
)


@pytest.fixture
def installation(store_url: str, tmp_path: Path) -> Installation:
    made = Installation(tmp_path, store_url)
    made.config.write_text(GOALS + made.config.read_text())
    return made


def clicked(installation: Installation) -> Copy:
    async def work(domain: Domain) -> Copy:
        copy = await to_joe(domain)
        await hit(domain, copy, NOW - timedelta(hours=1), link=1)
        await say(domain, "no@people.example", "denied")
        return copy

    return installation.prepare(work)


def id_of(copy: Copy) -> str:
    token = Token(
        kind=Kind.CLICK,
        mode=IDENTIFIED.mode,
        subject=copy.delivery,
        sent_at=copy.sent_at,
        link=1,
        destination="http://x/",
    )
    return click_id(token, copy.domain.ring)


def test_a_conversion_is_told_once_and_reported(installation: Installation) -> None:
    cid = id_of(clicked(installation))
    told = (
        "conversion",
        "record",
        "order",
        "--click-id",
        cid,
        "--order",
        "7",
        "--value",
        "12.5",
        "--currency",
        "EUR",
    )
    assert installation.call(*told).out == "recorded\n"
    assert installation.call(*told).out == "on record already; nothing was counted\n"
    declined = installation.call("conversion", "record", "order", "--contact", "no@people.example", "--json")
    assert declined.json == {"recorded": True, "unattributed": "declined"}
    at = (NOW - timedelta(hours=2)).isoformat()
    early = installation.call("conversion", "record", "signup", "--contact", JOE, "--at", at)
    assert early.out == "recorded; no mail is named: no mail was opened or followed in the window\n"

    order, signup = installation.call("report", "conversions", "--json").json
    assert (order["goal"], order["model"], order["window_days"]) == ("order", "last-click", [30])
    assert (order["conversions"], order["attributed"], order["values"]) == (2, 1, {"EUR": "12.50"})
    assert order["unattributed_by_choice"] == {"n": 1, "rate": 0.5}
    (row,) = order["rows"]
    assert (row["title"], row["conversions"], row["value"], row["currency"]) == (
        "apples",
        1.0,
        "12.50",
        "EUR",
    )
    assert (signup["model"], signup["unattributed"], signup["values"]) == (
        "linear",
        {"no-touch": 1},
        {"EUR": "5.00"},
    )

    said = installation.call("report", "conversions", "--goal", "order", "--by", "link").out
    for part in (
        "model last-click, window 30 days",
        "2 conversions, worth 12.50 EUR; 1 earned by mail; 1 (50.0%) could not be attributed because people chose so",
        "https://shop.example/apples",
        "the person declined to be measured",
    ):
        assert part in said

    rows = list(csv.DictReader(io.StringIO(installation.call("report", "conversions", "--csv").out)))
    assert [(row["goal"], row["title"], row["conversions"], row["value"]) for row in rows] == [
        ("order", "apples", "1.0", "12.50"),
        ("order", "(nobody: declined)", "1", ""),
        ("signup", "(nobody: no-touch)", "1", ""),
    ]


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_days_and_models_are_chosen(installation: Installation) -> None:
    clicked(installation)
    installation.call("conversion", "record", "order", "--contact", JOE)
    day, before = f"{NOW:%Y-%m-%d}", f"{NOW - timedelta(days=1):%Y-%m-%d}"
    report = ("report", "conversions", "--goal", "order", "--json")
    (found,) = installation.call(*report, "--from", day, "--to", day, "--model", "position").json
    assert (found["model"], found["conversions"], found["from"]) == ("position", 1, day)
    (found,) = installation.call(*report, "--to", before).json
    assert found["conversions"] == 0


WRONG = [
    (("conversion", "record", "sale", "--contact", JOE), "order, signup"),
    (("conversion", "record", "order"), "either a click id or a contact"),
    (("conversion", "record", "order", "--click-id", "x"), "click id"),
    (("conversion", "record", "order", "--contact", "joe"), "joe"),
    (("conversion", "record", "order", "--contact", JOE, "--value", "1"), "currency"),
    (("conversion", "record", "order", "--contact", JOE, "--at", "yesterday"), "--at"),
    (("report", "conversions", "--json", "--csv"), "one or the other"),
    (("report", "conversions", "--from", "2026-02-01", "--to", "2026-01-01"), "lies after"),
    (("report", "conversions", "--goal", "sale"), "order, signup"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda one: " ".join(one[2:])[:40])
@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_wrong_call_says_what_is_allowed(
    arguments: tuple[str, ...], words: str, installation: Installation
) -> None:
    result = installation.call(*arguments)
    assert result.code in (1, 2)
    assert words in result.err
    assert "Traceback" not in result.err
