"""How many messages a second go upstream over kept connections.

    python tests/bench/upstream.py [MESSAGES]

A sink in a process of its own swallows a message of about 34 KB; 20 sends run at a time. What counts is the
processor time per message: the sink and this machine's other work share the clock, not the processor time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from relay.submission import Recipient
from relay.upstream import Transaction, open_upstream, parse_url

SESSIONS = 20
CONTENT = (
    b"Received: from app by relay; Thu, 1 Jan 2026 00:00:00 +0000\r\n",
    b"Subject: News\r\n\r\n" + b"<p>Good day, dear reader, this is a line of a newsletter.</p>\r\n" * 550,
)


class Sink(asyncio.Protocol):
    """Accepts everything and looks at as little as it can."""

    def __init__(self, extensions: bytes) -> None:
        self._extensions = extensions
        self._buffer = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            command, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = rest
            self._transport.write(self._answer(command))

    def _answer(self, command: bytes) -> bytes:
        if self._in_data:
            self._in_data = False
            return b"250 2.0.0 Ok\r\n"
        self._in_data = command == b"DATA"
        if self._in_data:
            return b"354 Go\r\n"
        return self._extensions if command.startswith(b"EHLO") else b"250 2.0.0 Ok\r\n"


def run_sink(pipe: Connection, extensions: bytes) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Sink(extensions), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


async def measure(port: int, messages: int) -> tuple[float, float]:
    """Messages a second, and microseconds of processor time for each."""
    upstream = open_upstream(parse_url(f"smtp://127.0.0.1:{port}"))

    async def session(numbers: Iterator[int]) -> None:
        for number in numbers:
            recipient = Recipient(address=f"reader{number}@example.net")
            (outcome,) = await upstream.send(
                Transaction(sender="news@example.org", recipients=(recipient,), content=CONTENT)
            )
            assert outcome.settled, outcome

    numbers = iter(range(messages))
    begun, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(session(numbers) for _ in range(SESSIONS)))
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    await upstream.close(grace=5)
    return messages / seconds, processor / messages * 1e6


def main(messages: int) -> None:
    loops: dict[str, Callable[[Awaitable[tuple[float, float]]], tuple[float, float]]]
    loops = {"asyncio": asyncio.run, "uvloop": uvloop.run}  # type: ignore[dict-item]
    print(f"{messages} messages of {sum(map(len, CONTENT))} octets, {SESSIONS} connections")
    offers = {"pipelined": b"250-sink\r\n250 PIPELINING\r\n", "one by one": b"250 sink\r\n"}
    for manner, extensions in offers.items():
        here, there = multiprocessing.Pipe()
        sink = multiprocessing.Process(target=run_sink, args=(there, extensions), daemon=True)
        sink.start()
        port = here.recv()
        for name, run in loops.items():
            rate, cost = run(measure(port, messages))
            print(f"{manner:10} {name:8} {rate:6.0f} a second  {cost:5.0f} us of processor each")
        sink.terminate()
        sink.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
