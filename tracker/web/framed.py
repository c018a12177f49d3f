"""Hits whose requests are no plain ones: the web framework reads them, and answers with what `tracker.web.hits` says."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tracker.domain import Domain
from tracker.tokens import Kind, Token
from tracker.web.answers import PIXEL, PIXEL_HEADERS, PIXEL_TYPE, redirect_headers
from tracker.web.hits import Hits
from tracker.web.keeping import Heard
from tracker.web.origin import Address, address_of


class FramedHits:
    """The handlers of the two kinds of request that mail programs make."""

    def __init__(self, domain: Domain, hits: Hits) -> None:
        self._domain = domain
        self._hits = hits

    async def open(self, request: web.Request) -> web.Response:
        """`GET /o/TOKEN.gif`: the pixel, whatever the token."""
        token = self._named_in(request.match_info["token"].removesuffix(".gif"), Kind.OPEN)
        if token is not None and request.method == "GET":
            await self._taken(token, request)
        return web.Response(body=PIXEL, content_type=PIXEL_TYPE, headers=PIXEL_HEADERS)

    async def click(self, request: web.Request) -> web.Response:
        """`GET /c/TOKEN`: the author's destination, byte for byte; 404 when the token does not verify."""
        token = self._named_in(request.match_info["token"], Kind.CLICK)
        if token is None:
            if not self._hits.gets_page(self._client(request)):
                return web.Response(status=429, headers={"Cache-Control": "no-store"})
            raise web.HTTPNotFound
        named = request.method == "GET" and await self._taken(token, request)
        location = self._hits.location(token, named=named)
        policy = self._domain.config.tracker.referrer_policy
        return web.Response(status=302, headers=redirect_headers(location, policy))

    def _named_in(self, text: str, kind: Kind) -> Token | None:
        token = self._hits.verified(text, kind)
        if token is None:
            self._hits.note_bad(kind)
        return token

    async def _taken(self, token: Token, request: web.Request) -> bool:
        """Takes it down and waits for its answer."""
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def answer(*, named: bool) -> None:
            if not answered.done():
                answered.set_result(named)

        agent = (
            request.headers.get("User-Agent", "")
            .encode("utf-8", "surrogateescape")
            .decode("utf-8", "replace")
        )
        self._hits.take(token, Heard(agent, self._client(request)), answer)
        return await answered

    def _client(self, request: web.Request) -> Address | None:
        """From where it comes. Where the proxy says so before the request, the framework was not told."""
        peer = address_of(request.remote or "")
        if self._hits.proxies.prefaced(peer):
            return None
        headers = request.headers
        chains = (",".join(headers.getall(name, ())) for name in ("Forwarded", "X-Forwarded-For"))
        return self._hits.proxies.client(peer, *chains)
