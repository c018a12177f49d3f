"""How many messages a second go upstream over kept connections, ours beside aiosmtplib in the same run.

    python tests/bench/upstream.py [MESSAGES]

A sink in a process of its own swallows a message of about 34 KB; 20 sends run at a time, each sender in turns so that
whatever else this machine does falls on both. What counts is the processor time per message: the sink and the
machine's other work share the clock, not the processor time.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from typing import cast

import aiosmtplib
import uvloop

from relay.submission import Recipient
from relay.upstream import Transaction, open_upstream, parse_url

SESSIONS = 20
ROUNDS = 3
Sender = Callable[[int, Iterator[int]], Awaitable[None]]
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


async def ours(port: int, numbers: Iterator[int]) -> None:
    upstream = open_upstream(parse_url(f"smtp://127.0.0.1:{port}"))

    async def session() -> None:
        for number in numbers:
            recipient = Recipient(address=f"reader{number}@example.net")
            (outcome,) = await upstream.send(
                Transaction(sender="news@example.org", recipients=(recipient,), content=CONTENT)
            )
            assert outcome.settled, outcome

    await asyncio.gather(*(session() for _ in range(SESSIONS)))
    await upstream.close(grace=5)


async def aiosmtplibs(port: int, numbers: Iterator[int]) -> None:
    content = b"".join(CONTENT)  # it takes one piece; joined once, which is to its advantage

    async def session() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
        await client.connect()
        await client.ehlo()
        for number in numbers:
            await client.mail("news@example.org")
            await client.rcpt(f"reader{number}@example.net")
            reply = await client.data(content)
            assert reply.code == 250, reply
        client.close()

    await asyncio.gather(*(session() for _ in range(SESSIONS)))


async def measure(sender: Sender, port: int, messages: int) -> tuple[float, float]:
    """Messages a second, and microseconds of processor time for each; connecting is part of it."""
    begun, used = time.perf_counter(), time.process_time()
    await sender(port, iter(range(messages)))
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    return messages / seconds, processor / messages * 1e6


def compare(port: int, messages: int) -> None:
    runs: dict[str, Callable[..., tuple[float, float]]]
    runs = {"asyncio": asyncio.run, "uvloop": uvloop.run}  # type: ignore[dict-item]
    senders: dict[str, Sender] = {"candor": ours, "aiosmtplib": aiosmtplibs}
    for loop, run in runs.items():
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in senders}
        for _ in range(ROUNDS):
            for name, sender in senders.items():
                found[name].append(run(measure(sender, port, messages // ROUNDS)))
        for name, figures in found.items():
            rate = statistics.median(figure[0] for figure in figures)
            cost = statistics.median(figure[1] for figure in figures)
            print(f"  {loop:8} {name:10} {rate:6.0f} a second  {cost:5.0f} us of processor each")


def main(messages: int) -> None:
    print(f"{messages} messages of {sum(map(len, CONTENT))} octets, {SESSIONS} connections")
    offers = {"pipelined": b"250-sink\r\n250 PIPELINING\r\n", "one by one": b"250 sink\r\n"}
    for manner, extensions in offers.items():
        here, there = multiprocessing.Pipe()
        sink = multiprocessing.Process(target=run_sink, args=(there, extensions), daemon=True)
        sink.start()
        print(f"{manner}:")
        compare(here.recv(), messages)
        sink.terminate()
        sink.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
