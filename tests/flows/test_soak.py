"""A long day: two workers, an upstream that fails one time in five, workers killed at random, and every message
accounted for at the end. And a queue so long that it would not fit into memory, in bounded memory.

Small here, as part of `make test`; `make soak` runs the same at full size and prints what happened:
`CANDOR_SOAK_MESSAGES` (20000), `CANDOR_SOAK_KILLS`, `CANDOR_SOAK_WAITING` (100000), and `CANDOR_SOAK_SEED` repeats a
run.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, select
from support.load import Log, load_these
from support.people import GRANTED, UNKNOWN, assert_names_nobody, tell
from support.sites import Program, Site, domain_of, site, until
from support.trouble import BadUpstream
from support.upstream import ScriptedUpstream
from support.waiting import nothing_waits

from relay.config import load as load_config
from relay.queue import Queue
from relay.store.schema import queue
from relay.store.spool import Waiting
from relay.submission import Client, Recipient, Submission
from tracker.consent import Consent
from tracker.domain import Domain
from tracker.store.schema import deliveries

MESSAGES = int(os.environ.get("CANDOR_SOAK_MESSAGES", "200"))
KILLS = int(os.environ.get("CANDOR_SOAK_KILLS", "2"))
WAITING = int(os.environ.get("CANDOR_SOAK_WAITING", "1500"))
SEED = int(os.environ.get("CANDOR_SOAK_SEED", "20261122"))
SESSIONS = 16
AT_ONCE = 10
WORKERS = 2
PEOPLE = (GRANTED, UNKNOWN, "ben@people.example", "cat@other.example", "nobody@gone.example")
HOURS = 3600.0


@pytest.mark.parametrize(
    ("store_kind", "wait"), [("sqlite", "0s"), ("sqlite", "20s")], indirect=["store_kind"]
)
async def test_every_message_of_a_bad_day_is_accounted_for(store_url: str, tmp_path: Path, wait: str) -> None:
    day, log = Day(tmp_path), Log()
    async with BadUpstream(one_in=5, seed=SEED) as upstream:
        where = site(
            tmp_path,
            store_url,
            upstream.url,
            relay={"wait_for_upstream": wait},
            queue={"first_retry": "500ms", "longest_retry": "5s", "at_once": AT_ONCE},
        )
        async with Program(where, f"relay --workers {WORKERS}") as program, domain_of(where) as domain:
            await tell(domain, GRANTED, Consent.GRANTED)
            async with day.watched(program):
                await _send_all(program, log, day)
                await until(lambda: nothing_waits(domain), "the queue is empty", patience=HOURS)
            assert await program.stop() == 0
            bounced = await _count(domain, deliveries, deliveries.c.status == "bounced")
        print(_summary(wait, log, upstream, day, bounced))
        accounted = set(upstream.copies) | set(upstream.reports)
        assert not log.acknowledged - accounted, f"acknowledged, but missing (seed {SEED})"
        # Who waits for upstream hears of the missing mailbox, and keeps the mail.
        assert set(log.codes.values()) <= ({250} if wait == "0s" else {250, 550})
        assert len(log.acknowledged) >= MESSAGES * 0.7
        # Once more each: what upstream took and could not say, what was under way at a kill, what the client sent
        # again because it had heard nothing.
        again = sum(number - 1 for number in upstream.copies.values())
        explained = upstream.failures["reply lost"] + upstream.failures["nobody listens"] * WORKERS * AT_ONCE
        at_kills = day.kills * (AT_ONCE + SESSIONS)
        assert again <= explained + at_kills + day.not_heard, f"seed {SEED}"
        assert max(upstream.reports.values(), default=1) <= 1 + day.kills
    assert "Traceback" not in program.log
    assert_names_nobody(program.log)
    assert day.peak <= 300_000, "kilobytes"


async def _send_all(program: Program, log: Log, day: Day) -> None:
    """Clients send, and send again what was put off, until all was heard of; meanwhile workers are killed."""
    chance = random.Random(SEED)
    moments = sorted(chance.randrange(MESSAGES // 20, MESSAGES * 9 // 10) for _ in range(KILLS))
    sending = asyncio.create_task(_persist(program.site.smtp_port, log, day))
    killed: set[int] = set()
    try:
        for moment in moments:
            await until(
                lambda at=moment: len(log.codes) >= at or sending.done(), "so many went", patience=HOURS
            )
            await asyncio.sleep(chance.random() / 20)
            alive = await until(
                lambda: [one for one in workers_of(program.pid) if one not in killed],
                "one works",
                patience=HOURS,
            )
            killed.add(victim := chance.choice(alive))
            os.kill(victim, signal.SIGKILL)
        await sending
    finally:
        log.closed = True
        sending.cancel()
        day.kills = len(killed)
        day.workers |= killed


async def _persist(port: int, log: Log, day: Day) -> None:
    """As mail systems do: what was put off, and what nothing was heard of, goes again."""
    left = [f"soak-{number}" for number in range(MESSAGES)]
    while left:
        await load_these(port, log, left, sessions=SESSIONS, recipients=PEOPLE)
        left = [number for number in left if (log.codes[number] or 400) // 100 == 4]
        day.sent_again += len(left)
        day.not_heard += len(log.unheard)
        await asyncio.sleep(0.5)


@dataclass
class Day:
    """What is noted from outside while the program runs."""

    folder: Path
    kills: int = 0
    sent_again: int = 0
    """How often a client sent a message again."""
    not_heard: int = 0
    """How often because it had heard nothing of the first."""
    peak: int = 0
    """Kilobytes of the largest worker."""
    seconds: float = 0.0
    workers: set[int] = field(default_factory=set)

    @asynccontextmanager
    async def watched(self, program: Program) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                for pid in workers_of(program.pid):
                    self.workers.add(pid)
                    self.peak = max(self.peak, peak_of(pid))
                await asyncio.sleep(0.2)

        began, watching = time.monotonic(), asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self.seconds = time.monotonic() - began


def _summary(wait: str, log: Log, upstream: BadUpstream, day: Day, bounced: int) -> str:
    heard: dict[Any, int] = {}
    for code in log.codes.values():
        heard[code] = heard.get(code, 0) + 1
    again = sum(number - 1 for number in upstream.copies.values())
    failures = ", ".join(f"{name} {number}" for name, number in sorted(upstream.failures.items()))
    both = set(upstream.copies) | set(upstream.reports)
    lines = (
        f"soak, wait_for_upstream = {wait}, seed {SEED}: {day.seconds:.0f} s",
        f"  clients: {MESSAGES} messages, heard {heard}; sent again {day.sent_again} times,"
        f" {day.not_heard} of them because the connection was cut",
        f"  upstream: {upstream.transactions} transactions; {failures}",
        f"  acknowledged {len(log.acknowledged)} = delivered {len(log.acknowledged & set(upstream.copies))}"
        f" + bounced with a report {len(log.acknowledged & (set(upstream.reports) - set(upstream.copies)))}"
        f" + missing {len(log.acknowledged - both)}",
        f"  copies more than one: {again}; workers killed: {day.kills} (of {len(day.workers)} in all);"
        f" bounced on record: {bounced}",
        f"  largest worker: {day.peak / 1000:.0f} MB",
    )
    return "\n".join(lines)


# --- a long queue ---


async def test_a_long_queue_is_served_in_bounded_memory(tmp_path: Path) -> None:
    """What waits is several times as much as a worker is allowed to grow by."""
    size = 2_000 if WAITING >= 50_000 else 40_000
    peaks = []
    for number, waiting in enumerate((AT_ONCE * 2, WAITING)):
        async with ScriptedUpstream() as upstream:
            upstream.take = lambda received: None  # type: ignore[method-assign]
            upstream.hear = lambda command: None  # type: ignore[method-assign]
            folder = tmp_path / str(number)
            folder.mkdir()
            where = site(
                folder, f"sqlite:///{folder / 'candor.db'}", upstream.url, queue={"at_once": AT_ONCE}
            )
            await _fill(where, waiting, size)
            peaks.append(await _peak_while_serving(where, min(waiting, 2_000)))
    growth = (peaks[1] - peaks[0]) / 1000
    print(
        f"\n{WAITING} messages of {size} octets wait: {peaks[1] / 1000:.0f} MB, {growth:.0f} MB more than with few"
    )
    assert growth <= 25 < WAITING * size / 1_000_000


async def _fill(where: Site, messages: int, size: int) -> None:
    """So many messages, as a relay leaves them that went away."""
    config = load_config(where.config_file)
    body = (b"x" * 70 + b"\r\n") * (size // 72)
    async with domain_of(where) as domain:
        holder = Queue(domain.database, config.queue)
        for start in range(0, messages, 500):
            await asyncio.gather(
                *(_keep(domain, holder, number, body) for number in range(start, min(start + 500, messages)))
            )


async def _keep(domain: Domain, holder: Queue, number: int, body: bytes) -> None:
    recipient = Recipient(address=f"p{number}@d{number % 50}.example")
    submission = Submission(
        id=secrets.token_bytes(16),
        sender="news@shop.example",
        recipients=(recipient,),
        data=b"Subject: %d\r\n\r\n" % number + body,
        received_at=datetime.now(UTC),
        client=Client(address="127.0.0.1"),
    )
    waiting = Waiting(delivery_id=secrets.token_bytes(16), position=0, recipient=recipient)
    await domain.database.write(*holder.keeping(submission, [waiting], mine=False, tried=False), within=HOURS)


async def _peak_while_serving(where: Site, served: int) -> int:
    """Kilobytes of the program at its largest, while it sends that many of what waits."""
    async with domain_of(where) as domain:
        before = await _count(domain, queue)
        async with Program(where, "relay") as program:

            async def enough() -> bool:
                return before - await _count(domain, queue) >= served

            await until(enough, "so many were sent", patience=HOURS)
            return peak_of(program.pid)


async def _count(domain: Domain, table: Table, *where: Any) -> int:
    return await domain.database.read(
        lambda connection: connection.execute(
            select(func.count()).select_from(table).where(*where)
        ).scalar_one()
    )


def workers_of(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def peak_of(pid: int) -> int:
    """Kilobytes of memory a process has had at most; 0 when it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
