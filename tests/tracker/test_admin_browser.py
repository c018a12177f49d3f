"""Every page of the operator in Chromium: by day and night, on a desk and on a phone, with a month of mail, with
nothing, and with what hostile senders write. And somebody at work on them.

One browser for all of it, and a store for each kind."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from sqlalchemy import Column, Connection, select
from support.browsing import ARGUMENTS, CHROMIUM, PHONE, Tour, signed_in
from support.lives import hit
from support.operators import admin_table
from support.queued import desk_of, relay_configuration, states, wait
from support.tracking import IDENTIFIED, Mail, opened, say, send

from relay.config import Config
from relay.demonstration.arrangements import arranged
from relay.demonstration.seeding import seed
from relay.originals import Originals
from tracker.admin.app import AdminFace
from tracker.consent import Consent, Mode
from tracker.domain import Domain
from tracker.events import VerdictKind
from tracker.store.requests import RequestKind
from tracker.store.rollups_rebuild import rebuild
from tracker.store.schema import conversions, counts, deliveries, events

HOSTILE = "<script>window.taken=1</script>\u202egnp.\u2066" + "x" * 500
NAME = "<img src=x onerror=window.taken=1>\u202e" + "y" * 70
"""What names may be as long as."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium on this machine (apt-get install chromium)"
    ),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rich(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Domain]:
    """A month of mail, in SQLite."""
    folder = tmp_path_factory.mktemp("month")
    config = arranged(_configuration(folder))
    async with opened(config) as domain:
        await seed(domain, config, folder, now=datetime.now(UTC))
        yield domain


def _configuration(folder: Path) -> Config:
    return relay_configuration(
        f"sqlite:///{folder / 'candor.db'}", folder, admin=admin_table(previews_days=60)
    )


@asynccontextmanager
async def _served(domain: Domain) -> AsyncIterator[str]:
    config = domain.config
    assert isinstance(config, Config)
    face = AdminFace(domain, desk=desk_of(domain), previews=Originals(domain, config))
    url = str(await face.start())
    try:
        yield url
    finally:
        await face.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rich_url(rich: Domain) -> AsyncIterator[str]:
    async with _served(rich) as url:
        yield url


async def _is_sound(browser: Browser, url: str, *, least: int, dark: bool) -> None:
    async with signed_in(browser, url, "admin") as context:
        tour = Tour(page=await context.new_page(), url=url)
        await tour.walk(dark=dark)
    assert tour.faults == []
    assert len(tour.visited) >= least, sorted(tour.visited)


async def test_the_month_holds_all_there_is_to_show_and_adds_up(rich: Domain) -> None:
    proof = await rich.proof.verify()
    assert proof.broken is None
    assert proof.erased > 0
    assert (await rebuild(rich.database)).corrected == 0
    modes = await _values(rich, deliveries.c.mode)
    assert modes == {mode.value for mode in Mode}
    assert await _values(rich, events.c.verdict) == {kind.value for kind in VerdictKind}
    states = {"accepted", "bounced", "complained", "deferred", "returned", "skipped"}
    assert states <= await _values(rich, deliveries.c.status)
    assert {"EUR", "GBP"} <= await _values(rich, conversions.c.currency)
    assert {"declined", "do-not-track", ""} <= await _values(rich, conversions.c.reason)
    groups = await _values(rich, counts.c.grp)
    assert {"retail", "wholesale"} <= groups
    assert "Finance" not in groups  # four people, fewer than may be counted apart


async def _values(domain: Domain, column: Column[str]) -> set[str]:
    def read(connection: Connection) -> set[str]:
        return set(connection.execute(select(column).distinct()).scalars())

    return await domain.database.read(read, within=20.0)


async def test_every_page_of_a_month_is_sound(browser: Browser, rich_url: str) -> None:
    await _is_sound(browser, rich_url, least=36, dark=True)


async def test_every_page_is_sound_where_nothing_is(browser: Browser, tmp_path: Path) -> None:
    async with opened(_configuration(tmp_path)) as domain, _served(domain) as url:
        await _is_sound(browser, url, least=24, dark=False)


async def test_every_page_is_sound_whatever_mail_says(browser: Browser, tmp_path: Path) -> None:
    async with opened(_configuration(tmp_path)) as domain:
        await _hostile(domain)
        async with _served(domain) as url:
            await _is_sound(browser, url, least=32, dark=False)


async def _hostile(domain: Domain) -> None:
    """Whatever senders, recipients and forms can spell, where pages show it."""
    now = datetime.now(UTC)
    people = [
        f"{name}@{'long-label.' * 12}example" for name in ("ann", "bob", "y" * 64, "dora", "emil", "fay")
    ]
    for one in people:
        evidence = {"text": HOSTILE, "form": NAME}
        await say(domain, one, "granted", group=NAME, attributes={NAME: HOSTILE}, evidence=evidence)
    for variant in (NAME, "B"):
        mail = Mail(
            to=dict.fromkeys(people, IDENTIFIED),
            subject=HOSTILE,
            campaign=NAME,
            variant=variant,
            tags=(NAME,),
            groups=dict.fromkeys(people, NAME),
            urls=(f"https://shop.example/{'x' * 500}?<script>", "https://shop.example/"),
            text=HOSTILE,
        )
        for copy in (await send(domain, mail)).values():
            await hit(domain, copy, now - timedelta(minutes=30))
            await hit(domain, copy, now - timedelta(minutes=20), link=1)
    await wait(domain, people[0], subject=HOSTILE, answer=HOSTILE, campaign=NAME)
    await send(domain, Mail(to={people[1]: IDENTIFIED}, subject=HOSTILE, status="bounced", text=HOSTILE))
    await desk_of(domain).suppress("z@people.example", note=HOSTILE, now=now)
    await domain.requests.ask(people[0], RequestKind.EXPORT, now)


# --- somebody at work ---


async def test_an_operator_works_through_the_month(browser: Browser, rich: Domain, rich_url: str) -> None:
    async with signed_in(browser, rich_url, "operator", accept_downloads=True) as context:
        page = await context.new_page()
        await _finds_a_message(page, rich_url)
        await _compares(page, rich_url)
        await _takes_a_list(page, rich_url)
        await _takes_down_a_refusal(page, rich, rich_url)
        await page.set_viewport_size(PHONE)
        await _releases(page, rich, rich_url)


async def _finds_a_message(page: Page, url: str) -> None:
    await page.goto(f"{url}/messages")
    await page.get_by_role("searchbox").fill("blanket LIST")
    await page.keyboard.press("Enter")
    await page.locator("tbody").get_by_role("link", name="The blanket list").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("The blanket list")
    await expect(page.get_by_role("heading", name="Not measured by name, because")).to_be_visible()


async def _compares(page: Page, url: str) -> None:
    """Of one test the better version is known, of the other it is not."""
    await page.goto(f"{url}/campaigns?search=autumn")
    await page.get_by_role("link", name="autumn sale").first.click()
    await expect(page.get_by_role("main")).to_contain_text("behind")
    await page.goto(f"{url}/campaigns?search=early")
    await page.get_by_role("link", name="early booking").first.click()
    await expect(page.get_by_role("main")).to_contain_text("no difference shown")


async def _takes_a_list(page: Page, url: str) -> None:
    await page.goto(f"{url}/leads")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").first.click()
    path = await (await download.value).path()
    rows = list(csv.reader(Path(path).read_text("utf-8").splitlines()))
    assert len(rows) > 20
    assert all("@" in "".join(row) for row in rows[1:])


async def _takes_down_a_refusal(page: Page, domain: Domain, url: str) -> None:
    await page.goto(f"{url}/contacts?search=casella.example")
    link = page.locator("tbody").get_by_role("link").first
    address = (await link.inner_text()).strip()
    await link.click()
    await page.get_by_label("Consent").select_option("denied")
    await page.get_by_label("Where it can be looked up").fill("call 4711")
    await page.get_by_role("button", name="Take down").click()
    await expect(page.get_by_role("main")).to_contain_text("Taken down; it holds")
    held = (await domain.contacts.ask((address,)))[address]
    assert held.consent is Consent.DENIED


async def _releases(page: Page, domain: Domain, url: str) -> None:
    before = list((await states(domain)).values())
    await page.goto(f"{url}/queue?state=held")
    await page.get_by_role("button", name="Release…").click()
    await page.get_by_role("button", name="Release", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("released")
    assert before.count("held") == 3
    assert "held" not in (await states(domain)).values()
