"""The frame of every page: where one is, what the words mean, and times of the operator's zone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
from support.tracking import UNTRACKED, Mail, configuration, opened, send
from support.web import Client

from tracker.admin.app import AdminFace
from tracker.admin.navigation import GROUPS, Entry
from tracker.config import AdminTable
from tracker.domain import Domain
from tracker.glossary import TERMS

LOCAL = {"Host": "localhost"}


@pytest.fixture
def store_kind() -> str:
    return "sqlite"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    admin = AdminTable(listen="127.0.0.1:0", time_zone="Asia/Kolkata")
    async with opened(configuration(store_url, tmp_path, admin=admin)) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    face = AdminFace(domain)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    yield Client((host, int(port)))
    await face.stop()


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("/campaigns", "page"),
        ("/campaigns/x", "true"),
        ("/campaign", "true"),
        ("/", ""),
        ("/contacts", ""),
        ("/c", ""),
    ],
)
def test_the_menu_says_where_one_is(path: str, state: str) -> None:
    assert Entry(href="/campaigns", title="Campaigns", covers=("/campaign",)).state(path) == state


async def test_every_page_of_the_menu_is_there_and_marked(client: Client) -> None:
    for entry in (entry for group in GROUPS for entry in group.entries):
        answer = await client.ask(entry.href, headers=LOCAL)
        assert answer.status == 200, entry.href
        assert re.findall(r'href="([^"]*)" aria-current="page"', answer.text) == [entry.href]
        assert answer.text.count("<h1") == 1, entry.href
        assert 'href="#main"' in answer.text


async def test_the_glossary_has_every_term(client: Client) -> None:
    text = unescape((await client.ask("/glossary", headers=LOCAL)).text)
    for term in TERMS.values():
        assert f'id="{term.key}"' in text
        assert term.words in text


async def test_times_are_the_operators_and_exact_for_programs(client: Client, domain: Domain) -> None:
    at = datetime(2026, 3, 1, 20, 0, 5, tzinfo=UTC)
    await send(domain, Mail(to={"a@x.example": UNTRACKED}, received_at=at))
    text = (await client.ask("/messages", headers=LOCAL)).text
    assert '<time datetime="2026-03-01T20:00:05.000Z">2026-03-02 01:30:05</time>' in text
    assert "Times are those of Asia/Kolkata" in text


async def test_a_number_has_its_definition_beside_it(client: Client, domain: Domain) -> None:
    copies = await send(domain, Mail(to={"a@x.example": UNTRACKED}))
    text = unescape(
        (await client.ask(f"/messages/{copies['a@x.example'].message.hex()}", headers=LOCAL)).text
    )
    assert "What Delivered means" in text
    assert text.count(TERMS["delivered"].words) >= 2  # to hover over, and to open
