"""A kept message in Chromium: even one that nobody cleaned runs nothing, loads nothing and leads nowhere."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect
from support.tracking import Copy, configuration, opened, to_joe

from tracker.admin.app import AdminFace
from tracker.domain import Domain

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
HOSTILE = """<base href="ELSEWHERE/"><link rel="stylesheet" href="ELSEWHERE/style.css">
<style>@import url(ELSEWHERE/more.css); p { background: url(ELSEWHERE/back.png) }</style>
<script>top.document.title = document.title = "taken"; fetch("ELSEWHERE/tell")</script>
<img src="ELSEWHERE/spy.gif" onerror="top.document.title = 'taken'"><iframe src="ELSEWHERE/frame"></iframe>
<form action="ELSEWHERE/form"><button id="send">send</button></form>
<p><a id="away" href="ELSEWHERE/away">away</a> <a id="top" target="_top" href="ELSEWHERE/top">top</a> Apples</p>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="there is no Chromium on this machine (apt-get install chromium)"
    ),
]


class Uncleaned:
    """Previews as if nobody had taken anything out."""

    def __init__(self, elsewhere: str) -> None:
        self._html = HOSTILE.replace("ELSEWHERE", elsewhere)

    async def has(self, message: bytes) -> bool:
        return True

    async def html(self, message: bytes, badges: Mapping[int, tuple[str, str]]) -> str | None:
        return self._html


@pytest.fixture
def store_kind() -> str:
    return "sqlite"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def copy(domain: Domain) -> Copy:
    return await to_joe(domain)


class Elsewhere:
    """A site that nothing may be asked of; `asked` is what was all the same."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    site = Elsewhere()
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0)
    site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield site
    server.close()
    await server.wait_closed()


@pytest.fixture
async def url(domain: Domain, elsewhere: Elsewhere) -> AsyncIterator[str]:
    face = AdminFace(domain, previews=Uncleaned(elsewhere.url))
    yield str(await face.start())
    await face.stop()


async def test_what_a_message_holds_stays_behind_the_wall(copy: Copy, url: str, elsewhere: Elsewhere) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await (await browser.new_context()).new_page()
        message = f"{url}/messages/{copy.message.hex()}"
        await page.goto(f"{message}/links")
        frame = page.frame_locator("iframe.preview")
        await expect(frame.locator("p")).to_contain_text("Apples")
        for link in ("#send", "#top", "#away"):  # the last takes the frame's content away
            await frame.locator(link).click(no_wait_after=True, timeout=5_000)
        await expect(page.locator("h1")).to_have_text("Click map")
        assert page.url == f"{message}/links"
        assert await page.title() == "Click map: Apples are here · Candor"
        await page.goto(f"{message}/preview")
        await expect(page.locator("p")).to_contain_text("Apples")
        assert await page.title() != "taken"
        assert elsewhere.asked == []
        await page.goto(f"{elsewhere.url}/asked")
        assert elsewhere.asked[0].startswith(b"GET /asked"), "it would have been seen"
        await browser.close()
