"""A shop's pages in Chromium with our script in them: from the link in the mail to the conversion on record."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, async_playwright
from support.sites import until
from support.tracking import PERSON, Copy, configuration, dump, opened, to_joe
from support.web import Client, serving

from tracker.config import GoalTable, TrackingTable
from tracker.domain import Domain

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium on this machine (apt-get install chromium)"
    ),
]


@pytest.fixture
def store_kind() -> str:
    return "sqlite"


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        browser: Browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield await browser.new_context(user_agent=PERSON)
        await browser.close()


@asynccontextmanager
async def shop(script: str) -> AsyncIterator[str]:
    """A shop: it has a landing page, and a page that says thank you and tells of an order worth 12.50 EUR."""
    tag = f'<script src="{script}"'
    order = 'data-goal="order" data-order="1001" data-value="12.50" data-currency="EUR"'
    pages = {"/": f"{tag}></script>", "/thanks": f"{tag} {order}></script>"}

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html>{pages[request.path]}", content_type="text/html")

    app = web.Application()
    for path in pages:
        app.router.add_get(path, page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://localhost:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def mailed(
    store_url: str, folder: Path, tracking: TrackingTable
) -> AsyncIterator[tuple[Domain, Client, str, Copy]]:
    """A shop with our script, and a mail of theirs to Joe."""
    config = configuration(store_url, folder, goal=(GoalTable(name="order"),), tracking=tracking)
    async with (
        opened(config) as domain,
        serving(domain) as (client, _),
        shop(f"{client.base}/v/candor.js") as url,
    ):
        yield domain, client, url, await to_joe(domain, urls=(f"{url}/", f"{url}/thanks"))


async def taken(domain: Domain) -> list[tuple[Any, ...]]:
    return (await dump(domain))["conversions"]


async def test_a_page_that_the_link_leads_to_tells_of_the_order(
    store_url: str, tmp_path: Path, context: BrowserContext
) -> None:
    async with mailed(store_url, tmp_path, TrackingTable()) as (domain, client, url, copy):
        page = await context.new_page()
        await page.goto(client.base + copy.link(2, url=f"{url}/thanks"))
        (row,) = await until(lambda: taken(domain), "the conversion is on record")
        assert (row[1], row[6], row[8], row[9]) == ("order", "", "EUR", 1250)
        assert await context.cookies() == []
        assert await page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


async def test_without_leave_nothing_is_kept_and_a_later_page_says_nothing(
    store_url: str, tmp_path: Path, context: BrowserContext
) -> None:
    async with mailed(store_url, tmp_path, TrackingTable()) as (domain, client, url, copy):
        page = await context.new_page()
        await page.goto(client.base + copy.link(1, url=f"{url}/"))
        cid = await page.evaluate("candor.clickId()")
        assert len(cid) == 54
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{url}/thanks")
        assert await page.evaluate("candor.clickId()") == ""
        assert await context.cookies() == []
        assert not [one for one in asked if "conversion.gif" in one]
        # What the shop kept itself, it may hand over.
        assert await page.evaluate(f"candor.convert({{goal: 'order', order: 'é&=#', clickId: '{cid}'}})")
        assert len(await until(lambda: taken(domain), "the conversion is on record")) == 1


async def test_with_leave_a_first_party_cookie_keeps_it_until_the_order(
    store_url: str, tmp_path: Path, context: BrowserContext
) -> None:
    table = TrackingTable(click_id_parameter="mc", first_party_cookie="1d")
    async with mailed(store_url, tmp_path, table) as (domain, client, url, copy):
        page = await context.new_page()
        await page.goto(client.base + copy.link(1, url=f"{url}/"))
        (cookie,) = await context.cookies()
        assert (cookie["name"], cookie["domain"], cookie["sameSite"]) == ("candor_mc", "localhost", "Lax")
        await page.goto(f"{url}/thanks")
        assert len(await until(lambda: taken(domain), "the conversion is on record")) == 1
