"""What a running program is told from outside: to stop, to read its configuration again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Generic, TypeVar

from tracker import log
from tracker.config import Config
from tracker.errors import CandorError
from tracker.processes import Terminal, Ties
from tracker.reload import renewed

C = TypeVar("C", bound=Config)

_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Made first of all, inside the loop, so that no signal during the start is lost or ends the program."""

    def __init__(self, ties: Ties | None = None) -> None:
        self._stopped = asyncio.Event()
        self._reload = asyncio.Event()
        self._terminal = Terminal()
        self._loop = asyncio.get_running_loop()
        # Not the loop's own handlers: taking those away leaves a moment in which a signal kills.
        for number in _HEARD:
            signal.signal(number, self._heard)
        if ties is not None:
            self._loop.add_reader(ties.lifeline, self._parent_died, ties.lifeline)

    async def until_stopped(self, reload: Reloading[C]) -> None:
        """Returns at SIGTERM, SIGINT, or when the parent is gone; reads the configuration again at each SIGHUP."""
        reloading = asyncio.create_task(self._keep_reloading(reload))
        try:
            await self._stopped.wait()
        finally:
            reloading.cancel()
            await asyncio.gather(reloading, return_exceptions=True)
            _ignore_from_now_on()

    async def _keep_reloading(self, reload: Reloading[C]) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            reload.now()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        told = self._hang_up if number == signal.SIGHUP else self._stopped.set
        with suppress(RuntimeError):  # a loop that is closed has nothing left to stop
            self._loop.call_soon_threadsafe(told)

    def _hang_up(self) -> None:
        """SIGHUP is also what a terminal says when its window is closed."""
        if self._terminal.is_gone:
            self._stopped.set()
        else:
            self._reload.set()

    def _parent_died(self, lifeline: int) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        self._stopped.set()


def _ignore_from_now_on() -> None:
    """Told once is enough: the next signal would end the program in the middle of its orderly end, with the exit code
    of a failure."""
    for number in _HEARD:
        signal.signal(number, signal.SIG_IGN)


class Reloading(Generic[C]):
    """The configuration that holds, and how the next one takes its place."""

    def __init__(
        self,
        config: C,
        read: Callable[[], C],
        changes: Mapping[str, frozenset[str]],
        apply: Callable[[C], None],
        *,
        quiet: bool = False,
    ) -> None:
        """`read` gives the file as it is now; `apply` makes it hold. Both raise CandorError where it is wrong, `apply`
        before it has changed anything. `changes`: see `renewed`. `quiet`: a worker, whose parent says what changed."""
        self.config = config
        self._read = read
        self._changes = changes
        self._apply = apply
        self._quiet = quiet

    def now(self) -> bool:
        """True when the file's configuration holds now; else the log says what is wrong with it. Done in the loop: it
        is over before a thread would have started."""
        try:
            config, waiting = renewed(self.config, self._read(), self._changes)
            self._apply(config)
        except (CandorError, OSError, ValueError) as error:
            log.reload_refused(str(error))
            return False
        self.config = config
        if self._quiet:
            return True
        log.reloaded()
        for option in waiting:
            log.needs_restart(option)
        return True
