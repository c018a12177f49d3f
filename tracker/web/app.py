"""The public listener: routes, pages for what goes wrong, and the headers every answer carries.

No access log: of some people nothing may be written, and of the rest the events say it better.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType

import aiohttp_jinja2
import jinja2
from aiohttp import web

from tracker import log
from tracker.config import Config, parse_listen
from tracker.device import device_of
from tracker.domain import Domain
from tracker.errors import CandorError, StoreUnavailable
from tracker.journal import Journal
from tracker.listening import listening
from tracker.metrics import Sheet
from tracker.refusals import HANDLING, SERVER, framework
from tracker.web import applinks, wording
from tracker.web.connection import Configured, Connections, Taking
from tracker.web.conversions import ConversionPixel
from tracker.web.framed import FramedHits
from tracker.web.hits import Hits
from tracker.web.metrics import HitMetrics
from tracker.web.preferences import Preferences
from tracker.web.replay import Replay

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Clock = Callable[[], datetime]
_MOST_FORM = 16 * 1024
_BACKLOG = 1024
"""Connections that wait for us; a newsletter's readers come together."""
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_TROUBLE = {
    400: ("back_title", "back"),
    404: ("cut_title", "cut"),
    405: ("back_title", "only_links"),
    413: ("back_title", "too_long"),
    503: ("later_title", "later"),
}
"""Names of the words that say it."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PublicFace:
    """The tracker's public server on its socket."""

    def __init__(
        self,
        domain: Domain,
        metrics: HitMetrics | None = None,
        *,
        clock: Clock = _utc_now,
        beside: Mapping[str, web.Application] = MappingProxyType({}),
    ) -> None:
        """`beside`: applications that answer here too, by what their paths begin with."""
        self._domain = domain
        table = domain.config.tracker
        folder = Path(table.journal) if table.journal else None
        metrics = metrics or HitMetrics(Sheet())
        self._journal = Journal(folder, domain.ring, most=table.journal_size)
        self._replay = Replay(domain, self._journal, folder, metrics)
        self.hits = Hits(domain, self._journal, clock=clock, metrics=metrics)
        self._listener: asyncio.Server | None = None
        self._connections: Connections | None = None
        self._runner = web.AppRunner(
            build(domain, self.hits, clock, beside),
            handle_signals=False,
            **HANDLING,
        )

    async def start(self, *, share_port: bool = False) -> tuple[str, int]:
        """Listens where the configuration says; gives the address bound. `share_port`: other processes listen there
        too, and the kernel spreads the connections."""
        # The first look at a user agent builds the library's tables, which takes longer than an answer may.
        await asyncio.to_thread(device_of, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
        await self._runner.setup()
        self._connections = connections(self._domain, self.hits, self._runner)
        self._listener = await listen(self._connections, self._domain.config, share_port=share_port)
        self._replay.start()
        bound = self._listener.sockets[0].getsockname()
        log.listening("tracker", f"http://{bound[0]}:{bound[1]}")
        return str(bound[0]), int(bound[1])

    @property
    def connections(self) -> int:
        """How many there are at the moment."""
        return len(self._connections) if self._connections is not None else 0

    async def stop(self) -> None:
        """No new requests, the running ones answered, the last hits kept."""
        if self._listener is not None:
            self._listener.close()
        if self._connections is not None:
            self._connections.stop()
        await self._replay.stop()
        await self.hits.close()
        await self._runner.cleanup()
        await self.hits.close()
        await self._journal.close()


def connections(configured: Configured, hits: Taking, runner: web.AppRunner) -> Connections:
    """The connections of a listener whose framework is `runner`, which was set up."""
    # Mail comes in through the same process, and idle readers must not keep it out.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
    return Connections(configured, hits, framework(runner), most=most)


async def listen(those: Connections, config: Config, *, share_port: bool) -> asyncio.Server:
    """The public listener's socket, where the configuration says."""
    host, port = parse_listen(config.tracker.listen)
    with listening("[tracker] listen", config.tracker.listen):
        return await asyncio.get_running_loop().create_server(
            those, host or None, port, reuse_port=share_port or None, backlog=_BACKLOG
        )


@cache
def _templates() -> jinja2.Environment:
    """One for the process: a template is compiled once."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(default=True),
        undefined=jinja2.StrictUndefined,
    )


def bare(config: Config) -> web.Application:
    """The public application without a route: the pages for what goes wrong, and what every answer carries."""
    app = web.Application(middlewares=[_once, _pages], client_max_size=_MOST_FORM)
    app[aiohttp_jinja2.APP_KEY] = _templates()
    app[wording.SPEAKER] = wording.Speaker(config)
    app.on_response_prepare.append(_nameless)
    applinks.add_routes(app)
    return app


def build(
    domain: Domain,
    hits: Hits,
    clock: Clock = _utc_now,
    beside: Mapping[str, web.Application] = MappingProxyType({}),
) -> web.Application:
    """The public application."""
    app = bare(domain.config)
    domain.renewals.append(app[wording.SPEAKER].renew)
    preferences = Preferences(domain, clock=clock)
    framed = FramedHits(domain, hits)
    app.router.add_get("/o/{token}", framed.open)
    app.router.add_get("/c/{token}", framed.click)
    conversions = ConversionPixel(domain, clock=clock)
    app.router.add_get("/v/conversion.gif", conversions.pixel)
    app.router.add_get("/v/candor.js", conversions.script)
    app.on_cleanup.append(conversions.close)
    app.router.add_get("/p", _nobodys_page)
    app.router.add_get("/p/{token}", preferences.show)
    app.router.add_post("/p/{token}", preferences.choose)
    for prefix, application in beside.items():
        app.add_subapp(prefix, application)
    return app


async def _nobodys_page(request: web.Request) -> web.Response:
    """Where the preference link of a mail leads that was sent while the store was away: it names nobody."""
    return wording.trouble(request, "nobody_title", "nobody")


async def _nameless(request: web.Request, response: web.StreamResponse) -> None:
    """Which library and version answers is nobody's business."""
    response.headers["Server"] = SERVER
    if response.status == 302:  # there is nothing in it
        response.headers.pop("Content-Type", None)
        response.headers.setdefault("Content-Length", "0")


@web.middleware
async def _pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer that is not a hit's is a page for a person, and never tells what went wrong inside."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _trouble(request, error.status)
        if "Allow" in error.headers:  # RFC 9110 15.5.6
            response.headers["Allow"] = error.headers["Allow"]
    except StoreUnavailable:
        response = _trouble(request, 503)
    except CandorError as error:
        log.request_failed(type(error).__name__)
        response = _trouble(request, 503)
    except Exception as error:  # noqa: BLE001 - the border: the client must see a page, not our insides
        log.request_failed(type(error).__name__)
        response = _trouble(request, 503)
    if response.content_type == "text/html":
        response.headers.update(_PAGE_HEADERS)
    return response


@web.middleware
async def _once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A connection that came here (`tracker.web.connection`) ends with the answer: the next is plain again, most
    likely."""
    response = await handler(request)
    response.force_close()
    return response


def _trouble(request: web.Request, status: int) -> web.Response:
    return wording.trouble(request, *_TROUBLE.get(status, _TROUBLE[405]), status=status)
