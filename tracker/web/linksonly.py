"""Links that lead on with nothing but the key file: no store, no consent, and nothing kept of anybody.

The emergency server while everything else is down, and the helper at a CDN's side. Every link ever sent carries its
destination, so this is all that a link needs. It listens as the tracker does, behind the same proxies and with the same
patience.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from tracker import keyring, log
from tracker.config import Config
from tracker.keywatch import KeyWatch
from tracker.refusals import HANDLING
from tracker.tokens import KeyRing, Kind, Token
from tracker.web.answers import PIXEL, PIXEL_HEADERS, PIXEL_TYPE, redirect_headers
from tracker.web.app import bare, connections, listen
from tracker.web.connection import Connections
from tracker.web.hits import Answer, Heard
from tracker.web.mistakes import Mistakes
from tracker.web.origin import Address, Proxies, Tells
from tracker.web.wording import SPEAKER


class LinksFace:
    """The public listener of `candor tracker --links-only`."""

    def __init__(self, config: Config) -> None:
        """Raises KeyRingError: a ring made here would open no link."""
        self.config = config
        self.proxies = Proxies(config.tracker.trusted_proxies, Tells(config.tracker.proxy_header))
        file = Path(config.tokens.keys_file)
        self._ring = keyring.load(file)
        self._mistakes = Mistakes()
        self._watch = KeyWatch(file, lambda: self._ring, self._renew)
        app = bare(config)
        self._speaker = app[SPEAKER]
        app.router.add_get("/o/{token}", self._open)
        app.router.add_get("/c/{token}", self._click)
        app.router.add_get("/v/conversion.gif", self._open)
        app.router.add_get("/p{rest:(/.*)?}", self._page)
        app.router.add_post("/p{rest:(/.*)?}", self._page)
        self._listener: asyncio.Server | None = None
        self._connections: Connections | None = None
        self._runner = web.AppRunner(app, handle_signals=False, **HANDLING)

    async def start(self, *, share_port: bool = False) -> tuple[str, int]:
        """Listens where the configuration says; gives the address bound."""
        await self._runner.setup()
        self._connections = connections(self, self, self._runner)
        self._listener = await listen(self._connections, self.config, share_port=share_port)
        self._watch.start()
        bound = self._listener.sockets[0].getsockname()
        log.listening("links only", f"http://{bound[0]}:{bound[1]}")
        return str(bound[0]), int(bound[1])

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._connections is not None:
            self._connections.stop()
        await self._watch.stop()
        await self._runner.cleanup()

    def reconfigure(self, config: Config) -> None:
        """From now on redirects and pages go by this; listener and key file stay."""
        self.config = config
        self._speaker.renew(config)

    def verified(self, text: str, kind: Kind) -> Token | None:
        """What the token says; None when it is not one of ours of that kind."""
        return self._mistakes.read(text, kind, self._ring)

    def needs_page(self, kind: Kind, client: Address | None) -> bool:
        """Of a token of that kind, which did not verify: is a page to say so?"""
        return kind is Kind.CLICK and self._mistakes.made(client, self.config.tracker.bad_token_rate)

    def take(self, token: Token, heard: Heard, answer: Answer) -> None:
        """A plain request's hit: answered, and forgotten."""
        answer(named=False)

    def location(self, token: Token, *, named: bool) -> str:
        """Where a click leads: nobody is known by name here."""
        return token.destination

    async def _renew(self, ring: KeyRing) -> None:
        self._ring = ring

    async def _open(self, request: web.Request) -> web.Response:
        """`GET /o/TOKEN.gif`: the pixel, whatever the token."""
        return web.Response(body=PIXEL, content_type=PIXEL_TYPE, headers=PIXEL_HEADERS)

    async def _click(self, request: web.Request) -> web.Response:
        """`GET /c/TOKEN`: the author's destination, byte for byte; 404 when the token does not verify."""
        token = self.verified(request.match_info["token"], Kind.CLICK)
        if token is None:
            raise web.HTTPNotFound
        policy = self.config.tracker.referrer_policy
        return web.Response(status=302, headers=redirect_headers(token.destination, policy))

    async def _page(self, request: web.Request) -> web.Response:
        """A preference page needs the store."""
        raise web.HTTPServiceUnavailable
