"""Connections to one server: never more than a number, kept between messages, given out in the order asked.

Knows when a connection may not be used again; knows nothing of what is said on one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from relay.upstream.connection import Connection
from relay.upstream.settings import UpstreamSettings
from relay.upstream.slots import Slots


class Pool:
    """`connect` opens a connection or raises UpstreamError. Must be made and used on one event loop."""

    def __init__(self, settings: UpstreamSettings, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._settings = settings
        self._connect = connect
        self.slots = Slots(settings.max_connections, calm_seconds=settings.calm_seconds)
        """Whoever takes a connection holds one of these."""
        self._idle: list[tuple[Connection, float]] = []
        """With the loop's time since when; the longest idle first."""
        self._sweeper: asyncio.TimerHandle | None = None
        self._leaving: set[Connection] = set()
        self._connecting = 0
        self._is_closed = False

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def open(self) -> int:
        """Connections, those that are still being opened left out."""
        return self.slots.held - self._connecting + len(self._idle)

    def make_do(self) -> bool:
        """Upstream refused the connection the caller wanted: ask for no more than it has taken. False when that
        is none, so that it is not their number it complains of."""
        others = self.slots.held - 1 + len(self._idle)
        if others:
            self.slots.lower(others)
        return others > 0

    async def take(self, *, fresh: bool = False) -> Connection:
        """A connection for the holder of a slot: the one used last (so that the surplus ones grow old), or a
        new one. Raises UpstreamError."""
        while self._idle and not fresh:
            connection, _ = self._idle.pop()
            if connection.wire.is_sound:
                return connection
        self._connecting += 1
        try:
            await self._make_room()
            return await self._connect()
        finally:
            self._connecting -= 1

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next, unless it is broken or has served long enough."""
        now = asyncio.get_running_loop().time()
        if self._is_closed or self._is_worn(connection, now):
            self._leave(connection)
            return
        self._idle.append((connection, now))
        if self._sweeper is None:
            self._sweep_in(self._settings.idle_seconds)

    def retire(self) -> None:
        """Keep no connection from now on; let the idle ones go."""
        self._is_closed = True
        self.slots.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection, _ in self._idle:
            self._leave(connection)
        self._idle = []

    async def close(self, *, patience: float) -> None:
        """Let the idle ones go, and wait up to `patience` seconds for their good-byes."""
        self.retire()
        try:
            async with asyncio.timeout(patience):
                for connection in tuple(self._leaving):
                    await connection.wire.closed.wait()
        except TimeoutError:
            for connection in self._leaving:
                connection.wire.abort()

    def _is_worn(self, connection: Connection, now: float) -> bool:
        most = connection.offer.most_messages or self._settings.messages_per_connection
        return (
            not connection.wire.is_sound
            or connection.messages >= min(most, self._settings.messages_per_connection)
            or now - connection.since >= self._settings.seconds_per_connection
        )

    async def _make_room(self) -> None:
        """Wait for those on their way out: upstream counts them until they are gone."""
        while leaving := self._still_leaving():
            if self.slots.held + len(self._idle) + len(leaving) <= self.slots.limit:
                return
            await leaving.pop().wire.closed.wait()

    def _still_leaving(self) -> set[Connection]:
        self._leaving = {connection for connection in self._leaving if not connection.wire.closed.is_set()}
        return set(self._leaving)

    def _sweep_in(self, seconds: float) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Let those go that nobody needed for so long. One timer for all: most are taken again at once."""
        self._sweeper = None
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle[0]
            left = since + self._settings.idle_seconds - now
            if left > 0:
                self._sweep_in(left)
                return
            del self._idle[0]
            self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        self._leaving = self._still_leaving() | {connection}
        connection.wire.quit()
