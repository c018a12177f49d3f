"""What a site asks for when somebody reached a goal there: the conversion pixel, and the script that loads it.

The pixel is the same whatever is asked; only what a click id of ours vouches for leaves anything behind. No cookie is
ever set from here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from tracker import log
from tracker.config import TrackingTable
from tracker.converting import Said, read_said, record_conversion
from tracker.domain import Domain
from tracker.errors import InvalidAddress, InvalidValue, TokenError
from tracker.rates import Buckets, Rate
from tracker.store.conversions import Told
from tracker.web.answers import PIXEL, PIXEL_HEADERS, PIXEL_TYPE

_SCRIPT = (Path(__file__).parent / "static" / "candor.js").read_text(encoding="utf-8")
_ANYWHERE = {"Cross-Origin-Resource-Policy": "cross-origin"}  # the site that asks is never ours
_SCRIPT_HEADERS = {
    **_ANYWHERE,
    "Cache-Control": "public, max-age=3600",
    "X-Content-Type-Options": "nosniff",
}
_KEYS = ("goal", "cid", "order", "value", "currency")
_OF_ONE_CLICK = Rate(amount=20, seconds=3600.0)
"""Conversions that one person may cause by pixel: whoever has a click id could make up orders."""


class ConversionPixel:
    """`GET /v/conversion.gif` and `GET /v/candor.js`. Wait for `close()` at the end."""

    def __init__(self, domain: Domain, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._domain = domain
        self._clock = clock
        self._buckets = Buckets()
        self._running: set[asyncio.Task[None]] = set()

    async def pixel(self, request: web.Request) -> web.Response:
        """`GET /v/conversion.gif?goal=…&cid=…&order=…&value=…&currency=…`: the pixel, whatever is asked."""
        if request.method == "GET":
            await self._take(request)
        return web.Response(body=PIXEL, content_type=PIXEL_TYPE, headers={**PIXEL_HEADERS, **_ANYWHERE})

    async def script(self, request: web.Request) -> web.Response:
        """`GET /v/candor.js`: with the parameter's name and the cookie's age from the configuration."""
        text = script(self._domain.config.tracking)
        return web.Response(
            text=text, content_type="text/javascript", charset="utf-8", headers=_SCRIPT_HEADERS
        )

    async def close(self, *_: object) -> None:
        """Waits for what was answered before it was kept."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _take(self, request: web.Request) -> None:
        """Takes it down, if it is one; waits no longer than a hit does."""
        now = self._clock()
        told = self._read(request, now)
        if told is None or told.delivery is None:
            return
        if not self._buckets.take(told.delivery.hex(), _OF_ONE_CLICK, now=time.monotonic()):
            return
        task = asyncio.create_task(self._record(told, now))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=self._domain.config.tracker.answer_within)

    def _read(self, request: web.Request, now: datetime) -> Told | None:
        """None for what is not exactly a conversion of ours."""
        said = _said(request)
        if said is None:
            return None
        try:
            return read_said(
                self._domain,
                Said(
                    goal=said.get("goal", ""),
                    click_id=said.get("cid", ""),
                    order=said.get("order"),
                    value=said.get("value"),
                    currency=said.get("currency"),
                ),
                now,
            )
        except (InvalidValue, InvalidAddress, TokenError):
            return None

    async def _record(self, told: Told, now: datetime) -> None:
        try:
            await record_conversion(self._domain, told, now)
        except Exception as error:  # noqa: BLE001 - the answer is fixed; that it was lost must be known
            log.conversion_lost(type(error).__name__)


def _said(request: web.Request) -> Mapping[str, str] | None:
    """What stands there once; None where something of ours stands twice."""
    said = {}
    for key in _KEYS:
        values = request.query.getall(key, [])
        if len(values) > 1:
            return None
        if values and values[0]:  # a template that has no value leaves it empty
            said[key] = values[0]
    return said


def script(table: TrackingTable) -> str:
    """The script with what the configuration says."""
    parameter = json.dumps(table.click_id_parameter)
    return _SCRIPT.replace('"PARAMETER"', parameter, 1).replace(
        "const seconds = 0;", f"const seconds = {int(table.first_party_cookie)};", 1
    )
