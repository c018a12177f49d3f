"""The live feed: what the store tells anew, read once a second for all who listen in this process, and sent to each as
server-sent events (WHATWG HTML, 9.2).

An event's id is the position behind it, so a browser whose connection broke goes on where it was, at whichever process
answers. Nobody is waited for: who reads too slowly is let go and comes back by itself. Nothing is read while nobody
listens, and a stream ends with its reader's session.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import ClientConnectionResetError, web

from tracker import log
from tracker.admin import wording
from tracker.admin.frame import ACCESS, COOKIE, DOMAIN
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.moments import isoformat
from tracker.reports.feed import Entry, News, Position, news

_EVERY = 1.0
"""Seconds between two looks at the store."""
_HEARTBEAT = 15.0
"""Seconds without news after which a line is sent: proxies close what is silent, and we notice who is gone."""
_PATIENCE = 120.0
"""Seconds for which an id that is missing may still come: far beyond the longest transaction that writes news."""
_AT_MOST = 50
"""Listeners of a process."""
_WAITING = 8
"""Looks that may wait for a slow reader."""
_WRITE_WITHIN = 10.0
_RETRY = 3000
"""Milliseconds until a browser comes back."""


class Full(Exception):
    """As many listen as may."""


@dataclass(slots=True, eq=False)
class Listener:
    """One who listens; None in the queue ends it."""

    position: Position
    queue: asyncio.Queue[News | None] = field(default_factory=lambda: asyncio.Queue(_WAITING + 1))


class Feed:
    """`listen`, then `leave`. Close with `await close()`."""

    def __init__(
        self,
        domain: Domain,
        *,
        every: float = _EVERY,
        heartbeat: float = _HEARTBEAT,
        at_most: int = _AT_MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.heartbeat = heartbeat
        self._domain = domain
        self._every = every
        self._at_most = at_most
        self._clock = clock
        self._listeners: set[Listener] = set()
        self._position: Position | None = None
        self._noticed: dict[tuple[str, int], float] = {}
        """When each missing id was first missed."""
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def listen(self, after: Position | None) -> Listener:
        """Begins with what came after that position, else with what comes from now on. Raises Full, StoreError."""
        async with self._looking:
            if len(self._listeners) >= self._at_most:
                raise Full
            await self._look()
            assert self._position is not None  # noqa: S101 - the look gave one
            listener = Listener(position=self._position)
            if after is not None:
                listener.queue.put_nowait(await news(self._domain, after, until=self._position))
            self._listeners.add(listener)
            if self._task is None:
                self._task = asyncio.create_task(self._run())
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    async def close(self) -> None:
        """Everybody's stream ends."""
        for listener in list(self._listeners):
            self._let_go(listener)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._every)
                async with self._looking:  # nobody begins to listen between the last look and the end
                    if not self._listeners:
                        break
                    with suppress(StoreError):  # it comes back, and what was committed meanwhile with it
                        await self._look()
        finally:
            self._task = None
            self._position = None
            self._noticed.clear()
            for listener in list(self._listeners):  # when something is wrong with us, or we are closed
                self._let_go(listener)

    async def _look(self) -> None:
        found = await news(self._domain, self._position)
        is_first, self._position = self._position is None, self._without_the_given_up(found.position)
        if is_first:
            return
        found = replace(found, position=self._position)
        for listener in list(self._listeners):
            listener.position = found.position
            if found.entries or found.skipped:
                self._hand(listener, found)

    def _without_the_given_up(self, position: Position) -> Position:
        """What is missing for so long was rolled back."""
        now = self._clock()
        missing = ((letter, id_) for letter, place in position.places.items() for id_ in place.missing)
        noticed = ((key, self._noticed.get(key, now)) for key in missing)
        self._noticed = {key: since for key, since in noticed if now - since < _PATIENCE}
        return Position(
            places={
                letter: replace(
                    place, missing=frozenset(id_ for id_ in place.missing if (letter, id_) in self._noticed)
                )
                for letter, place in position.places.items()
            }
        )

    def _hand(self, listener: Listener, found: News) -> None:
        if listener.queue.qsize() >= _WAITING:
            self._let_go(listener)
        else:
            listener.queue.put_nowait(found)

    def _let_go(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        listener.queue.put_nowait(None)


FEED = web.AppKey("feed", Feed)


async def stream(request: web.Request) -> web.StreamResponse:
    """GET /live?after=POSITION: an event stream that does not end by itself."""
    feed = request.app[FEED]
    # The header is a browser that comes back, the query where its page left off.
    after = Position.read(request.headers.get("Last-Event-ID") or request.query.get("after", ""))
    try:
        listener = await feed.listen(after)
    except Full:
        return web.Response(status=503, headers={"Retry-After": "30", "Cache-Control": "no-store"})
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx passes it on as it comes
        }
    )
    try:
        await response.prepare(request)
        await _send(response, f"retry: {_RETRY}\n\n")
        while (part := await _next(request, feed, listener)) is not None:
            await _send(response, part)
    except (ClientConnectionResetError, TimeoutError):
        log.listener_gone()
        if request.transport is not None:
            request.transport.abort()  # what it did not read is not waited for
    finally:
        feed.leave(listener)
    return response


async def _next(request: web.Request, feed: Feed, listener: Listener) -> str | None:
    """What is sent next; None where the stream, or the reader's session, has ended."""
    try:
        found = await asyncio.wait_for(listener.queue.get(), feed.heartbeat)
    except TimeoutError:  # an id without data is kept by the browser, and shows nothing
        part = f": nothing new\nid: {listener.position}\n\n"
    else:
        if found is None:
            return None
        part = _event(request.app[DOMAIN], found)
    visitor = request.app[ACCESS].visitor(request.cookies.get(COOKIE, ""), request.host)
    return part if visitor is not None else None


async def _send(response: web.StreamResponse, part: str) -> None:
    await asyncio.wait_for(response.write(part.encode()), _WRITE_WITHIN)


def _event(domain: Domain, found: News) -> str:
    told = {"entries": [as_row(domain, one) for one in found.entries], "skipped": found.skipped}
    # JSON has no line ends of its own here, so the data is one line.
    return f"event: news\nid: {found.position}\ndata: {json.dumps(told)}\n\n"


def as_row(domain: Domain, one: Entry) -> dict[str, Any]:
    """An entry as the page's table and script show it."""
    return {
        "kind": one.kind,
        "word": wording.happened(one.kind),
        "at": isoformat(one.at),
        "when": wording.moment(one.at, domain.config.admin.zone),
        "who": one.who or (f"{one.number} recipients" if one.number > 1 else ""),
        "subject": one.subject or "(no subject)",
        "href": f"/messages/{one.message.hex()}" if one.message else "",
        "detail": one.detail,
    }
