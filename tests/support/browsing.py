"""The operator's pages in Chromium: every page that can be reached, in each of the looks that people have."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Error, Page, ViewportSize

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
ColorScheme = Literal["light", "dark"]
SCHEMES: Sequence[ColorScheme] = ("light", "dark")
_AXE = Axe()
_SERIOUS = ("serious", "critical")
_ID = re.compile(r"(?<=/)(?:[0-9a-f]{8,}|\d+)(?=/|$)")
_LINKS = "[...document.querySelectorAll('a[href]:not([download])')].map(link => link.href)"
_FEW_ROWS = (
    "document.querySelectorAll('tbody').forEach(body => [...body.rows].slice(6).forEach(row => row.remove()))"
)
"""The rows of a table are alike, and axe looks at every cell."""
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def kind_of(path: str) -> str:
    """What a page is, whatever it is about: `/messages/N/links`."""
    return _ID.sub("N", path.partition("?")[0].partition("#")[0])


@dataclass(slots=True)
class Tour:
    """A walk over all pages that can be reached from the first, one of each kind. `faults` are what is wrong with
    them, a line each; what mail says must not set `window.taken`."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    visited: dict[str, str] = field(default_factory=dict)
    """The page that stood for each kind."""
    _said: list[str] = field(default_factory=list)

    async def walk(self, *, dark: bool = True) -> None:
        """`dark`: looks at the colours of the night too."""
        self.page.on("console", lambda message: self._said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self._said.append(str(error)))
        to_come = ["/", "/contact", "/nowhere"]
        while to_come:
            path = to_come.pop(0)
            if kind_of(path) in self.visited or _is_no_page(path):
                continue
            self.visited[kind_of(path)] = path
            await self._look_at(path, SCHEMES if dark else SCHEMES[:1])
            links: list[str] = await self.page.evaluate(_LINKS)
            to_come += [link.removeprefix(self.url) for link in links if link.startswith(f"{self.url}/")]

    async def _look_at(self, path: str, schemes: Sequence[ColorScheme]) -> None:
        page = self.page
        await page.set_viewport_size(DESKTOP)
        await page.emulate_media(color_scheme="light")
        self._said.clear()
        try:
            answer = await page.goto(self.url + path)
        except Error as error:
            if "Download" in error.message:  # what is taken home as a file
                return
            raise
        assert answer is not None
        status = answer.status
        if status >= 500:
            self.faults.append(f"{path}: {status}")
        for size in (DESKTOP, PHONE):
            await page.set_viewport_size(size)
            wider = await page.evaluate(_WIDER)
            if wider > 0:
                self.faults.append(f"{path}: {wider} px wider than {size['width']}")
        self.faults += [f"{path}: {one}" for one in self._said if status < 400]
        await page.set_viewport_size(DESKTOP)
        await page.evaluate(_FEW_ROWS)
        for scheme in schemes:
            await page.emulate_media(color_scheme=scheme)
            rules = None if scheme == "light" else ["color-contrast"]
            self.faults += [f"{path} ({scheme}): {one}" for one in await self._audit(rules)]
        if await page.evaluate("'taken' in window"):
            self.faults.append(f"{path}: a script of a sender's ran")

    async def _audit(self, rules: Sequence[str] | None) -> list[str]:
        options: dict[str, object] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = {"type": "rule", "values": list(rules)}
        found = await _AXE.run(self.page, options=options)
        return [
            f"{one['id']}: {len(one['nodes'])} × {one['nodes'][0]['html'][:200]}"
            for one in found.response["violations"]
            if one["impact"] in _SERIOUS
        ]


def _is_no_page(path: str) -> bool:
    """What is shown within a page only."""
    return path.endswith("/preview")


@asynccontextmanager
async def signed_in(browser: Browser, url: str, name: str, **more: object) -> AsyncIterator[BrowserContext]:
    """A context of somebody who came in by the form."""
    context = await browser.new_context(viewport=DESKTOP, reduced_motion="reduce", **more)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(f"{url}/sign-in")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill("secret")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{url}/")
    await page.close()
    yield context
    await context.close()
