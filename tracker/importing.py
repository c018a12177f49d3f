"""Taking down a file of contacts: in batches, so that neither memory nor a transaction grows with the file, and so
that mail has its turn at the store between any two of them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from tracker.contactfile import ContactFile, Refused
from tracker.domain import Domain
from tracker.statements import Statement
from tracker.store import imports
from tracker.store.bulk import Bulk
from tracker.store.register import MOST_CHANGES, Effect, Recorded, Source
from tracker.weighing import Speaker

_FIRST_BATCH = 300
_LEAST_BATCH = 25
_TRANSACTION = 0.03
"""Seconds a transaction is to take: mail that wants to write waits no longer than for one of them."""
_FOLD_EVERY = 20_000
"""Rows after which SQLite's log is folded into the database."""


@dataclass(slots=True)
class Counted:
    """What became of the rows so far."""

    read: int = 0
    before: int = 0
    """Taken down by an earlier run."""
    refused: int = 0
    effects: dict[Effect, int] = field(default_factory=lambda: dict.fromkeys(Effect, 0))
    longest: float = 0.0
    """Seconds of the longest transaction."""


class Import:
    """`await Import(...).run()`. `refused` hears of each row that was not taken or had no effect, roughly in the
    file's order; `advance` how many octets are read."""

    def __init__(
        self,
        domain: Domain,
        file: ContactFile,
        *,
        actor: str,
        refused: Callable[[Refused], None],
        advance: Callable[[int], None] = lambda octets: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.counted = Counted()
        self._domain = domain
        self._file = file
        self._actor = actor
        self._refused = refused
        self._advance = advance
        self._clock = clock
        self._size = _FIRST_BATCH
        self._batch: list[tuple[int, list[str], Statement]] = []
        self._since_folded = 0

    async def run(self, *, resume: bool = False, dry_run: bool = False) -> Counted:
        """`resume`: what an earlier run of the very same file took down is passed over; only what it refused is
        named again. `dry_run`: everything is read, nothing changed. Raises StoreUnavailable, StoreError: what was
        committed by then stays, and `resume` goes on behind it."""
        with _without_collections():
            async with Bulk.of(self._domain.database) as bulk:
                await self._run(bulk, resume, dry_run)
        return self.counted

    async def _run(self, bulk: Bulk, resume: bool, dry_run: bool) -> None:
        counted, done = self.counted, 0
        if resume:
            done = await bulk.read(partial(imports.taken, digest=self._file.digest))
        for line, cells, said in self._file.rows(self._clock()):
            counted.read += 1
            if isinstance(said, Refused):
                counted.refused += 1
                self._refused(said)
            elif counted.read <= done:
                counted.before += 1
            else:
                self._batch.append((line, cells or [], said))
            if len(self._batch) >= self._size:
                await self._flush(bulk, dry_run)
        if counted.read > done:  # also where the last rows were all refused
            await self._flush(bulk, dry_run)
        if not dry_run:
            await bulk.fold_log()
        self._advance(self._file.size)

    async def _flush(self, bulk: Bulk, dry_run: bool) -> None:
        batch, self._batch = self._batch, []
        self._advance(self._file.position)
        if dry_run:
            return
        now, through = self._clock(), self.counted.read

        def beside(connection: Connection, _recorded: list[Recorded]) -> None:
            imports.note(connection, self._file.digest, through, now)

        taken = await self._domain.register.take_down(
            [(said.address, said) for _, _, said in batch],  # the file gives them checked and in normal form
            Speaker(source=Source.IMPORT, actor=self._actor, now=now),
            beside=beside,
            store=bulk,
        )
        for (line, cells, _), one in zip(batch, taken.recorded, strict=True):
            self.counted.effects[one.effect] += 1
            if one.effect is Effect.NOT_EFFECTIVE:
                self._refused(Refused(line=line, reason=f"not effective: {one.reason}", cells=tuple(cells)))
        self._tune(len(batch), taken.seconds)
        self._since_folded += len(batch)
        if self._since_folded >= _FOLD_EVERY:
            self._since_folded = 0
            await bulk.fold_log()
            gc.collect()

    def _tune(self, rows: int, seconds: float) -> None:
        """The next transaction is to take about as long as it should."""
        self.counted.longest = max(self.counted.longest, seconds)
        if rows == self._size or seconds > _TRANSACTION:
            wanted = rows * _TRANSACTION / max(seconds, 1e-4)
            self._size = int(min(max(wanted, self._size * 0.7, _LEAST_BATCH), self._size * 1.3, MOST_CHANGES))
            self._size = max(self._size, _LEAST_BATCH)


@contextmanager
def _without_collections() -> Iterator[None]:
    """A batch makes thousands of objects and no cycles: looking for some in the midst of it is a tenth of the time.
    What is there already stays out of the searches that are made."""
    was_enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
