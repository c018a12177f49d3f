"""Messages a second through Candor, every recipient tracked, beside Postfix as a null relay.

The same load (20 sessions, every message of its own) goes through each of them to the same kind of sink, in turns;
a round ends when the sink has the last message. Without Postfix a bare proxy on Candor's own libraries stands in:
aiosmtpd in, aiosmtplib out, no consent, no rewriting, no record, no queue.

Usage: relaying.py [--messages N] [--rounds N] [--workers N] [--only NAME,…] [--profile]
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import postfix
import processes
import profiling
from newsletter import LINKS, newsletter

SESSIONS = 20
BENCH = Path(__file__).parent
PATTERNS = {"kept": "kept connections", "new": "a connection for each"}
LATEST = 120.0
"""Seconds after which a round is given up."""


@dataclass
class Sink:
    """Takes everything, and counts."""

    port: int
    process: subprocess.Popen[bytes]
    counts: Path

    def count(self) -> int:
        found = re.findall(rb"mesg=(\d+)", self.counts.read_bytes()[-200:])
        return int(found[-1]) if found else 0


@dataclass
class Contender:
    name: str
    port: int
    pid: int
    sink: Sink
    stop: Callable[[], None]
    rates: dict[str, list[float]] = field(default_factory=lambda: {pattern: [] for pattern in PATTERNS})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {pattern: [] for pattern in PATTERNS})
    memory: float = 0.0


def main() -> None:
    options = _options()
    if options.profile:
        with tempfile.TemporaryDirectory() as folder:
            _profile(Path(folder), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # Postfix's own users must get in
        contenders: list[Contender] = []
        try:
            for start in _starters(Path(folder), options):
                contenders.append(start())
            for turn in range(options.rounds + 1):  # the first warms up
                for pattern in PATTERNS:
                    for one in contenders:
                        _round(one, pattern, turn * options.messages, options.messages, counts=turn > 0)
        finally:
            for one in contenders:
                one.stop()
                one.sink.process.terminate()
                one.sink.process.wait(10)
        _show(contenders, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1000, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--profile", action="store_true", help="where one worker's time goes")
    return parser.parse_args()


def _starters(folder: Path, options: argparse.Namespace) -> list[Callable[[], Contender]]:
    """How to start each of those to be measured."""
    lacking = postfix.missing()
    found: dict[str, Callable[[], Contender]] = {}
    if lacking is None:
        found["postfix"] = lambda: _postfix("Postfix, stock", folder / "stock", postfix.STOCK)
        found["tuned"] = lambda: _postfix("Postfix, tuned", folder / "tuned", postfix.TUNED)
    else:
        print(f"{lacking}: a bare proxy stands in for it")
        found["proxy"] = lambda: _proxy(folder)
    found["wait"] = lambda: _candor('Candor, wait "20s"', folder / "wait", "20s", options.workers)
    found["store"] = lambda: _candor('Candor, wait "0s"', folder / "store", "0s", options.workers)
    wanted = options.only.split(",") if options.only else list(found)
    return [found[name] for name in wanted]


def _postfix(name: str, folder: Path, settings: dict[str, str]) -> Contender:
    sink, port = _sink(folder), free_port()
    instance = postfix.Postfix(folder, port, sink.port, settings)
    return Contender(name, port, instance.pid, sink, instance.stop)


def _proxy(folder: Path) -> Contender:
    sink, port = _sink(folder / "proxy"), free_port()
    process = subprocess.Popen([sys.executable, str(BENCH / "smtp_proxy.py"), str(port), str(sink.port)])
    return Contender("bare proxy", port, process.pid, sink, _stopping(process))


def _candor(name: str, folder: Path, wait: str, workers: int) -> Contender:
    sink, port = _sink(folder), free_port()
    # With one worker the program is the worker; the option may be absent then.
    command = ["relay", *(("--workers", str(workers)) if workers > 1 else ())]
    process = subprocess.Popen(
        [sys.executable, "-c", f"from relay.cli import main; main({command!r})"],
        env=environment(folder, port, sink.port, wait),
    )
    return Contender(name, port, process.pid, sink, _stopping(process))


def environment(folder: Path, port: int, upstream: int, wait: str) -> dict[str, str]:
    return {
        **os.environ,
        "CANDOR_RELAY_LISTEN": f"127.0.0.1:{port}",
        "CANDOR_RELAY_WAIT_FOR_UPSTREAM": wait,
        "CANDOR_UPSTREAM_URL": f"smtp://127.0.0.1:{upstream}",
        "CANDOR_STORE_URL": f"sqlite:///{folder}/candor.db",
        "CANDOR_TOKENS_KEYS_FILE": f"{folder}/keys.toml",
        "CANDOR_LOG_LEVEL": "error",
    }


def _stopping(process: subprocess.Popen[bytes]) -> Callable[[], None]:
    def stop() -> None:
        process.terminate()
        process.wait(60)

    return stop


def _sink(folder: Path) -> Sink:
    """Postfix's smtp-sink where there is one, else our own."""
    folder.mkdir(parents=True, exist_ok=True)
    port, counts = free_port(), folder.parent / f"{folder.name}.counts"
    program = postfix.tool("smtp-sink")
    command = [sys.executable, str(BENCH / "smtp_sink.py"), str(port)]
    if program:
        as_whom = ("-u", "nobody") if os.geteuid() == 0 else ()
        command = [program, *as_whom, "-c", "-h", "sink.example", f"127.0.0.1:{port}", "1024"]
    with counts.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    _wait_for(port)
    return Sink(port, process, counts)


def _round(one: Contender, pattern: str, begin: int, messages: int, *, counts: bool) -> None:
    """Sends one load through; the time runs until the sink has the last message."""
    _wait_for(one.port)
    before, used = one.sink.count(), processes.cpu(one.pid)
    started = time.perf_counter()
    load = subprocess.Popen(
        [sys.executable, str(BENCH / "load.py"), *map(str, (one.port, messages, SESSIONS, begin)), pattern]
    )
    begun = started
    while one.sink.count() < before + messages:
        if one.sink.count() == before:
            begun = time.perf_counter()  # the load's own start is not the relay's time
        time.sleep(0.01)
        if load.poll() or time.perf_counter() - started > LATEST:
            raise SystemExit(f"{one.name}: {one.sink.count() - before} of {messages} messages arrived")
    taken = time.perf_counter() - begun
    if load.wait(30):
        raise SystemExit(f"{one.name}: the load failed")
    if counts:
        one.rates[pattern].append(messages / taken)
        one.cpu[pattern].append((processes.cpu(one.pid) - used) / messages * 1000)
    one.memory = max(one.memory, processes.memory(one.pid))


def _show(contenders: list[Contender], options: argparse.Namespace) -> None:
    size = len(newsletter("x")) / 1024
    print(
        f"{options.messages} messages of {size:.0f} KB with {LINKS} links a round, {options.rounds} rounds, "
        f"{SESSIONS} sessions, {os.cpu_count()} cores, {options.workers} workers; Candor tracks every recipient"
    )
    for pattern, words in PATTERNS.items():
        print(f"\n{words:28} messages/s   ratio   CPU ms/message   memory MB")
        base = statistics.median(contenders[0].rates[pattern])
        for one in contenders:
            rate = statistics.median(one.rates[pattern])
            cpu = statistics.median(one.cpu[pattern])
            print(f"  {one.name:26} {rate:10.0f}   {rate / base:5.2f}   {cpu:14.2f}   {one.memory:9.0f}")


def _profile(folder: Path, options: argparse.Namespace) -> None:
    """One worker under the profiler, in each mode."""
    for wait in ("20s", "0s"):
        sink, port = _sink(folder / wait), free_port()
        report = folder / f"{wait}.profile"
        process = subprocess.Popen(
            [sys.executable, str(BENCH / "profiling.py"), str(report)],
            env=environment(folder / wait, port, sink.port, wait),
        )
        one = Contender(wait, port, process.pid, sink, _stopping(process))
        for turn in range(2):
            _round(one, "kept", turn * options.messages, options.messages, counts=False)
        one.stop()
        sink.process.terminate()
        print(f'\nwait_for_upstream = "{wait}", {2 * options.messages} messages:')
        profiling.show(report)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on {port}")


if __name__ == "__main__":
    main()
