"""Is our tracking host healthy? Asked again and again; when it has failed for longer than `[probe] grace`, mail goes
out without pixel and wrapped links, until it is well again. A link that leads nowhere is worse than one that counts for
nothing.

What a probe finds stands in the store, and whoever finds it fresh there does not ask again: nodes agree, and a node
whose own network is at fault changes nothing as long as others get through.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from relay import log
from relay.config import Config, ProbeTable
from relay.examination import Way, examine
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.store.hosts import Examined, TrackingHost, note, tracking_hosts_of
from tracker.store.jobs import database_time
from tracker.tokens import KeyRing

T = TypeVar("T")
_FIRST_LOOK = 20.0
"""Seconds after the start: a tracker that starts with us needs a moment."""
_FRESH = 0.8
_SAY_AGAIN = timedelta(minutes=10)
_SOON_OUT = timedelta(days=14)


class Probe:
    """`await start()`, `await stop()`; `is_up(url)` at each message."""

    def __init__(
        self,
        config: Config,
        domain: Domain,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        first_look: float = _FIRST_LOOK,
    ) -> None:
        self._domain = domain
        self._clock = clock
        self._first_look = first_look
        self._known: dict[str, TrackingHost] = {}
        self._said: dict[str, datetime] = {}
        self._warned: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        self._table: ProbeTable = config.probe
        self._urls = config.tracker.urls

    def is_up(self, url: str) -> bool:
        """False when links to it are better left alone."""
        known = self._known.get(url)
        if known is None or known.failing_since is None or not self._table.every:
            return True
        return (self._clock() - known.failing_since).total_seconds() < self._table.grace

    async def start(self) -> None:
        """What was found before holds from the first message on."""
        try:
            self._known = await self._domain.database.read(tracking_hosts_of)
        except StoreError:
            self._known = {}
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Looks at each host, unless somebody has just done so. With the store away nobody is tracked anyway, and
        what was known holds."""
        for url in self._urls:
            before = self._known.get(url)
            try:
                self._known[url] = await self._state_of(url)
            except StoreError:
                continue
            self._tell(before, self._known[url])

    async def _run(self) -> None:
        if all(one.failing_since is None for one in self._known.values()):
            await asyncio.sleep(self._first_look)
        while True:
            if self._table.every:
                await self.look()
            await asyncio.sleep((self._table.every or 60.0) * random.uniform(0.9, 1.1))  # noqa: S311 - jitter

    async def _state_of(self, url: str) -> TrackingHost:
        database, table = self._domain.database, self._table
        now = await database.read(database_time)
        known = (await database.read(tracking_hosts_of)).get(url)
        if known is not None and (now - known.checked_at).total_seconds() < table.every * _FRESH:
            return known
        found = await look_at(url, self._domain.ring, table.way())
        now = await database.read(database_time)
        return await database.change(partial(note, url=url, found=found, now=now))

    def _tell(self, before: TrackingHost | None, after: TrackingHost) -> None:
        was_failing = before is not None and before.failing_since is not None
        url, now = after.url, self._clock()
        if after.failing_since is None:
            if was_failing:
                self._said.pop(url, None)
                log.tracking_host_back(url=url)
        elif not self.is_up(url):
            if now - self._said.get(url, now - _SAY_AGAIN) >= _SAY_AGAIN:
                self._said[url] = now
                log.tracking_host_away(url=url, problem=after.problem, since=after.failing_since)
        elif not was_failing:
            log.tracking_host_failing(url=url, problem=after.problem, grace=self._table.grace)
        ends = after.certificate_until
        warned = self._warned.get(url)
        if (
            ends is not None
            and ends - now < _SOON_OUT
            and (warned is None or now - warned >= timedelta(days=1))
        ):
            self._warned[url] = now
            log.certificate_runs_out(url=url, days=(ends - now).days)


async def look_at(url: str, ring: KeyRing, way: Way) -> Examined:
    """`examine` beside the loop. In a thread that nobody waits for at the end: a question to DNS may take long."""
    return await _beside(lambda: examine(url, ring, way))


async def _beside(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            failed = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name="candor-probe", daemon=True).start()
    return await done
