"""The overview in Chromium: news appears by itself where script runs, and a table and a link are there where none does.

One browser for all of it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from support.lives import hit
from support.tracking import JOE, configuration, opened, to_joe

from tracker.admin.app import AdminFace
from tracker.domain import Domain

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
HOSTILE = "<script>document.title='taken'</script>\u202egnp" + "x" * 500

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
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def url(domain: Domain) -> AsyncIterator[str]:
    face = AdminFace(domain)
    yield str(await face.start())
    await face.stop()


async def test_the_overview_lives_with_script_and_tells_without(domain: Domain, url: str) -> None:
    copy = await to_joe(domain, subject=HOSTILE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        await _with_script(browser, url, domain, copy)
        await _without_script(browser, url)
        await _by_keyboard_on_a_phone(browser, url)
        await browser.close()


async def _with_script(browser: Browser, url: str, domain: Domain, copy: object) -> None:
    page = await (await browser.new_context()).new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    await page.goto(url)
    rows = page.locator("[data-live] tbody tr")
    await expect(rows).to_have_count(1)
    await expect(page.locator("[data-live][data-state=open]")).to_have_count(1)
    await hit(domain, copy, datetime.now(UTC))  # type: ignore[arg-type]
    await expect(rows).to_have_count(2, timeout=20_000)
    await expect(rows.first).to_contain_text(f"Opened{JOE}<script>", use_inner_text=False)
    await page.get_by_role("button", name="Pause").click()
    await hit(domain, copy, datetime.now(UTC), link=1)  # type: ignore[arg-type]
    go_on = page.get_by_role("button", name="Go on (1)")
    await expect(go_on).to_be_visible(timeout=20_000)
    await expect(rows).to_have_count(2)
    await go_on.click()
    await expect(rows).to_have_count(3)
    assert await page.title() == "Overview · Candor"
    assert wrong == []  # nothing that the policy had to stop
    await page.context.close()


async def _without_script(browser: Browser, url: str) -> None:
    page = await (await browser.new_context(java_script_enabled=False)).new_page()
    await page.goto(url)
    assert await page.locator("[data-live] tbody tr").count() == 3
    await page.get_by_role("link", name="Look again").click()
    assert page.url.endswith("#live")
    assert await page.locator("[data-live] tbody tr").count() == 3
    await _explains(page)
    await page.context.close()


async def _explains(page: Page) -> None:
    """What a number means is one tap away, also without script."""
    about = page.locator("details.about").first
    await about.locator("summary").click()
    assert await about.locator("span").is_visible()


async def _by_keyboard_on_a_phone(browser: Browser, url: str) -> None:
    """The menu opens and closes without script."""
    phone = {"width": 390, "height": 844}
    page = await (await browser.new_context(java_script_enabled=False, viewport=phone)).new_page()  # type: ignore[arg-type]
    await page.goto(url)
    menu = page.get_by_role("navigation", name="Pages")
    assert not await menu.is_visible()
    for _ in range(3):  # past the link to the content and the house
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    assert await menu.get_by_role("link", name="Messages").is_visible()
    await page.keyboard.press("Escape")
    assert not await menu.is_visible()
    await page.context.close()
