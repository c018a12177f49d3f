"""A message on its way in: by DATA or in chunks, at what pace, into how much memory.

Time is a stock: silence uses it up, octets refill it, so that a client may be slow but not idle. Memory is
claimed from what all sessions share; a message that finds none is read to its end and put off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.intake.content import Chunks, Content
from relay.intake.limits import Claim, Memory
from relay.intake.settings import Settings
from relay.intake.wire import Wire
from relay.replies import NO_ROOM

Deadline = Callable[[float | None], None]


class Reception:
    """One message's. Holds memory until `close`, or until `hand_over` gives it to somebody else."""

    def __init__(self, wire: Wire, deadline: Deadline, settings: Settings, memory: Memory) -> None:
        self._wire = wire
        self._deadline = deadline
        self._settings = settings
        self._clock = asyncio.get_running_loop().time
        self._allowance = settings.data_timeout
        self._claim = memory.claim(most=settings.max_memory)
        self._chunks = Chunks(
            limit=settings.max_message_size,
            header_limit=settings.max_header_size,
            bare_newlines=settings.bare_newlines,
        )

    async def data(self) -> Content:
        """The whole message after DATA, however it is judged. Raises ClientGone."""
        settings = self._settings
        content = Content(
            limit=settings.max_message_size,
            header_limit=settings.max_header_size,
            bare_newlines=settings.bare_newlines,
        )
        while True:
            rest = content.feed(await self._block(None))
            self._hold(content)
            if rest is not None:
                self._wire.put_back(rest)
                return content

    async def chunk(self, size: int, *, last: bool) -> Chunks:
        """One chunk more; all of them so far. Raises ClientGone."""
        while size:
            block = await self._block(size)
            size -= len(block)
            self._chunks.feed(block)
            self._hold(self._chunks)
        if last:
            self._chunks.finish()
        return self._chunks

    async def discard(self, size: int) -> None:
        """Read a chunk that nobody wants. Raises ClientGone."""
        while size:
            size -= len(await self._block(size))

    def hand_over(self) -> Claim:
        return self._claim.passed_on()

    def close(self) -> None:
        self._claim.release()

    async def _block(self, most: int | None) -> bytes:
        self._deadline(self._allowance)
        since = self._clock()
        block = await self._wire.block(most)
        rate, longest = self._settings.lowest_data_rate, self._settings.data_timeout
        earned = len(block) / rate if rate else longest
        self._allowance = min(longest, self._allowance - (self._clock() - since) + earned)
        return block

    def _hold(self, content: Content | Chunks) -> None:
        if not self._claim.resize(content.held):
            content.refuse(NO_ROOM)
            self._claim.resize(content.held)
