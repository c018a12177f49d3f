"""Durable hits a second (pixel and click in turns, distinct tokens, consent asked), beside a bare aiohttp handler
that answers with the same bytes.

Both servers are processes of their own; the same client drives both, in turns, over kept connections.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tracker.config import Config, StoreTable, TokensTable
from tracker.consent import Consent, Decision, Mode
from tracker.domain import Domain
from tracker.statements import Statement
from tracker.store import deliveries
from tracker.store.register import Source
from tracker.tokens import Kind, Token, mailing_id, seal

ROUNDS, HITS, CONNECTIONS = 3, 6000, 50
TRACKED, BARE = 18080, 18081
_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def seed(folder: str, granted: bool) -> list[str]:
    """Paths of as many distinct hits as a round needs, for deliveries that are on record."""
    config = Config(
        store=StoreTable(url=f"sqlite:///{folder}/hits.db"),
        tokens=TokensTable(keys_file=f"{folder}/keys.toml"),
    )
    domain = await Domain.open(config)
    now = datetime.now(UTC) - timedelta(hours=1)
    name = "granted" if granted else "denied"
    people = [f"{name}{n}@example.org" for n in range(HITS // 2)]
    said = [Statement(address=one, consent=Consent(name)) for one in people]
    await domain.register.record(said, source=Source.IMPORT, actor="bench", now=now)
    decision = Decision(mode=Mode.IDENTIFIED, opens=True, clicks=True, reason="granted")
    mailing = deliveries.Mailing(
        id=mailing_id(name, domain.ring), kind="campaign", name=name, sender="a@b.example"
    )
    message = deliveries.Message(
        id=secrets.token_bytes(16), mailing=mailing, received_at=now, sender="a@b.example", from_header="", subject="",
        size=1, links=((1, "https://shop.example/item?from=news", ""),),
    )  # fmt: skip
    sent = [
        deliveries.Delivery(
            id=secrets.token_bytes(16), message_id=message.id, position=n, recipient=one, decision=decision,
            status="accepted",
        )
        for n, one in enumerate(people)
    ]  # fmt: skip
    tries = [
        deliveries.Attempt(
            delivery_id=one.id, at=now, status="accepted", host="", tls=None, code=250, enhanced="", text=""
        )
        for one in sent
    ]
    await domain.database.write(*deliveries.recording(message, sent, domain.ring), within=60)
    await domain.database.write(*deliveries.settling(tries), within=60)
    paths = []
    for one in sent:
        pixel = Token(kind=Kind.OPEN, mode=Mode.IDENTIFIED, subject=one.id, sent_at=now)
        click = Token(
            kind=Kind.CLICK, mode=Mode.IDENTIFIED, subject=one.id, sent_at=now, link=1,
            destination="https://shop.example/item?from=news",
        )  # fmt: skip
        paths += [f"/o/{seal(pixel, domain.ring)}.gif", f"/c/{seal(click, domain.ring)}"]
    await domain.close()
    return paths


async def connection(port: int, paths: list[str], waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in paths:
        begun = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: t.example\r\nUser-Agent: {_AGENT}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if length:
            await reader.readexactly(length)
        waits.append(time.perf_counter() - begun)
    writer.close()


async def drive(port: int, paths: list[str], waits: list[float]) -> float:
    """Hits a second."""
    begun = time.perf_counter()
    await asyncio.gather(*(connection(port, paths[n::CONNECTIONS], waits) for n in range(CONNECTIONS)))
    return len(paths) / (time.perf_counter() - begun)


async def ready(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit(f"nothing listens on {port}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = {"granted": await seed(folder, granted=True), "declined": await seed(folder, granted=False)}
        paths["bare aiohttp"] = paths["granted"]
        environment = {
            **os.environ,
            "CANDOR_TRACKER_LISTEN": f"127.0.0.1:{TRACKED}",
            "CANDOR_ADMIN_LISTEN": "",
            "CANDOR_STORE_URL": f"sqlite:///{folder}/hits.db",
            "CANDOR_TOKENS_KEYS_FILE": f"{folder}/keys.toml",
            "CANDOR_LOG_LEVEL": "error",
        }
        tracker = [sys.executable, "-c", "from tracker.cli.serve import tracker; tracker()"]
        bare = [sys.executable, str(Path(__file__).with_name("bare_hits.py")), str(BARE)]
        running = [subprocess.Popen(tracker, env=environment), subprocess.Popen(bare)]
        try:
            await ready(TRACKED)
            await ready(BARE)
            rates: dict[str, list[float]] = {name: [] for name in paths}
            waits: dict[str, list[float]] = {name: [] for name in paths}
            for turn in range(ROUNDS + 1):
                for name, those in paths.items():
                    if not turn:
                        waits[name].clear()
                    rate = await drive(BARE if name.startswith("bare") else TRACKED, those, waits[name])
                    if turn:
                        rates[name].append(rate)
            show({name: statistics.median(values) for name, values in rates.items()}, waits)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)


def show(rates: dict[str, float], waits: dict[str, list[float]]) -> None:
    print(f"{HITS} hits over {CONNECTIONS} kept connections, one process:")
    for name, rate in rates.items():
        p99 = statistics.quantiles(waits[name], n=100)[98] * 1000
        share = rate / rates["bare aiohttp"]
        print(f"  {name:14} {rate:8.0f} hits/s   {share:.2f} x bare aiohttp   p99 {p99:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
