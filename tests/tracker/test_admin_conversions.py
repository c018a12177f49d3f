"""The operator's page of conversions: how to begin, what each goal came to, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.lives import hit
from support.operators import words
from support.tracking import JOE, configuration, opened, say, to_joe
from support.web import Answer, Client

from tracker.admin.app import AdminFace
from tracker.config import GoalTable
from tracker.converting import Said, read_said, record_conversion
from tracker.domain import Domain

NOW = datetime.now(UTC)
GOALS = (GoalTable(name="order"), GoalTable(name="signup"))


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path, goal=GOALS)) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    face = AdminFace(domain)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    yield Client((host, int(port)))
    await face.stop()


async def page(client: Client, path: str) -> Answer:
    answer = await client.ask(path, headers={"Host": "localhost"})
    assert answer.status == 200
    return answer


async def lived(domain: Domain) -> None:
    copy = await to_joe(domain, subject="Apples & <b>pears</b>")
    await hit(domain, copy, NOW - timedelta(hours=1), link=1)
    await say(domain, "no@people.example", "denied")
    for contact, order in ((JOE, "1"), ("no@people.example", "2")):
        said = Said(goal="order", contact=contact, order=order, value="10.01", currency="EUR")
        await record_conversion(domain, read_said(domain, said, NOW), NOW)


async def test_with_goals_and_nothing_told_it_says_how_to_begin(client: Client) -> None:
    shown = words(await page(client, "/conversions"))
    assert "How to begin" in shown
    assert "candor conversion record order" in shown
    assert "Nobody has reached this goal" in shown
    assert "[[goal]]" not in shown


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_without_goals_it_says_how_to_name_one(store_url: str, tmp_path: Path) -> None:
    async with opened(configuration(store_url, tmp_path)) as domain:
        face = AdminFace(domain)
        host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
        shown = words(await page(Client((host, int(port))), "/conversions"))
        await face.stop()
    assert '[[goal]] name = "order"' in shown
    assert "Model" not in shown


async def test_each_goal_is_shown_with_model_window_and_who_declined(client: Client, domain: Domain) -> None:
    await lived(domain)
    shown = words(await page(client, "/conversions"))
    for part in (
        "Model last-click : The latest click earns it",
        "in the 30 days before",
        "Conversions 2 worth 20.02 EUR",
        "Earned by mail 1 of 2",
        "50.0% 1 of 2",
        "apples 1 10.01 EUR",
        "the person declined to be measured 1",
    ):
        assert part in shown
    assert "How to begin" not in shown
    by_message = await page(client, "/conversions?by=message&goal=order&model=linear")
    assert "Apples & <b>pears</b>" in words(by_message)
    assert "<b>pears" not in by_message.text
    assert "signup" not in words(by_message).split("Show", 1)[1]


async def test_all_rows_are_had_as_csv(client: Client, domain: Domain) -> None:
    await lived(domain)
    answer = await page(client, "/conversions?format=csv&by=link")
    assert answer.header("Content-Disposition") == b'attachment; filename="conversions.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["model"], row["window_days"], row["conversions"], row["value"]) for row in rows] == [
        ("last-click", "30", "1.0", "10.01"),
        ("last-click", "30", "1", ""),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "goal=nobody&model=x&by=y&from=z&to=0",
        "from=2026-99-99&to=9999-12-31",
        "from=2026-05-02&to=2026-05-01",
        "from=%D9%A2%D9%A0%D9%A2%D9%A6-05-01&goal=%FF",
        "by=&by=message&from=0001-01-01",
        "to=2999-12-31",
    ],
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_is_not_understood_is_left_out(query: str, client: Client) -> None:
    assert "order" in words(await page(client, f"/conversions?{query}"))
