"""One client's connection as lines in, blocks in, replies out. Knows no command.

Replies are collected and go out together when nothing more can be done without waiting, as RFC 2920 3.2 asks
of a server that pipelines. Nothing here waits but `line`; what has come is taken, or there is nothing yet.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache

from relay.replies import Reply

BLOCK = 65536
"""Octets that may lie here unread before the client has to wait."""


class ClientGone(Exception):
    """It closed its side or is unreachable; what it had begun to say is void."""


class LineTooLong(Exception):
    """Raised after the line's end was reached, so that the next line is a command again."""


class Wire:
    """Whoever has the connection gives it what arrives (`feed`, `feed_eof`)."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._read = b""
        self._at = 0
        """Up to where `_read` has been taken."""
        self._searched = 0
        """Up to where no line ends."""
        self._skipping = False
        self._held_back = False
        self._ended = False
        self._said: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self.paused = False
        """The client does not take what we say: say no more for now."""

    # --- from the connection ---

    @property
    def is_drained(self) -> bool:
        """All that has come was taken, and more may come."""
        return self._at == len(self._read) and not (self._ended or self._held_back or self._skipping)

    def attach(self, transport: asyncio.Transport) -> None:
        """The same client under TLS. What it has said in clear counts no more (RFC 3207 4.2)."""
        self._transport = transport
        self._held_back = self.paused = False
        self.forget()

    def feed(self, data: bytes) -> None:
        if self._at < len(self._read):
            self._read = self._read[self._at :] + data
            self._searched -= self._at
        else:
            self._read, self._searched = data, 0
        self._at = 0
        if self._waiter is not None:
            self._wake()
        elif len(self._read) > 2 * BLOCK and not self._held_back:
            self._held_back = True
            self._transport.pause_reading()

    def feed_eof(self) -> None:
        """Nothing more comes; or it is gone altogether."""
        self._ended = True
        self._wake()

    # --- in ---

    def take_line(self, limit: int) -> bytes | None:
        """The next line with its end, which is LF: whether CR stands before it is the caller's to judge. None when
        it is not there yet. Raises LineTooLong, and ClientGone where it will never be."""
        end = self._read.find(b"\n", self._searched)
        if end < 0:
            self._await_end_of_line(limit)
            return None
        line = self._read if end + 1 == len(self._read) and not self._at else self._read[self._at : end + 1]
        self._at = self._searched = end + 1
        if self._held_back:
            self._let_come()
        if self._skipping or len(line) > limit:
            self._skipping = False
            raise LineTooLong
        return line

    def take_block(self, most: int | None = None) -> bytes:
        """Whatever is there, at most `most` octets; `b""` when there is nothing yet. Raises ClientGone."""
        block = self._read[self._at :] if self._at else self._read
        if most is not None and len(block) > most:
            block = block[:most]
        self._at += len(block)
        self._searched = self._at
        if not block:
            self._check_end()
        elif self._at == len(self._read):
            self.forget()
        if self._held_back:
            self._let_come()
        return block

    def put_back(self, block: bytes) -> None:
        """For what was read beyond the end of something."""
        if block:
            self._read = block + self._read[self._at :]
            self._at = self._searched = 0

    def forget(self) -> None:
        """Drop what the client has sent so far."""
        self._read, self._at, self._searched, self._skipping = b"", 0, 0, False

    async def line(self, limit: int) -> bytes:
        """As `take_line`, but waits for it. Sends what was said before."""
        while (line := self.take_line(limit)) is None:
            self.flush()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return line

    def _await_end_of_line(self, limit: int) -> None:
        self._check_end()
        if self._skipping or len(self._read) - self._at > limit:
            self.forget()
            self._skipping = True
        self._searched = len(self._read)
        if self._held_back:
            self._let_come()

    def _check_end(self) -> None:
        if self._ended:
            raise ClientGone

    def _let_come(self) -> None:
        if len(self._read) - self._at <= BLOCK:
            self._held_back = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- out ---

    def say(self, reply: Reply) -> None:
        self._said.append(_encode(reply))

    def flush(self) -> None:
        """Send what was said. Raises ClientGone."""
        if self._transport.is_closing():
            self._said.clear()
            raise ClientGone  # uvloop takes a write to it for a defect
        if self._said:
            self._transport.write(self._said[0] if len(self._said) == 1 else b"".join(self._said))
            self._said.clear()

    def say_last(self) -> None:
        """The same for a connection that is about to be closed."""
        if not self._said:
            return
        if not self._transport.is_closing():
            self._transport.write(self._said[0] if len(self._said) == 1 else b"".join(self._said))
            self._said.clear()


_NO_CONTROLS = dict.fromkeys((*range(10), 11, 12, *range(14, 32), 127), "?")


@lru_cache(maxsize=256)
def _encode(reply: Reply) -> bytes:
    """A reply may carry an upstream's words: what is neither printable nor ASCII becomes `?`."""
    text = str(reply)
    if not (text.isascii() and text.isprintable()):
        text = text.translate(_NO_CONTROLS)
    return text.encode("ascii", "replace") + b"\r\n"
