"""What waits in the outage journal is decided and stored once the store is back, with the consent of that moment.

An event that is there already is not written twice, so a process that dies half way does no harm. A count cannot be
told from another: of those, a death at the wrong moment loses a few, and never counts one twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from tracker import log
from tracker.consent import Mode
from tracker.domain import Domain
from tracker.errors import JournalError, StoreError, StoreUnavailable
from tracker.events import Event
from tracker.journal import Entry, Journal, Reading, take_over, waiting
from tracker.web.keeping import Counted, Facts, Keeping, event_of, verdict_of
from tracker.web.metrics import HitMetrics

_LOOK = 1.0
"""Seconds between two looks at whether there is something to do."""


class Replay:
    """`start()`, and `await stop()`. Every process looks at all files of the folder; whoever locks one has it."""

    def __init__(self, domain: Domain, journal: Journal, folder: Path | None, metrics: HitMetrics) -> None:
        self._domain = domain
        self._metrics = metrics
        self._journal = journal
        self._folder = folder
        self._keeping = Keeping(domain)
        self._task: asyncio.Task[None] | None = None
        self._passed_over: set[Path] = set()

    def start(self) -> None:
        if self._folder is not None:
            self._task = asyncio.create_task(self._run(self._folder))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, folder: Path) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            if self._is_back:
                try:
                    await self._all(folder)
                except Exception as error:  # noqa: BLE001 - what waits, waits on
                    log.replay_put_off(type(error).__name__)

    @property
    def _is_back(self) -> bool:
        database = self._domain.database
        return not (database.reads.tripped or database.writes.tripped)

    async def _all(self, folder: Path) -> None:
        """Stores whatever waits in files that nobody writes to. Raises StoreError, OSError; what is not stored then
        waits on."""
        if not await asyncio.to_thread(waiting, folder):
            return
        await self._journal.let_go()
        for path in await asyncio.to_thread(waiting, folder):
            if path not in self._passed_over:
                await self._one(path)

    async def _one(self, path: Path) -> None:
        try:
            reading = await asyncio.to_thread(take_over, path, self._domain.ring)
        except JournalError as error:
            self._passed_over.add(path)
            log.journal_not_ours(str(error))
            return
        if reading is None:
            return
        try:
            entries = await self._store_all(reading)
        except BaseException:
            reading.close()
            raise
        reading.remove()
        log.journal_stored(entries, damaged=reading.damaged)

    async def _store_all(self, reading: Reading) -> int:
        blocks, entries = reading.blocks(), 0
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            began = time.monotonic()
            await self._store(block, reading)
            entries += len(block)
            await asyncio.sleep(time.monotonic() - began)  # those who hit now come first
        return entries

    async def _store(self, block: Sequence[Entry], reading: Reading) -> None:
        sent = await self._keeping.look_up({one.delivery for one in block})
        named: list[Event] = []
        counted: list[Counted] = []
        for one in block:
            whose = sent.get(one.delivery)
            decision, rules = self._keeping.decide(one.kind, whose)
            if whose is None or decision.mode is Mode.UNTRACKED:
                continue
            facts = Facts.of_text(one.facts)
            verdict = verdict_of(whose, one.at, facts)
            if decision.mode is Mode.IDENTIFIED:
                named.append(
                    event_of(
                        one.kind, one.link, one.at, whose, rules, facts, verdict=verdict, country=one.country
                    )
                )
            else:
                counted.append(Counted(decision.mode, one.kind, one.link, one.at, whose, verdict))
        if named:
            await self._record(named)
        reading.stored()
        await asyncio.gather(*(self._count(one) for one in counted))

    async def _record(self, named: Sequence[Event]) -> None:
        """One that the store will never take is only its own loss."""
        try:
            await self._keeping.record(named, again=True)
            self._metrics.kept(Mode.IDENTIFIED, len(named))
        except StoreUnavailable:
            raise
        except StoreError:
            for one in named if len(named) > 1 else ():
                await self._record([one])

    async def _count(self, one: Counted) -> None:
        try:
            await self._keeping.count(one)
            self._metrics.kept(one.mode)
        except StoreError as error:
            log.replay_put_off(type(error).__name__)
