"""One client's connection as lines in, blocks in, replies out. Knows no command.

Replies are collected and go out together when nothing more can be read without waiting, as RFC 2920 3.2 asks
of a server that pipelines. Waiting is the caller's to limit.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache

from relay.replies import Reply

BLOCK = 65536
_BATCH = 64
"""Replies to commands that came together, before others get their turn in the loop."""


class ClientGone(Exception):
    """It closed its side or is unreachable; what it had begun to say is void."""


class LineTooLong(Exception):
    """Raised after the line's end was reached, so that the next line is a command again."""


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._read = bytearray()
        self._said: list[bytes] = []

    def say(self, reply: Reply) -> None:
        self._said.append(_encode(reply))

    def say_last(self, reply: Reply) -> None:
        """Send at once and without waiting: for a connection that is about to be closed."""
        self.say(reply)
        self._writer.write(b"".join(self._said))
        self._said.clear()

    async def flush(self) -> None:
        """Send what was said. Waits only while the client does not read. Raises ClientGone."""
        if self._writer.transport.is_closing():
            raise ClientGone  # uvloop takes a write to it for a defect
        if self._said:
            self._writer.write(b"".join(self._said))
            self._said.clear()
        if not self._writer.transport.get_write_buffer_size():
            return  # whether the connection is still there, reading tells
        try:
            await self._writer.drain()
        except OSError as error:
            raise ClientGone from error

    async def line(self, limit: int) -> bytes:
        """The next line with its end, which is LF: whether CR stands before it is the caller's to judge.
        Raises ClientGone, LineTooLong."""
        if len(self._said) >= _BATCH:
            await self.flush()
            await asyncio.sleep(0)
        searched = 0
        while (end := self._read.find(b"\n", searched)) < 0:
            searched = len(self._read)
            if searched > limit:
                await self._skip_line()
                raise LineTooLong
            self._read += await self._more()
        line = bytes(self._read[: end + 1])
        del self._read[: end + 1]
        if len(line) > limit:
            raise LineTooLong
        return line

    async def block(self, most: int | None = None) -> bytes:
        """Whatever is there, at least one octet, at most `most`. Raises ClientGone."""
        block = await self._more() if not self._read else bytes(self._read)
        self._read.clear()
        if most is not None and len(block) > most:
            self._read += block[most:]
            block = block[:most]
        return block

    def put_back(self, block: bytes) -> None:
        """For what was read beyond the end of something."""
        self._read[:0] = block

    def forget(self) -> None:
        """Drop what the client has sent so far (RFC 3207 4.2: nothing said in clear may count under TLS)."""
        self._read.clear()

    async def _more(self) -> bytes:
        await self.flush()
        try:
            block = await self._reader.read(BLOCK)
        except OSError as error:  # a reset, or TLS broken off
            raise ClientGone from error
        if not block:
            raise ClientGone
        return block

    async def _skip_line(self) -> None:
        while (end := self._read.find(b"\n")) < 0:
            self._read.clear()
            self._read += await self._more()
        del self._read[: end + 1]


_NO_CONTROLS = dict.fromkeys((*range(10), 11, 12, *range(14, 32), 127), "?")


@lru_cache(maxsize=256)
def _encode(reply: Reply) -> bytes:
    """A reply may carry an upstream's words: what is neither printable nor ASCII becomes `?`."""
    return str(reply).translate(_NO_CONTROLS).encode("ascii", "replace") + b"\r\n"
