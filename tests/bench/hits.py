"""Durable hits a second (pixel and click in turns, distinct tokens, consent asked, verdict and client included) beside
a bare aiohttp handler that answers with the same bytes, and beside nginx where it is installed.

All servers are single processes, driven in turns by `wrk` over kept connections; the CPU time is the server's own.
With `--profile` the tracker runs under cProfile and says where the time goes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from processes import cpu

from tracker.config import Config, StoreTable, TokensTable
from tracker.consent import Consent, Decision, Mode
from tracker.domain import Domain
from tracker.statements import Statement
from tracker.store import deliveries
from tracker.store.register import Source
from tracker.tokens import Kind, Token, mailing_id, seal

HERE = Path(__file__).parent
CONNECTIONS = 50
TRACKED, BARE, NGINX = 18080, 18081, 18082
DESTINATION = "https://shop.example/item?from=news"
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
    "Accept-Encoding": "gzip, deflate, br",
}
NGINX_CONF = """
worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err; daemon off;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 302 {destination}; }} }}
}}
"""


@dataclass
class Measured:
    """One kind of hit, over all rounds."""

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Microseconds of the server's CPU for one hit."""
    hits: int = 0
    """So many paths were asked for: the next run goes on behind them, so that hardly any is asked for twice."""
    errors: int = 0

    def warmed_up(self) -> None:
        """What was measured so far does not count."""
        for one in (self.rates, self.p50, self.p99, self.cpu):
            one.clear()


async def seed(folder: str, people: int) -> dict[str, Path]:
    """Files with the paths of distinct hits: of people who agreed, and of people who declined."""
    config = Config(
        store=StoreTable(url=f"sqlite:///{folder}/hits.db"),
        tokens=TokensTable(keys_file=f"{folder}/keys.toml"),
    )
    domain = await Domain.open(config)
    files = {}
    for name, many in (
        ("granted", people),
        ("denied", people // 6),
    ):  # of these nothing is kept: any will do again
        paths = [path for start in range(0, many, 1000) for path in await _thousand(domain, name, start)]
        files[name] = Path(folder) / f"{name}.paths"
        files[name].write_text("\n".join(paths))
    await domain.close()
    return files


async def _thousand(domain: Domain, name: str, start: int) -> list[str]:
    """A message to a thousand people who all said that, an hour ago."""
    now = datetime.now(UTC) - timedelta(hours=1)
    people = [f"{name}{n}@example.org" for n in range(start, start + 1000)]
    said = [Statement(address=one, consent=Consent(name)) for one in people]
    await domain.register.record(said, source=Source.IMPORT, actor="bench", now=now)
    decision = Decision(mode=Mode.IDENTIFIED, opens=True, clicks=True, reason="granted")
    mailing = deliveries.Mailing(
        id=mailing_id(name, domain.ring), kind="campaign", name=name, sender="a@b.example"
    )
    message = deliveries.Message(
        id=secrets.token_bytes(16), mailing=mailing, received_at=now, sender="a@b.example", from_header="", subject="",
        size=1, links=((1, DESTINATION, ""),),
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
            kind=Kind.CLICK,
            mode=Mode.IDENTIFIED,
            subject=one.id,
            sent_at=now,
            link=1,
            destination=DESTINATION,
        )
        paths += [f"/o/{seal(pixel, domain.ring)}.gif", f"/c/{seal(click, domain.ring)}"]
    return paths


def drive(port: int, pid: int, paths: Path, seconds: int, into: Measured) -> None:
    """One run of wrk."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(HERE / "hits.lua")]
    for name, value in HEADERS.items():
        command += ["-H", f"{name}: {value}"]
    before = cpu(pid)
    told = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"],
        env={**os.environ, "BENCH_PATHS": str(paths), "BENCH_START": str(into.hits)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    hits = int(re.search(r"(\d+) requests in", told)[1])  # type: ignore[index]
    into.hits += hits
    into.cpu.append((cpu(pid) - before) / hits * 1e6)
    into.rates.append(float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]))  # type: ignore[index]
    into.p50.append(_milliseconds(told, "50%"))
    into.p99.append(_milliseconds(told, "99%"))
    for wrong in re.findall(r"(?:Non-2xx or 3xx responses: |connect |read |write |timeout )(\d+)", told):
        into.errors += int(wrong)


def _milliseconds(told: str, share: str) -> float:
    number, unit = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", told).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


@contextmanager
def server(command: list[str], port: int, **more: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, **more)  # type: ignore[call-overload]
    try:
        for _ in range(400):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Somebody else has the store, and keeps it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--people", type=int, default=30_000)
    options.add_argument(
        "--profile", metavar="FILE", help="run the tracker under cProfile and keep its report"
    )
    chosen = options.parse_args()
    if not shutil.which("wrk"):
        print("the tracker's benchmark needs wrk (Debian's package of that name): left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        bench(Path(folder), chosen)


def bench(folder: Path, chosen: argparse.Namespace) -> None:
    files = asyncio.run(seed(str(folder), chosen.people))
    environment = {
        **os.environ,
        "CANDOR_TRACKER_LISTEN": f"127.0.0.1:{TRACKED}",
        "CANDOR_TRACKER_JOURNAL": f"{folder}/journal",
        "CANDOR_ADMIN_LISTEN": "",
        "CANDOR_STORE_URL": f"sqlite:///{folder}/hits.db",
        "CANDOR_TOKENS_KEYS_FILE": f"{folder}/keys.toml",
        "CANDOR_LOG_LEVEL": "warning",
    }
    profiled = ["-m", "cProfile", "-o", chosen.profile] if chosen.profile else []
    program = folder / "tracker_program.py"
    program.write_text("from tracker.cli.serve import tracker\ntracker()\n")
    log = folder / "tracker.log"
    with ExitStack() as stack:
        said = stack.enter_context(log.open("w"))
        tracker = stack.enter_context(
            server([sys.executable, *profiled, str(program)], TRACKED, env=environment, stderr=said)
        )
        bare = stack.enter_context(server([sys.executable, str(HERE / "bare_hits.py"), str(BARE)], BARE))
        runs = {
            "bare aiohttp": (BARE, bare.pid, files["granted"]),
            "durable": (TRACKED, tracker.pid, files["granted"]),
            "declined": (TRACKED, tracker.pid, files["denied"]),
        }
        if shutil.which("nginx"):
            conf = folder / "nginx.conf"
            conf.write_text(NGINX_CONF.format(folder=folder, port=NGINX, destination=DESTINATION))
            command = ["nginx", "-p", str(folder), "-e", f"{folder}/nginx.err", "-c", str(conf)]
            runs["nginx return 302"] = (
                NGINX,
                stack.enter_context(server(command, NGINX)).pid,
                files["granted"],
            )
        measured = {name: Measured() for name in runs}
        for turn in range(chosen.rounds + 1):
            for name, run in runs.items():  # the first turn warms up
                drive(*run, chosen.seconds if turn else 1, measured[name])
                if not turn:
                    measured[name].warmed_up()
        log_before = log.read_text()
        away = measured["store away"] = Measured()
        with locked(folder / "hits.db"):
            for turn in range(chosen.rounds):
                drive(*runs["durable"], chosen.seconds if turn else 7, away)
                if not turn:
                    away.warmed_up()
                drive(*runs["bare aiohttp"], chosen.seconds, measured["bare aiohttp"])
    show(measured)
    print(late(log_before, log.read_text()))


def show(measured: dict[str, Measured]) -> None:
    print(f"{CONNECTIONS} kept connections, one process each; medians:")
    bare = measured["bare aiohttp"]
    for name, one in measured.items():
        rate, share = (
            statistics.median(one.rates),
            statistics.median(one.rates) / statistics.median(bare.rates),
        )
        by_cpu = statistics.median(bare.cpu) / statistics.median(one.cpu)
        print(
            f"  {name:17} {rate:8.0f} hits/s   {share:.2f} x bare (by CPU {by_cpu:.2f})   "
            f"p50 {statistics.median(one.p50):.1f} ms   p99 {statistics.median(one.p99):.1f} ms   "
            f"{statistics.median(one.cpu):.0f} µs CPU/hit" + (f"   {one.errors} errors" if one.errors else "")
        )


def late(healthy: str, at_the_end: str) -> str:
    """What the tracker said of answers that left before their commit: while all was well, and at the end."""
    told = [line for line in at_the_end.splitlines() if "hits-late-or-lost" in line]
    before = [line for line in healthy.splitlines() if "hits-late-or-lost" in line]
    return "\n".join([f"while the store was there: {before or 'none late or lost yet'}", *told])


if __name__ == "__main__":
    main()
