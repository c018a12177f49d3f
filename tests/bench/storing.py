"""What the store costs: CPU microseconds of a message or a hit, step by step, with many callers at once.

The whole of the process counts: the callers' side, the writer and the database's own work. `record` and `settle` are
what a message costs while its client waits, `accept` and `finish` what one costs with `wait_for_upstream = "0s"`.

Usage: storing.py [--messages N] [--callers N] [--processes N] [--url URL] [--profile STEP]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import pstats
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from newsletter import newsletter

from relay.compiled import Compiled, Compiler
from relay.config import OverrideTable, QueueTable
from relay.outcome import Outcome, Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.replies import Reply
from relay.rewrite import Rules
from relay.settlement import Settlement
from relay.store.recipients import Recipients
from relay.store.spool import Waiting
from relay.submission import Client, Recipient, Submission
from tracker.config import Config, StoreTable, TokensTable
from tracker.consent import Decision, Mode
from tracker.domain import Domain
from tracker.events import Event, EventKind, Verdict, VerdictKind
from tracker.store import events

Step = Callable[[int], Awaitable[Any]]
_TRACKED = Decision(mode=Mode.IDENTIFIED, opens=True, clicks=True, reason="granted")
_REPLY = Reply(code=250, detail="0.0", text="2.0.0 Ok: queued as 4hGzXk2vQSz9q")


class Load:
    """Messages that are compiled already, each to one tracked recipient, and the steps of their store."""

    def __init__(self, domain: Domain, messages: int) -> None:
        self._domain = domain
        self._now = datetime.now(UTC)
        rules = Rules()
        compiler = Compiler(rules, domain.ring, {})
        self._queue = Queue(domain.database, QueueTable())
        self._settlement = Settlement(
            domain, self._queue, compiler, OverrideTable(), hostname="mx.example", clock=lambda: self._now
        )
        self._recipients = Recipients(domain)
        first = compiler.compile(self._submission(0))
        self._messages = [replace(first, submission=self._submission(n)) for n in range(messages)]
        self._addressed = [[self._to(one)] for one in self._messages]

    def _submission(self, number: int) -> Submission:
        return Submission(
            id=secrets.token_bytes(16),
            sender="news@shop.example",
            recipients=(Recipient(address=f"reader{number}@example.org"),),
            data=newsletter(f"reader {number}"),
            received_at=self._now,
            client=Client(address="127.0.0.1", helo="shop.example"),
        )

    def _to(self, message: Compiled) -> Addressed:
        [recipient] = message.submission.recipients
        return Addressed(
            delivery_id=secrets.token_bytes(16), position=0, recipient=recipient, normal=recipient.address,
            decision=_TRACKED,
        )  # fmt: skip

    def _outcomes(self, number: int) -> dict[bytes, Outcome]:
        outcome = Outcome(status=Status.ACCEPTED, reply=_REPLY, host="127.0.0.1:25", at=self._now)
        return {one.delivery_id: outcome for one in self._addressed[number]}

    async def ask(self, number: int) -> None:
        await self._recipients.ask({f"reader{number}@example.org"})

    async def record(self, number: int) -> None:
        assert await self._settlement.record(self._messages[number], self._addressed[number])

    async def settle(self, number: int) -> None:
        await self._settlement.settle(
            self._messages[number], self._addressed[number], self._outcomes(number), returned=False
        )

    def _waited(self, number: int) -> dict[bytes, Waiting]:
        [one] = self._addressed[number]
        waiting = Waiting(delivery_id=one.delivery_id, position=0, recipient=one.recipient, sent=one.decision)
        return {one.delivery_id: waiting}

    async def accept(self, number: int) -> None:
        await self._settlement.accept(self._messages[number], self._addressed[number], {}, mine=True)

    async def finish(self, number: int) -> None:
        await self._settlement.finish(
            self._messages[number].submission,
            self._addressed[number],
            self._outcomes(number),
            waited=self._waited(number),
        )

    async def pass_on(self, number: int) -> None:
        """Both, so that in each transaction some come and some go."""
        await self.accept(number)
        await self.finish(number)

    async def hit(self, number: int) -> None:
        [one] = self._addressed[number]
        event = Event(
            kind=EventKind.OPENED, at=self._now, message=self._messages[number].submission.id,
            delivery=one.delivery_id, verdict=Verdict(kind=VerdictKind.PERSON, rules=1),
        )  # fmt: skip
        await self._domain.database.write(events.recording(event))

    async def look_up(self, number: int) -> None:
        assert await self._domain.deliveries.sent(self._addressed[number][0].delivery_id) is not None


async def _measure(step: Step, number: int, callers: int) -> tuple[float, float]:
    """CPU and wall microseconds of one."""
    numbers = iter(range(number))

    async def call() -> None:
        for one in numbers:
            await step(one)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return (time.process_time() - cpu) / number * 1e6, (time.perf_counter() - wall) / number * 1e6


async def _open(url: str, keys: str) -> Domain:
    store = StoreTable(url=url, ask_within="20s", write_within="60s")
    return await Domain.open(Config(store=store, tokens=TokensTable(keys_file=keys)))


async def _run(
    url: str, keys: str, options: argparse.Namespace, together: Any = None
) -> list[tuple[str, float, float]]:
    domain = await _open(url, keys)
    found = []
    try:
        for names in (("ask", "record", "settle", "look_up", "hit"), ("accept", "finish"), ("pass_on",)):
            load = Load(domain, options.messages)
            for name in names:
                if together is not None:
                    await asyncio.to_thread(together.wait)
                profiler = cProfile.Profile()
                if name == options.profile:
                    profiler.enable()
                found.append((name, *await _measure(getattr(load, name), options.messages, options.callers)))
                if name == options.profile:
                    profiler.disable()
                    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
    finally:
        await domain.close()
    return found


async def _make(url: str, keys: str) -> None:
    domain = await _open(url, keys)
    await domain.close()


def _process(url: str, keys: str, options: argparse.Namespace, together: Any, results: Any) -> None:
    results.put(asyncio.run(_run(url, keys, options, together)))


def _beside(url: str, keys: str, options: argparse.Namespace) -> list[Sequence[tuple[str, float, float]]]:
    """The same in several processes at once on one store."""
    asyncio.run(_make(url, keys))
    context = multiprocessing.get_context("spawn")
    together, results = context.Barrier(options.processes), context.Queue()
    processes = [
        context.Process(target=_process, args=(url, keys, options, together, results))
        for _ in range(options.processes)
    ]
    for one in processes:
        one.start()
    found = [results.get(timeout=300) for _ in processes]
    for one in processes:
        one.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--callers", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--url", default="", help="of an empty store; without it a SQLite file of its own")
    parser.add_argument("--profile", default="", help="a step")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url, keys = options.url or f"sqlite:///{folder}/candor.db", f"{folder}/keys.toml"
        if options.processes > 1:
            found = _beside(url, keys, options)
        else:
            found = [asyncio.run(_run(url, keys, options))]
    print(f"{options.messages} messages, {options.callers} callers, {options.processes} processes")
    for steps in zip(*found, strict=True):
        cpu, wall = (" ".join(f"{one[place]:7.0f}" for one in steps) for place in (1, 2))
        print(f"  {steps[0][0]:10} {cpu} µs CPU   {wall} µs wall each")


if __name__ == "__main__":
    main()
