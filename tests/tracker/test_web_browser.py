"""The page as people meet it: in Chromium, by keyboard, on a phone, in the dark, without script."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright
from support.outages import away
from support.tracking import IDENTIFIED, Copy, Mail, configuration, erase, opened, send
from support.web import Client, serving

from tracker.config import PreferencesTable
from tracker.domain import Domain
from tracker.words import LANGUAGES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)
JOE = "joe.with-a-rather-long-name@a-rather-long-department.people.example"
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 800}}

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
    page = PreferencesTable(sender_name="The Shop", contact="privacy@shop.example", data_requests="queue")
    async with opened(configuration(store_url, tmp_path, preferences=page)) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    async with serving(domain) as (client, _):
        yield client


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        await browser.close()


async def to_joe(domain: Domain, address: str = JOE) -> Copy:
    sender = f"{'x' * 64}@newsletter.a-rather-long-shop-name.example"
    return (await send(domain, Mail(to={address: IDENTIFIED}, sender=sender)))[address]


async def visit(browser: Browser, url: str, **how: Any) -> Page:
    page = await (await browser.new_context(**how)).new_page()
    await page.goto(url)
    return page


async def held(domain: Domain) -> str:
    return str((await domain.contacts.ask((JOE,)))[JOE].consent)


async def test_a_choice_is_made_by_keyboard_alone_and_without_script(
    domain: Domain, client: Client, browser: Browser
) -> None:
    copy = await to_joe(domain)
    page = await visit(browser, client.base + copy.page, java_script_enabled=False)
    await page.keyboard.press("Tab")  # to the first answer
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")  # to the last
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("[role=status]")
    assert await held(domain) == "denied"
    assert await page.is_checked("input[value=decline]")
    assert "not measured" in await page.inner_text("main")


async def test_nothing_is_sent_before_an_answer_is_chosen(
    domain: Domain, client: Client, browser: Browser
) -> None:
    page = await visit(browser, client.base + (await to_joe(domain)).page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    await page.click("button")
    await page.wait_for_timeout(100)
    assert asked == []
    assert await held(domain) == "unknown"


async def test_the_page_speaks_to_those_who_hear_it(domain: Domain, client: Client, browser: Browser) -> None:
    page = await visit(browser, client.base + (await to_joe(domain)).page)
    assert await page.get_attribute("html", "lang") == "en"
    assert await page.title()
    assert await page.locator("h1").count() == 1
    heads = await page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => Number(one.tagName[1]))")
    assert heads == sorted(heads)
    assert await page.get_by_role("group", name="What do you want?").count() == 1
    names = await page.eval_on_selector_all(
        "[type=radio]", "all => all.map(one => one.labels[0].innerText.trim())"
    )
    assert len(set(names)) == 3
    assert all(names)
    for name in names:
        assert await page.get_by_role("radio", name=name).count() == 1
    await page.get_by_role("radio", name=re.compile("never by name")).check()
    await page.get_by_role("button", name="Save my choice").click()
    assert (await page.get_by_role("status").inner_text()).startswith("Saved.")


_CONTRASTS = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b }
  const ground = one => { for (; one; one = one.parentElement) {
    const c = getComputedStyle(one).backgroundColor; if (!c.endsWith(', 0)')) return c } return 'rgb(255, 255, 255)' }
  const words = [...document.querySelectorAll('main *')]
    .filter(one => [...one.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  return words.map(one => { const a = light(getComputedStyle(one).color), b = light(ground(one))
    return [one.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)] })
}"""


STATES = (
    *("untold", "allowed", "anonymous", "refused", "export asked for", "erasure asked for"),
    *("not saved", "cut", "of nobody", "erased"),
)


async def test_every_state_of_the_page_can_be_read_on_any_screen(
    domain: Domain, client: Client, browser: Browser, tmp_path: Path
) -> None:
    seen: dict[str, list[str]] = {}
    for (size, scheme), language in zip(product(SIZES, ("light", "dark")), LANGUAGES, strict=True):
        copy = await to_joe(domain, f"{size}.{scheme}.{JOE}")
        screen = {"viewport": SIZES[size], "color_scheme": scheme, "locale": language}
        page = await visit(browser, client.base + copy.page, **screen)
        for state in STATES:
            await reach(page, state, domain, client, copy)
            where = f"{size}-{scheme}-{language}-{state.replace(' ', '-')}"
            seen[where] = await wrong_with(page, language)
            if state in ("untold", "cut"):
                seen[where] += await unmarked(page)
            if seen[where]:
                await page.screenshot(path=tmp_path / f"{where}.png", full_page=True)
    assert [f"{where}: {one}" for where, wrong in seen.items() for one in wrong] == []
    assert len(seen) == 4 * len(STATES)


async def wrong_with(page: Page, language: str) -> list[str]:
    """What somebody could not read, reach or press."""
    wrong = []
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        wrong.append("wider than the screen")
    contrasts = await page.evaluate(_CONTRASTS)
    wrong += [f"contrast {one}" for one in contrasts if one[1] < 4.5]  # WCAG 2.2, 1.4.3
    if len(contrasts) < 2:
        wrong.append("nothing to read")
    small = "all => all.map(one => one.getBoundingClientRect().height).filter(high => high < 44)"
    wrong += [
        f"{high} high" for high in await page.eval_on_selector_all("label, button, nav a", small)
    ]  # WCAG 2.2, 2.5.5
    if await page.get_attribute("html", "lang") != language or not await page.title():
        wrong.append("no language or no title")
    if await page.locator("nav [aria-current]").count() != 1:
        wrong.append("no switch of languages")
    return wrong


async def unmarked(page: Page) -> list[str]:
    """What the tabulator key reaches without anybody seeing it."""
    found, reached = [], 0
    while True:
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(
            "(one => [one.outerHTML.slice(0, 60), getComputedStyle(one).outline])(document.activeElement)"
        )
        if name.startswith("<body"):
            return found if reached > 2 else [*found, "hardly anything is reached"]
        reached += 1
        if "3px" not in outline:
            found.append(f"{name} shows no focus")


async def reach(page: Page, state: str, domain: Domain, client: Client, copy: Copy) -> None:
    choices = {"allowed": "allow", "anonymous": "anonymous", "refused": "decline"}
    if state in choices:
        await page.check(f"input[value={choices[state]}]")
        await page.click("button")
        await page.wait_for_selector(f"[role=status] ~ form input[value={choices[state]}][checked]")
    elif state == "export asked for":
        await page.click("button[value=export]")
        await page.wait_for_selector("[role=status]:has-text('@')")
    elif state == "erasure asked for":
        await page.check("input[name=sure]")
        await page.click("button[value=erase]")
        await page.wait_for_selector("[role=status]:not(:has-text('@'))")
    elif state == "not saved":
        with away(domain.database.writes):
            await page.check("input[value=decline]")
            await page.click("button")
            await page.wait_for_selector("main:not(:has(form))")
    elif state == "of nobody":
        await page.goto(client.base + "/p")
    elif state == "cut":
        await page.goto(client.base + copy.page[:-4])
    elif state == "erased":
        while domain.database.writes.tripped:
            await page.wait_for_timeout(50)
        await erase(domain, copy.recipient)
        await page.goto(client.base + copy.page)
