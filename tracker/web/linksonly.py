"""Links that lead on with nothing but the key file: no store, no consent, and nothing kept of anybody.

The emergency server while everything else is down, and the helper at a CDN's side. Every link ever sent carries its
destination, so this is all that a link needs.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from tracker import keyring, log
from tracker.config import Config, parse_listen
from tracker.errors import TokenError
from tracker.httplog import retelling
from tracker.keywatch import KeyWatch
from tracker.tokens import KeyRing, Kind, Token, read
from tracker.web.app import bare
from tracker.web.hits import PIXEL


class LinksFace:
    """The public listener of `candor tracker --links-only`."""

    def __init__(self, config: Config) -> None:
        """Raises KeyRingError: a ring made here would open no link."""
        self._config = config
        file = Path(config.tokens.keys_file)
        self._ring = keyring.load(file)
        self._watch = KeyWatch(file, lambda: self._ring, self._renew)
        app = bare(config)
        app.router.add_get("/o/{token}", self._open)
        app.router.add_get("/c/{token}", self._click)
        app.router.add_get("/p{rest:(/.*)?}", self._page)
        app.router.add_post("/p{rest:(/.*)?}", self._page)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=retelling(),
            handle_signals=False,
            max_line_size=16 * 1024,
            max_field_size=16 * 1024,
            keepalive_timeout=30.0,
        )

    async def start(self, *, share_port: bool = False) -> tuple[str, int]:
        """Listens where the configuration says; gives the address bound."""
        host, port = parse_listen(self._config.tracker.listen)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host or None, port, reuse_port=share_port or None)
        await site.start()
        self._watch.start()
        bound = self._runner.addresses[0]
        log.listening("links only", f"http://{bound[0]}:{bound[1]}")
        return str(bound[0]), int(bound[1])

    async def stop(self) -> None:
        await self._watch.stop()
        await self._runner.cleanup()

    def reconfigure(self, config: Config) -> None:
        """From now on redirects go by this; listener and key file stay."""
        self._config = config

    async def _renew(self, ring: KeyRing) -> None:
        self._ring = ring

    async def _open(self, request: web.Request) -> web.Response:
        """`GET /o/TOKEN.gif`: the pixel, whatever the token."""
        return web.Response(
            body=PIXEL, content_type="image/gif", headers={"Cache-Control": "no-store, private"}
        )

    async def _click(self, request: web.Request) -> web.Response:
        """`GET /c/TOKEN`: the author's destination, byte for byte; 404 when the token does not verify."""
        token = self._token(request.match_info["token"])
        if token is None or token.kind is not Kind.CLICK:
            raise web.HTTPNotFound
        headers = {"Location": token.destination, "Cache-Control": "no-store"}
        if self._config.tracker.referrer_policy:
            headers["Referrer-Policy"] = self._config.tracker.referrer_policy
        return web.Response(status=302, headers=headers)

    async def _page(self, request: web.Request) -> web.Response:
        """A preference page needs the store."""
        raise web.HTTPServiceUnavailable

    def _token(self, text: str) -> Token | None:
        try:
            return read(text, self._ring)
        except TokenError:
            return None
