"""Candor as its users meet it: configured by a file, reached over sockets.

`site` writes the configuration; `running` starts relay, worker and tracker on the test's own loop, `Program` the
command itself in a process of its own, which can be killed and started again. Both listen where the site says.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from support.commands import call
from support.warm import WarmProcess

from relay.config import load
from relay.service import Relay
from tracker.cli.serve import Faces
from tracker.domain import Domain

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
_CANDOR = (sys.executable, "-c", "from relay.cli import main; main()")
_PATIENCE = 120.0
_PORTS = 3_000
_FIRST_PORT = 20_000 + _PORTS * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4)
_START = secrets.randbelow(_PORTS)
_TURNS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where one Candor keeps its things and listens."""

    folder: Path
    config_file: Path
    smtp_port: int
    web_port: int

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"


def site(folder: Path, store_url: str, upstream_url: str, **tables: dict[str, Any]) -> Site:
    """A configuration for tests, in which a busy machine reaches no limit; `tables` are put over it."""
    folder.mkdir(parents=True, exist_ok=True)
    smtp, web = free_port(), free_port()
    document: dict[str, dict[str, Any]] = {
        "relay": {"listen": f"127.0.0.1:{smtp}", "hostname": "relay.example"},
        "tracker": {
            "listen": f"127.0.0.1:{web}",
            "public_url": f"http://127.0.0.1:{web}",
            "answer_within": "20s",
            "journal": str(folder / "journal"),
        },
        "admin": {"listen": ""},
        "upstream": {"url": upstream_url},
        "store": {"url": store_url, "ask_within": "20s", "write_within": "30s"},
        "tokens": {"keys_file": str(folder / "keys.toml")},
        "log": {"format": "json"},
    }
    for name, table in tables.items():
        document[name] = document.get(name, {}) | table
    config_file = folder / "candor.toml"
    config_file.write_text("".join(_table(name, table) for name, table in document.items()))
    return Site(folder=folder, config_file=config_file, smtp_port=smtp, web_port=web)


def _table(name: str, table: dict[str, Any]) -> str:
    lines = [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n\n"


def _value(value: Any) -> str:
    """JSON's spelling is TOML's too, but for inline tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def free_port() -> int:
    """A port nobody listens on, outside the range from which clients get theirs. Tests that run beside each other
    draw from shares of their own, in turn, so that no port is given twice before all were; where a share begins is
    by chance (hypothesis does not seed this dice), since another run may be about."""
    while True:
        port = _FIRST_PORT + (_START + next(_TURNS)) % _PORTS
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@asynccontextmanager
async def running(where: Site) -> AsyncIterator[Domain]:
    """Relay, worker and tracker on this loop; gives the domain they work with."""
    config = load(where.config_file)
    domain = await Domain.open(config)
    faces, relay = Faces(domain), Relay(config, domain)
    try:
        await faces.start()
        await relay.start()
        yield domain
    finally:
        await relay.stop()
        await faces.stop()
        await domain.close()


@asynccontextmanager
async def domain_of(where: Site) -> AsyncIterator[Domain]:
    """The same store and key ring, opened by the test beside the program; patient, however impatient that is."""
    config = load(where.config_file)
    store = config.store.model_copy(update={"ask_within": 20.0, "write_within": 30.0})
    domain = await Domain.open(config.model_copy(update={"store": store}))
    try:
        yield domain
    finally:
        await domain.close()


async def command(where: Site, *arguments: str) -> str:
    """What `candor …` prints; it must succeed. Called in this process, beside the test's loop: to start a Python for
    each takes longer than what it does."""
    done = await asyncio.to_thread(call, *arguments, "--config", where.config_file)
    assert done.code == 0, done.err
    return done.out


class Program:
    """`candor up` (or another of its programs, options and all) as a process. Stopped, if need be killed, when it is left."""

    def __init__(
        self, where: Site, program: str = "up", *, name: str = "candor", within: Sequence[str] = ()
    ) -> None:
        """`within`: a command that runs it, in a place of its own."""
        self.site = where
        self._within = within
        self._program = program
        self._log_file = where.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | WarmProcess | None = None

    @property
    def log(self) -> str:
        """All it has written so far, over all its lives."""
        return self._log_file.read_text() if self._log_file.exists() else ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_PATIENCE)
            self._process = None

    async def start(self) -> None:
        """Until it listens."""
        arguments = [*self._program.split(), "--config", str(self.site.config_file)]
        if self._within:
            with self._log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    [*self._within, *_CANDOR, *arguments],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        else:
            self._process = WarmProcess(arguments, folder=ROOT, log_file=self._log_file)
        port = self.site.web_port if self._program.startswith("tracker") else self.site.smtp_port
        await until(lambda: self._is_listening(port), "the program listens")

    def _is_listening(self, port: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_PATIENCE)
        self._process = None

    async def ended(self) -> int:
        """Waits until it ends by itself; gives the exit code."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, _PATIENCE)

    async def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(process.wait, _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_PATIENCE)
            raise


async def until(
    condition: Callable[[], T | Awaitable[T]], what: str = "it happens", *, patience: float = _PATIENCE
) -> T:
    """Asks again and again until `condition` gives something true, and gives that."""
    ends_at = time.monotonic() + patience
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        assert time.monotonic() < ends_at, f"waited in vain until {what}"
        await asyncio.sleep(0.02)
