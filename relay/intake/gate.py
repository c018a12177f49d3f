"""A new connection before anybody knows whose it is: a load balancer says first for whom it speaks.

In front of everything else, so that limits, networks and `Received:` lines see the real client, under implicit TLS
too. Connections from elsewhere pass at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from relay import log as words
from relay.intake.proxy import ProxyError, read
from relay.intake.settings import Address, Networks, client_address, is_within

HEADER_TIMEOUT = 10.0
"""Seconds a load balancer has for its header, which it sends with the first packet."""

Admit = Callable[[Address | None], asyncio.BaseProtocol]
"""The protocol for a connection of this client."""


class Gate(asyncio.Protocol):
    def __init__(
        self, networks: Networks, admit: Admit, waiting: set[Gate], *, most: int, log: words.Log
    ) -> None:
        """`waiting` holds the gates whose header has not come; no more than `most` of them."""
        self._networks = networks
        self._admit = admit
        self._waiting = waiting
        self._most = most
        self._log = log
        self._octets = bytearray()
        self._peer: Address | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = client_address(peer[0]) if isinstance(peer, tuple) else None
        if not is_within(self._peer, self._networks):
            self._pass_on(self._peer, b"")
        elif len(self._waiting) >= self._most:
            self._transport.abort()
        else:
            self._waiting.add(self)
            self._timer = asyncio.get_running_loop().call_later(HEADER_TIMEOUT, self._refuse, "too late")

    def data_received(self, data: bytes) -> None:
        self._octets += data
        octets = bytes(self._octets)
        try:
            header = read(octets)
        except ProxyError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._pass_on(header.client or self._peer, octets[header.size :])

    def connection_lost(self, _error: Exception | None) -> None:
        self._leave()

    def abort(self) -> None:
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, reason: str) -> None:
        words.proxy_header_wrong(self._log, reason=reason)
        self.abort()

    def _leave(self) -> None:
        self._waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _pass_on(self, client: Address | None, octets: bytes) -> None:
        self._leave()
        transport = cast(asyncio.Transport, self._transport)
        session = self._admit(client)
        transport.set_protocol(session)
        session.connection_made(transport)
        if octets and not transport.is_closing():
            _feed(transport.get_protocol(), octets)  # under implicit TLS that is the TLS layer by now


def _feed(protocol: asyncio.BaseProtocol, octets: bytes) -> None:
    """What came behind the header, as if it came now."""
    if isinstance(protocol, asyncio.BufferedProtocol):
        rest = memoryview(octets)
        while rest:
            buffer = memoryview(protocol.get_buffer(len(rest)))
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            protocol.buffer_updated(size)
            rest = rest[size:]
    else:
        cast(asyncio.Protocol, protocol).data_received(octets)
