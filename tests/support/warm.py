"""The program `candor`, started from a Python that has imported it already.

Importing takes a second of processor time, and tests start the program some hundred times. So one Python a test process
imports it, and each start is a fork of that: arguments, environment, files and the way it ends are those of a start
of its own. What is loaded, and what a real start prints, is tested with real starts (`support.commands`).
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SERVER = """
import gc, json, os, sys
gc.disable()  # until all is imported, as the command itself does
import relay.cli.serve, tracker.cli.serve
from relay.cli import main
gc.enable()

def answered(request):
    if "poll" in request:
        pid, status = os.waitpid(request["poll"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None
    if pid := os.fork():
        return pid
    for fd, (name, flags) in enumerate(request["files"]):
        opened = os.open(name, flags, 0o666)
        os.dup2(opened, fd)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    sys.argv[:] = ["candor", *request["arguments"]]

while line := sys.stdin.buffer.readline():
    mine = os.getpid()
    answer = answered(json.loads(line))
    if os.getpid() != mine:
        break
    os.write(1, json.dumps(answer).encode() + b"\\n")
else:
    os._exit(0)
main()
"""


class _Server:
    """Forks, and buries what it forked, when it is told."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT
        )
        atexit.register(self._close)

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def _close(self) -> None:
        with self._process:  # whose end of the pipes is closed, and which is waited for
            pass


_ROOT = Path(__file__).parents[2]
_server: _Server | None = None


def _the_server() -> _Server:
    global _server
    if _server is None:
        _server = _Server()
    return _server


class WarmProcess:
    """What is needed of `subprocess.Popen`, of a program whose output goes to the end of a file."""

    def __init__(self, arguments: Sequence[str], *, folder: Path, log_file: Path) -> None:
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        files = [(os.devnull, os.O_RDONLY), (str(log_file), append), (str(log_file), append)]
        self._server = _the_server()
        self.pid: int = self._server.ask(
            arguments=list(arguments), folder=str(folder), files=files, environ=dict(os.environ)
        )
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, the number of a signal below 0; None while it runs."""
        if self._code is None:
            self._code = self._server.ask(poll=self.pid)
        return self._code

    def wait(self, timeout: float) -> int:
        ends_at = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() >= ends_at:
                raise subprocess.TimeoutExpired("candor", timeout)
            time.sleep(0.005)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
