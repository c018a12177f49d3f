"""The command `candor`, called in this process for its answer, or started as the program it is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
from click.testing import CliRunner
from support.tracking import configuration, opened

import relay
from relay.cli import main
from tracker.domain import Domain

T = TypeVar("T")
ROOT = Path(relay.__file__).parents[1]
COMMAND = (sys.executable, "-W", "error", "-c", "from relay.cli import main; main(prog_name='candor')")


@dataclass(frozen=True)
class Result:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, f"exit code {self.code}: {self.err}"
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The objects of a command that prints one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def call(*arguments: str | Path, input: str | None = None) -> Result:
    """Runs `candor ARGUMENTS…` in this process. An exception that is no exit is the test's failure."""
    try:
        result = CliRunner().invoke(main, [str(one) for one in arguments], input=input, prog_name="candor")
    finally:
        structlog.reset_defaults()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


@dataclass(frozen=True)
class Installation:
    """A store, a key ring and a configuration file that names them."""

    folder: Path
    store_url: str

    @property
    def config(self) -> Path:
        file = self.folder / "candor.toml"
        if not file.exists():
            file.write_text(
                f'[store]\nurl = "{self.store_url}"\nask_within = "20s"\nwrite_within = "30s"\n'
                f'[tokens]\nkeys_file = "{self.folder / "keys.toml"}"\n'
            )
        return file

    def call(self, *arguments: str | Path, input: str | None = None) -> Result:
        return call(*arguments, "--config", self.config, input=input)

    def prepare(self, work: Callable[[Domain], Awaitable[T]]) -> T:
        """Does the work on the installation's domain, opened for it alone."""

        async def doing() -> T:
            async with opened(configuration(self.store_url, self.folder)) as domain:
                return await work(domain)

        return asyncio.run(doing())


@contextmanager
def started(*arguments: str | Path, folder: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """`candor ARGUMENTS…` as a program of its own in `folder`, killed if it is still there afterwards."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp"), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run_program(*arguments: str | Path, folder: Path, **environ: str) -> Result:
    """The program, waited for."""
    (folder / "tmp").mkdir(exist_ok=True)
    with started(*arguments, folder=folder, **environ) as process:
        out, err = process.communicate(timeout=60)
        return Result(process.returncode, out, err)


def stop(process: subprocess.Popen[str]) -> Result:
    """SIGTERM, and what the program said until it ended."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err)
