"""A tracked copy looks like its original, pixel for pixel, on a phone and on a desktop, in Chromium.

Loopback is the only network there is: the tracker that serves the copy's pixel runs here, and every other address that
stands in a mail is refused before it is looked up.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP, default
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright
from support.mail import corpus, crlf, message

from relay.capture import captured
from relay.cli import demo
from relay.rewrite import compile_message

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)
WIDTHS = {"phone": 390, "desktop": 1280}
REAL_MAILS = 6

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium on this machine (apt-get install chromium)"
    ),
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        await browser.close()


class Screen:
    """A mail program's window that reaches one tracker and nothing else."""

    def __init__(self, page: Page, tracker: str) -> None:
        self._page, self._tracker = page, tracker
        self._html = ""
        self.pixels: list[int] = []
        """Statuses of the pixels that were loaded."""

    @classmethod
    async def open(cls, browser: Browser, width: int, tracker: str) -> Screen:
        context = await browser.new_context(
            viewport={"width": width, "height": 600}, java_script_enabled=False
        )
        screen = cls(await context.new_page(), tracker)
        await context.route("**/*", screen._answer)
        return screen

    async def _answer(self, route: Route) -> None:
        place = urlsplit(route.request.url)
        if place.netloc == self._tracker and place.path == "/mail":
            await route.fulfill(body=self._html, content_type="text/html; charset=utf-8")
        elif place.netloc != self._tracker or not place.path.startswith("/o/"):
            await route.abort()  # relative addresses of real mail too
        else:
            response = await route.fetch()
            self.pixels.append(response.status)
            await route.fulfill(response=response)

    async def show(self, html: str, *, height: int = 0) -> tuple[bytes, int]:
        """What the mail looks like down to `height`, or to its own end, and its height in pixels."""
        self._html = html
        await self._page.goto(f"http://{self._tracker}/mail", wait_until="load")
        box = await self._page.locator("html").bounding_box()
        own = max(600, round(box["height"] + box["y"]) if box else 0)
        size = self._page.viewport_size or {"width": 0}
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or own}
        return await self._page.screenshot(full_page=True, clip=clip), own  # type: ignore[arg-type]


async def assert_same(screen: Screen, original: str, copy: str, where: str) -> None:
    seen, height = await screen.show(original)
    assert screen.pixels == [], where
    seen_copy, height_of_copy = await screen.show(copy, height=height)
    assert screen.pixels == [200], where
    screen.pixels.clear()
    assert seen_copy == seen, where
    # the pixel is a block of its own: a line of background below everything else, and where the last block's margin
    # met the body's of eight pixels, the two no longer collapse (CSS 2.2, 8.3.1)
    assert 0 <= height_of_copy - height <= 9, where


def html_of(data: bytes) -> str:
    body = BytesParser(policy=default).parsebytes(data).get_body(("html",))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())


async def test_the_demo_s_mail_as_captured_looks_as_it_was_sent(browser: Browser, tmp_path: Path) -> None:
    config = demo._config(tmp_path)
    async with demo._running(config) as domain:
        await demo._tell(domain)
        await demo._send(config)
        copies = dict(captured(tmp_path / "captured"))
        tracked = html_of(copies["grace@people.example"])
        untracked = html_of(copies["dennis@people.example"])
        assert len(demo._LINK.findall(tracked)) == 2
        original = html_of(demo._mail().as_bytes(policy=SMTP))
        assert demo._LINK.findall(untracked) == []
        for name, width in WIDTHS.items():
            screen = await Screen.open(browser, width, config.tracker.listen)
            await assert_same(screen, original, tracked, name)
            assert await screen.show(untracked) == await screen.show(original)


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("html"), reason="no corpus of real mail beside the project")
async def test_real_mail_looks_as_it_did(browser: Browser, tmp_path: Path) -> None:
    found = [pair for file in corpus("html") if (pair := rendered(file)) is not None]
    pairs = found[:: max(1, len(found) // REAL_MAILS)]
    assert len(pairs) >= REAL_MAILS
    config = demo._config(tmp_path)
    async with demo._running(config):
        for name, width in WIDTHS.items():
            screen = await Screen.open(browser, width, config.tracker.listen)
            for file, original, copy in pairs:
                ours = copy.replace("t.candor.example", config.tracker.listen)
                await assert_same(screen, original, ours, f"{file}, {name}")


def rendered(file: Path) -> tuple[str, str, str] | None:
    """A real mail's HTML before and after; None where it has no links."""
    data = message(crlf(file.read_bytes()), encoding="base64")
    plan = compile_message(data)
    if len(plan.links) < 2:
        return None
    copy = plan.render(
        link_url=lambda link: f"http://t.candor.example/c/{'x' * 60}{link.number}",
        pixel_url=f"http://t.candor.example/o/{'x' * 60}",
    )
    assert len(re.findall("/c/xxx", html_of(copy))) >= 2
    return file.name, html_of(data), html_of(copy)
