"""An operator at work on the queue, on a phone and without script: signs in, searches, holds, drops, takes a file.

One browser for all of it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright, expect
from support.operators import admin_table
from support.queued import desk_of, relay_configuration, states, wait
from support.tracking import opened, say

from tracker.admin.app import AdminFace
from tracker.domain import Domain

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
HOSTILE = "<script>document.title='taken'</script>\u202egnp" + "x" * 500
ANN, BOB = "ann@one.example", "bob@two.example"
PHONE: ViewportSize = {"width": 390, "height": 844}
PAGES = (
    "/queue",
    "/deliveries",
    "/bounces",
    "/suppressions",
    "/register",
    "/register/heads",
    "/health",
    "/audit",
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
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(relay_configuration(store_url, tmp_path, admin=admin_table())) as domain:
        yield domain


@pytest.fixture
async def url(domain: Domain) -> AsyncIterator[str]:
    face = AdminFace(domain, desk=desk_of(domain))
    yield str(await face.start())
    await face.stop()


async def test_an_operator_steers_the_queue_on_a_phone_without_script(domain: Domain, url: str) -> None:
    await wait(domain, ANN, subject=HOSTILE, answer=HOSTILE)
    await wait(domain, BOB, subject="Pears", sender="x" * 60 + "@" + "long-label." * 15 + "example")
    await say(domain, ANN, "granted", evidence={"note": HOSTILE})
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = await browser.new_context(viewport=PHONE, java_script_enabled=False, accept_downloads=True)
        page = await context.new_page()
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text))
        await _signs_in(page, url)
        await _holds(page, domain)
        await _drops(page, domain)
        await _takes_a_file(page, url)
        await _nothing_overflows(await _with_script(browser, context), url)
        assert wrong == []  # nothing that the policy had to stop
        await browser.close()


async def _signs_in(page: Page, url: str) -> None:
    await page.goto(f"{url}/queue")
    await page.get_by_label("Name").fill("operator")
    await page.get_by_label("Password").fill("secret")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()
    await expect(page.locator("tbody").first).to_contain_text("<script>")


async def _holds(page: Page, domain: Domain) -> None:
    await page.get_by_role("searchbox").fill("PEAR")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("1 recipient of 1 message.")).to_be_visible()
    await page.get_by_role("button", name="Hold…").click()
    await expect(page.get_by_role("heading", name="Hold: 1 recipient of 1 message?")).to_be_visible()
    assert await states(domain) == {ANN: "waiting", BOB: "waiting"}
    await page.get_by_role("button", name="Hold", exact=True).click()
    await expect(page.get_by_role("heading", name="1 recipient held")).to_be_visible()
    assert await states(domain) == {ANN: "waiting", BOB: "held"}


async def _drops(page: Page, domain: Domain) -> None:
    await page.get_by_role("link", name="The queue").click()
    await page.get_by_role("link", name="<script>").click()
    await page.get_by_role("link", name=f"drop: {ANN}").click()
    drop = page.get_by_role("button", name="Drop", exact=True)
    await drop.click()  # the form is not complete
    await expect(page.get_by_role("heading", name="Drop: 1 recipient of 1 message?")).to_be_visible()
    await page.get_by_label("Nobody").check()
    await drop.click()
    await expect(page.get_by_role("heading", name="1 recipient dropped")).to_be_visible()
    assert await states(domain) == {BOB: "held"}


async def _takes_a_file(page: Page, url: str) -> None:
    await page.goto(f"{url}/queue")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="All as CSV").click()
    path = await (await download.value).path()
    assert BOB in Path(path).read_text("utf-8")


async def _with_script(browser: Browser, before: BrowserContext) -> Page:
    """A page of the same session in a browser that runs script."""
    state = await before.storage_state()
    context = await browser.new_context(viewport=PHONE, color_scheme="dark", storage_state=state)
    return await context.new_page()


async def _nothing_overflows(page: Page, url: str) -> None:
    for path in PAGES:
        await page.goto(f"{url}{path}")
        wider = await page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not wider, path
        assert "taken" not in await page.title()
