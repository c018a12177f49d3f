"""Several processes that share their ports: a parent that starts them, starts the fallen again, passes signals on and
ends when they have ended.

The parent runs no loop, makes no thread and opens no store, so that forking it is safe at any time. What is to be done
once for all (tables, the key file) is done by a process that ends before the workers start. A worker whose parent has
died reads the end of its lifeline and stops in good order, so that nobody answers on the port unattended.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tracker import log

MOST_WORKERS = 64
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a fallen worker is started again: doubled each time, forgotten after a minute of good work."""
LAST_PATIENCE = 60.0
"""Seconds that workers have to stop after SIGTERM; well above what each allows itself."""

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_HEARD = (*_STOP, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What ties a worker to its parent."""

    number: int
    """From 0; a worker started in a fallen one's place has its number."""
    lifeline: int
    """A file descriptor that becomes readable when the parent is gone."""
    ready: Callable[[], None]
    """To be called when the worker serves."""


Work = Callable[[Ties], int]
"""A worker's whole life; gives its exit code."""


@dataclass(slots=True)
class _Worker:
    number: int
    pid: int | None = None
    is_ready: bool = False
    started_at: float = 0.0
    pause: float = 0.0
    start_at: float = 0.0


class Parent:
    """`run()` gives the exit code: 0 when it was told to stop and all workers did."""

    def __init__(
        self,
        work: Work,
        *,
        workers: int,
        prepare: Callable[[], int],
        reload: Callable[[], bool],
        ended: Callable[[int], None] = lambda number: None,
    ) -> None:
        """`prepare` is run once, in a process of its own, before the first worker; what is not 0 ends everything.
        `reload` is run here at SIGHUP: is the new configuration right? Only then do the workers hear of it. `ended`
        is told the number of each worker that has ended, however it did."""
        self._work = work
        self._prepare = prepare
        self._reload = reload
        self._ended = ended
        self._all = [_Worker(number=number) for number in range(workers)]
        self._stopping_until: float | None = None
        self._served = False
        self._terminal = Terminal()
        self._failed = 0
        self._woken, self._wake = os.pipe()
        self._ready_read, self._ready_write = os.pipe()
        self._lifeline, self._lifeline_end = os.pipe()

    def run(self) -> int:
        for end in (self._woken, self._wake, self._ready_read):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in _HEARD:
            signal.signal(number, lambda *_: None)
        if code := self._prepared():
            return code
        while True:
            self._start_due()
            if self._stopping_until is not None and not any(one.pid for one in self._all):
                for number in (*_STOP, signal.SIGHUP):  # told once more while it ends, it ends all the same
                    signal.signal(number, signal.SIG_IGN)
                return self._failed
            select.select([self._woken, self._ready_read], [], [], self._until_next())
            self._note_ready()
            self._hear(_read_all(self._woken))
            self._kill_the_deaf()

    # --- signals ---

    def _hear(self, numbers: bytes) -> None:
        self._bury()
        hung_up = signal.SIGHUP in numbers and self._terminal.is_gone
        if hung_up or _STOP.intersection(numbers):
            self._stop()
        if signal.SIGHUP in numbers and self._stopping_until is None and self._reload():
            self._tell(signal.SIGHUP)

    def _stop(self) -> None:
        if self._stopping_until is None:
            self._stopping_until = time.monotonic() + LAST_PATIENCE
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for one in self._all:
            if one.pid is not None:
                os.kill(one.pid, number)

    def _kill_the_deaf(self) -> None:
        if self._stopping_until is not None and time.monotonic() >= self._stopping_until:
            self._failed = 1
            self._tell(signal.SIGKILL)
            self._stopping_until = time.monotonic() + LAST_PATIENCE

    # --- workers ---

    def _prepared(self) -> int:
        pid = self._fork(lambda _: self._prepare(), 0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _start_due(self) -> None:
        now = time.monotonic()
        for one in self._all if self._stopping_until is None else ():
            if one.pid is None and one.start_at <= now:
                one.started_at, one.is_ready = now, False
                one.pid = self._fork(self._work, one.number)

    def _until_next(self) -> float | None:
        now = time.monotonic()
        if self._stopping_until is not None:
            return max(0.0, self._stopping_until - now)
        waits = [one.start_at - now for one in self._all if one.pid is None]
        return max(0.0, min(waits)) if waits else None

    def _note_ready(self) -> None:
        for number in _read_all(self._ready_read):
            self._all[number].is_ready = self._served = True
            if all(one.is_ready for one in self._all):
                log.workers_serve(len(self._all))

    def _bury(self) -> None:
        """Learns who has ended. A worker that fell is started again, sooner or later; when nobody has ever served,
        another start would end as this one did."""
        for one in self._all:
            if one.pid is None or (ended := os.waitpid(one.pid, os.WNOHANG))[0] == 0:
                continue
            one.pid, code = None, os.waitstatus_to_exitcode(ended[1])
            self._ended(one.number)
            self._note_ready()
            if self._stopping_until is not None:
                # One that was still starting had nothing to bring to an end.
                starting = not one.is_ready and -code in _STOP
                self._failed = self._failed or int(code != 0 and not starting)
            elif not self._served:
                log.workers_given_up(number=one.number, ended=_words(code))
                self._failed = code if code > 0 else 1
                self._stop()
            else:
                self._put_off(one, code)

    def _put_off(self, one: _Worker, code: int) -> None:
        now = time.monotonic()
        worked = one.is_ready and now - one.started_at >= LONGEST_PAUSE
        one.pause = FIRST_PAUSE if worked or not one.pause else min(one.pause * 2, LONGEST_PAUSE)
        one.start_at = now + one.pause
        log.worker_fell(number=one.number, ended=_words(code), again_in=one.pause)

    def _fork(self, work: Work, number: int) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal before the child has its own handlers would be taken for the parent's, and be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for heard in _HEARD:
                signal.signal(heard, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            for end in (self._woken, self._wake, self._ready_read, self._lifeline_end):
                os.close(end)
            if work is self._work:
                keep_to_one_processor(number, workers=len(self._all))
            code = work(Ties(number=number, lifeline=self._lifeline, ready=lambda: self._say_ready(number)))
        except BaseException:  # noqa: BLE001 - nothing may climb up into the parent's code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _say_ready(self, number: int) -> None:
        os.write(self._ready_write, bytes([number]))


def keep_to_one_processor(number: int, *, workers: int) -> None:
    """Where there are as many workers as processors, each stays on its own, with all its threads: of those only one
    runs at a time, and to go on where the last one ran costs a tenth less. Fewer may use all there are."""
    if sys.platform == "linux":
        processors = sorted(os.sched_getaffinity(0))
        if 1 < len(processors) <= workers:
            with suppress(OSError):  # it only goes a little slower
                os.sched_setaffinity(0, {processors[number % len(processors)]})


class Terminal:
    """The one the program was started on, if any. SIGHUP is also what it says when its window is closed."""

    def __init__(self) -> None:
        self._was_there = sys.stdin is not None and sys.stdin.isatty()

    @property
    def is_gone(self) -> bool:
        if not self._was_there:
            return False
        try:
            os.tcgetpgrp(sys.stdin.fileno())
        except (OSError, ValueError):
            return True
        return False


def _read_all(end: int) -> bytes:
    try:
        return os.read(end, 4096)
    except BlockingIOError:
        return b""


def _words(code: int) -> str:
    """How a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
