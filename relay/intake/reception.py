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
from relay.replies import NO_ROOM, Reply

Deadline = Callable[[float | None], None]


class Reception:
    """One message's: begin one of `data`, `chunk`, `discard`, then `go_on` whenever something has come, until that is
    complete. Holds memory until `close`, or until `hand_over` gives it to somebody else."""

    def __init__(self, wire: Wire, deadline: Deadline, settings: Settings, memory: Memory) -> None:
        self._wire = wire
        self._deadline = deadline
        self._settings = settings
        self._clock = asyncio.get_running_loop().time
        self._allowance = settings.data_timeout
        self._since = 0.0
        self._claim = memory.claim(most=settings.max_memory)
        self._left = 0
        """Octets of the chunk that have not come yet."""
        self._last = False
        self._content: Content | None = None
        self._chunks: Chunks | None = None

    def data(self) -> None:
        """The whole message after DATA, however it is judged."""
        settings = self._settings
        self._content = Content(
            limit=settings.max_message_size,
            header_limit=settings.max_header_size,
            bare_newlines=settings.bare_newlines,
        )
        self._expect()

    def chunk(self, size: int, *, last: bool) -> None:
        """One chunk more."""
        settings = self._settings
        self._chunks = self._chunks or Chunks(
            limit=settings.max_message_size,
            header_limit=settings.max_header_size,
            bare_newlines=settings.bare_newlines,
        )
        self._last = last
        self.discard(size)

    def discard(self, size: int) -> None:
        """A chunk that nobody wants is read all the same."""
        self._left = size
        self._expect()

    def go_on(self) -> bool:
        """Takes what has come; True when what was begun is complete. Raises ClientGone."""
        return self._take_chunk() if self._content is None else self._take_data(self._content)

    @property
    def refusal(self) -> Reply | None:
        """Why there will be no message, as far as it has come."""
        content = self._content or self._chunks
        return None if content is None else content.refusal

    @property
    def message(self) -> bytes:
        """`b""` while incomplete and when refused."""
        content = self._content or self._chunks
        return b"" if content is None else content.message

    def hand_over(self) -> Claim:
        return self._claim.passed_on()

    def close(self) -> None:
        self._claim.release()

    def _take_data(self, content: Content) -> bool:
        while block := self._wire.take_block():
            self._earn(len(block))
            rest = content.feed(block)
            self._hold(content)
            if rest is not None:
                self._wire.put_back(rest)
                return True
            self._expect()
        return False

    def _take_chunk(self) -> bool:
        chunks = self._chunks
        while self._left:
            block = self._wire.take_block(self._left)
            if not block:
                return False
            self._earn(len(block))
            self._left -= len(block)
            if chunks is not None:
                chunks.feed(block)
                self._hold(chunks)
            self._expect()
        if chunks is not None and self._last:
            chunks.finish()
        return True

    def _expect(self) -> None:
        self._deadline(self._allowance)
        self._since = self._clock()

    def _earn(self, octets: int) -> None:
        rate, longest = self._settings.lowest_data_rate, self._settings.data_timeout
        earned = octets / rate if rate else longest
        self._allowance = min(longest, self._allowance - (self._clock() - self._since) + earned)

    def _hold(self, content: Content | Chunks) -> None:
        if not self._claim.resize(content.held):
            content.refuse(NO_ROOM)
            self._claim.resize(content.held)
