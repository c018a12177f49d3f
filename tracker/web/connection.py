"""A connection to the public listener: plain requests for hits are answered here, all else by the web framework.

One request at a time; what a client sends meanwhile waits, and no more of it is read than there is room for. Every
wait has an end, so that clients who are slow, or pretend to be, cost a little memory for a little while and nobody
else anything. Whoever was handed to the framework stays with it for one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from tracker.config import Config
from tracker.tokens import Kind, Token
from tracker.web.answers import Octets
from tracker.web.hits import Answer, Heard
from tracker.web.origin import Address, Proxies, address_of, read_preface
from tracker.web.plain import MOST_HEAD, Plain, read_plain

IDLE = 30.0
"""Seconds that a connection may wait for its next request."""
HEAD_WITHIN = 10.0
"""Seconds from the first octet of a request to the end of its head."""
FRAMEWORK_WITHIN = 60.0
"""Seconds for a whole request that the framework answers: the form it brings, and the page it takes away."""
_LINGER = 2.0
_SWEEP = 1.0
_END = b"\r\n\r\n"


class Configured(Protocol):
    """Whoever holds the configuration of the moment."""

    @property
    def config(self) -> Config: ...


class Taking(Protocol):
    """Who verifies tokens, and takes the hits down that they make."""

    @property
    def proxies(self) -> Proxies: ...

    def verified(self, text: str, kind: Kind) -> Token | None: ...

    def needs_page(self, kind: Kind, client: Address | None) -> bool: ...

    def take(self, token: Token, heard: Heard, answer: Answer) -> None: ...

    def location(self, token: Token, *, named: bool) -> str: ...


class Connections:
    """The connections of a listener; as a protocol factory, it makes them."""

    def __init__(
        self, configured: Configured, hits: Taking, framework: Callable[[], Any], *, most: int
    ) -> None:
        """`framework` makes a handler of aiohttp's for one connection. `most`: whoever comes beyond that is turned
        away at once."""
        self.configured = configured
        self.hits = hits
        self.framework = framework
        self.octets = Octets()
        self._all: set[Connection] = set()
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._sweeping = self._loop.call_later(_SWEEP, self._sweep)
        self.stopping = False

    def __call__(self) -> Connection:
        return Connection(self)

    def __len__(self) -> int:
        return len(self._all)

    def join(self, connection: Connection) -> bool:
        """False where there is no room."""
        if len(self._all) >= self._most or self.stopping:
            return False
        self._all.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        self._all.discard(connection)

    def stop(self) -> None:
        """From now on each connection ends with the request it is at."""
        self.stopping = True
        self._sweeping.cancel()
        for connection in list(self._all):
            connection.finish()

    def _sweep(self) -> None:
        self._sweeping = self._loop.call_later(_SWEEP, self._sweep)
        now = self._loop.time()
        for connection in [one for one in self._all if one.until <= now]:
            connection.give_up()


class Connection(asyncio.Protocol):
    """`until`: when its present wait has lasted long enough."""

    __slots__ = (
        "_all", "_buffer", "_busy", "_closing", "_ended", "_framework", "_full", "_loop", "_paused", "_peer", "_plain",
        "_preface", "_token", "_transport", "until",
    )  # fmt: skip

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(
            asyncio.Transport, None
        )  # there is one from connection_made on
        self._peer: Address | None = None
        self._buffer = b""
        self._preface = False
        self._busy = self._closing = self._ended = self._full = self._paused = False
        self._plain: Plain = cast(Plain, None)  # these two are the running request's
        self._token: Token = cast(Token, None)
        self._framework: Any = None
        self.until = 0.0

    # --- what the transport says ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.until = self._loop.time() + IDLE
        if not self._all.join(self):
            self._end()
            return
        peer = transport.get_extra_info("peername")
        self._peer = address_of(peer[0]) if peer else None
        self._preface = self._all.hits.proxies.prefaced(self._peer)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._all.leave(self)
        if self._framework is not None:
            self._framework.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._framework is not None:
            self._framework.data_received(data)
            return
        if self._closing:
            return
        if not self._buffer and not self._busy:
            self.until = self._loop.time() + HEAD_WITHIN
        self._buffer = self._buffer + data if self._buffer else data
        if self._busy or self._full:
            if len(self._buffer) > MOST_HEAD and not self._paused:
                self._paused = True
                self._transport.pause_reading()
        else:
            self._proceed()

    def eof_received(self) -> bool | None:
        """Who asked and then closed their side still gets the answer."""
        if self._framework is not None:
            return cast("bool | None", self._framework.eof_received())
        self._ended = True
        return self._busy or _END in self._buffer

    def pause_writing(self) -> None:
        self._full = True
        if self._framework is not None:
            self._framework.pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        if self._framework is not None:
            self._framework.resume_writing()
        elif not self._busy:
            self._next()

    # --- a request ---

    def _proceed(self) -> None:
        """Takes the next requests out of what was received, until one has to be waited for."""
        if self._preface and not self._past_preface():
            return
        while self._buffer and not (self._busy or self._closing or self._full):
            end = self._buffer.find(_END) + len(_END)
            if end < len(_END):
                self._incomplete()
                return
            if end > MOST_HEAD:
                self._refuse(self._too_large())
                return
            plain = read_plain(self._buffer[:end])
            if plain is None:
                self._hand_over()
                return
            hits = self._all.hits
            token = hits.verified(plain.token, plain.kind)
            client = hits.proxies.client(self._peer, plain.forwarded, plain.forwarded_for)
            if token is None and hits.needs_page(plain.kind, client):
                self._hand_over()
                return
            self._buffer = self._buffer[end:]
            self._plain = plain
            if token is None:
                self._turn_away()
            elif plain.get:
                self._token, self._busy = token, True
                self.until = float("inf")  # the answer has its own limit
                hits.take(token, Heard(plain.user_agent, client), self.answer)
            else:
                self._token = token
                self.answer(named=False)

    def answer(self, *, named: bool) -> None:
        """The answer to the running request. `named`: it is known in time to be measured by name."""
        if self._closing:
            return
        self._busy = False
        old, keep = self._plain.old, self._keeps
        token, octets = self._token, self._all.octets
        if self._plain.kind is Kind.OPEN:
            said = octets.pixel(old=old, keep=keep, body=self._plain.get)
        else:
            location = self._all.hits.location(token, named=named)
            policy = self._all.configured.config.tracker.referrer_policy
            said = octets.redirect(location, policy, old=old, keep=keep)
        self._say(said, keep)

    @property
    def _keeps(self) -> bool:
        """Does the connection outlast the running request?"""
        last = self._all.stopping or (self._ended and _END not in self._buffer)
        return self._plain.keep and not last

    def _turn_away(self) -> None:
        """The pixel, whatever the token; a link that leads nowhere, in few words."""
        plain, octets, keep = self._plain, self._all.octets, self._keeps
        if plain.kind is Kind.OPEN:
            self._say(octets.pixel(old=plain.old, keep=keep, body=plain.get), keep)
        else:
            self._say(octets.turned_away(old=plain.old, keep=keep), keep)

    def _say(self, said: bytes, keep: bool) -> None:
        self._transport.write(said)
        self.until = self._loop.time() + (HEAD_WITHIN if self._buffer else IDLE)
        if not keep:
            self._end()
        elif self._buffer:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Goes on with what came while there was something else to do."""
        if not (self._closing or self._busy):
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
            self._proceed()

    def _past_preface(self) -> bool:
        """Has the proxy said whom it speaks for? What says nothing, or something else, is no proxy of ours."""
        try:
            preface = read_preface(self._buffer)
        except ValueError:
            self._end()
            return False
        if preface is None:
            return False
        self._preface, self._peer = False, preface.client
        self._buffer = self._buffer[preface.octets :]
        return True

    def _incomplete(self) -> None:
        """There is no end of a head yet. What can never become one is the framework's to refuse."""
        start = self._buffer[:1]
        if len(self._buffer) > MOST_HEAD:
            self._refuse(self._too_large())
        elif not (start.isalpha() or start in b"\r\n") or b"\n\n" in self._buffer:
            self._hand_over()

    def _too_large(self) -> str:
        """What is: the first line, or all that comes behind it?"""
        line = self._buffer.find(b"\r\n")
        return "431 Request Header Fields Too Large" if 0 <= line <= MOST_HEAD // 2 else "414 URI Too Long"

    def _hand_over(self) -> None:
        self.until = self._loop.time() + FRAMEWORK_WITHIN
        octets, self._buffer = self._buffer, b""
        self._framework = self._all.framework()
        self._framework.connection_made(self._transport)
        self._framework.data_received(octets)

    # --- the end ---

    def finish(self) -> None:
        """Ends the connection, after the answer that is under way."""
        if not self._busy and self._framework is None:
            self._end()

    def give_up(self) -> None:
        """It took too long."""
        if self._framework is None and not self._full and self._buffer:
            self._refuse("408 Request Timeout")
        elif self._framework is None and not self._full:
            self._end()
        else:
            self._closing = True
            self._transport.abort()

    def _refuse(self, status: str) -> None:
        """Says why, and reads on for a little while: closed on unread octets, the connection would take the answer
        with it."""
        self._closing = self._full = True
        self._buffer = b""
        self.until = self._loop.time() + _LINGER
        self._transport.write(self._all.octets.refusal(status))
        self._transport.write_eof()

    def _end(self) -> None:
        """What was written still goes out, for as long as one may wait for a head."""
        self._closing = True
        self._buffer = b""
        self._full = True
        self.until = self._loop.time() + HEAD_WITHIN
        self._transport.close()
