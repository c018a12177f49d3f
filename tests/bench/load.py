"""The load of the relay's benchmark: sessions that send messages, no two alike, as fast as they are taken.

Usage: load.py PORT MESSAGES SESSIONS BEGIN kept|new
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import uvloop
from newsletter import newsletter

_GREETING = "reader-without-a-number"
_PIECES = newsletter(_GREETING).split(_GREETING.encode())


def message(number: int) -> bytes:
    """The newsletter with a greeting of its own, and the dot that ends DATA; no line of it begins with one."""
    return f"reader {number}".encode().join(_PIECES) + b".\r\n"


class Session(asyncio.Protocol):
    """One connection that sends these messages and says goodbye."""

    def __init__(self, numbers: Sequence[int], done: asyncio.Future[None]) -> None:
        self._left = list(reversed(numbers))
        self._done = done
        self._lines = b""
        self._expected = b"220"
        self._steps: list[tuple[bytes, bytes]] = [(b"EHLO bench.example\r\n", b"250")]
        self._transport: Any = None  # uvloop's transports are no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._lines = (self._lines + data).split(b"\n")
        for line in lines:
            if not line.startswith(self._expected):
                self._end(SystemExit(f"unexpected answer: {line.decode(errors='replace')}"))
            elif line[3:4] != b"-":
                self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(SystemExit(f"the connection was lost: {error}"))

    def _go_on(self) -> None:
        if self._expected == b"221":
            self._end(None)
            return
        if not self._steps and self._left:
            number = self._left.pop()
            self._steps = [
                (message(number), b"250"),
                (b"DATA\r\n", b"354"),
                (b"RCPT TO:<reader%d@example.org>\r\n" % number, b"250"),
                (b"MAIL FROM:<news@shop.example>\r\n", b"250"),
            ]
        said, self._expected = self._steps.pop() if self._steps else (b"QUIT\r\n", b"221")
        self._transport.write(said)

    def _end(self, error: BaseException | None) -> None:
        self._transport.close()
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)


async def connection(port: int, numbers: Sequence[int]) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    await loop.create_connection(lambda: Session(numbers, done), "127.0.0.1", port)
    await done


async def client(port: int, numbers: Sequence[int], *, kept: bool) -> None:
    """Its messages one after the other: over one connection, or each over its own."""
    for some in [numbers] if kept else [[number] for number in numbers]:
        await connection(port, some)


async def main(port: int, messages: int, sessions: int, begin: int, *, kept: bool) -> None:
    await asyncio.gather(
        *(client(port, range(begin + n, begin + messages, sessions), kept=kept) for n in range(sessions))
    )


if __name__ == "__main__":
    _port, _messages, _sessions, _begin = map(int, sys.argv[1:5])
    uvloop.run(main(_port, _messages, _sessions, _begin, kept=sys.argv[5] == "kept"))
