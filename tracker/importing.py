"""Taking down a file of contacts: in batches, so that neither memory nor a transaction grows with the file, and so
that mail has its turn at the store between any two of them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from tracker import readahead
from tracker.contactfile import ContactFile, Refused
from tracker.domain import Domain
from tracker.sheets import Reading, Row, Sheet
from tracker.statements import Statement
from tracker.store import imports
from tracker.store.bulk import Bulk
from tracker.store.newcomers import Newcomer
from tracker.store.register import MOST_CHANGES, Effect, Source, Taken
from tracker.weighing import Speaker

_FIRST_BATCH = 300
_LEAST_BATCH = 25
_TRANSACTION = 0.02
"""Seconds a transaction is to take: mail that wants to write waits no longer than for one of them."""
_LARGE = 4_000_000
"""Octets of a file from which on a second process reads it ahead: it takes half a second to start."""
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
        large: int = _LARGE,
    ) -> None:
        """`large`: octets from which on a second process reads the file ahead."""
        self.counted = Counted()
        self._domain = domain
        self._file = file
        self._actor = actor
        self._refused = refused
        self._advance = advance
        self._clock = clock
        self._large = large
        self._size = _FIRST_BATCH
        self._waiting: list[tuple[Row, datetime]] = []
        """Rows that are read, and when."""
        self._position = 0
        self._since_folded = 0

    async def run(self, *, resume: bool = False, dry_run: bool = False) -> Counted:
        """`resume`: what an earlier run of the very same file took down is passed over; only what it refused is
        named again. `dry_run`: everything is read, nothing changed. Raises StoreUnavailable, StoreError, and
        InvalidValue where the file cannot be read to its end: what was committed by then stays, as it does when the
        task is cancelled, and `resume` goes on behind it."""
        with _without_collections():
            async with Bulk.of(self._domain.database) as bulk, AsyncExitStack() as stack:
                done = 0
                if resume:
                    done = await bulk.read(partial(imports.taken, digest=self._file.digest))
                sheets = await self._sheets(stack, done, dry_run)
                await self._run(bulk, sheets, done, dry_run)
        return self.counted

    async def _sheets(self, stack: AsyncExitStack, done: int, dry_run: bool) -> AsyncIterator[Sheet]:
        """The file, from a second process where that is of use."""
        dialect = "sqlite" if self._domain.database.dialect == "sqlite" else "postgresql+asyncpg"
        ahead = not dry_run and self._file.size >= self._large and readahead.is_of_use()
        reading = Reading(file=self._file, done=done, actor=self._actor, dialect=dialect, foreseeing=ahead)
        if ahead:
            try:
                return await stack.enter_async_context(readahead.read_ahead(reading))
            except OSError:  # no more processes, or too little memory: it goes without
                reading = replace(reading, foreseeing=False)
        return _one_by_one(reading.sheets(self._clock))

    async def _run(self, bulk: Bulk, sheets: AsyncIterator[Sheet], done: int, dry_run: bool) -> None:
        counted = self.counted
        async for sheet in sheets:
            counted.read, counted.before = sheet.through, counted.before + sheet.before
            counted.refused += len(sheet.refused)
            for one in sheet.refused:
                self._refused(one)
            self._position = sheet.position
            if dry_run:
                self._advance(self._position)
                continue
            self._waiting += [(row, sheet.now) for row in sheet.rows]
            while len(self._waiting) >= self._size:
                await self._flush(bulk, self._size)
        if not dry_run:
            while len(self._waiting) > self._size:
                await self._flush(bulk, self._size)
            if counted.read > done:  # also where the last rows were all refused
                await self._flush(bulk, len(self._waiting))
            await bulk.fold_log()
        self._advance(self._file.size)

    async def _flush(self, bulk: Bulk, number: int) -> None:
        batch = self._waiting[:number]
        del self._waiting[:number]
        self._advance(self._position)
        taken = await self._taken(
            bulk, batch, self._waiting[0][0][0] - 1 if self._waiting else self.counted.read
        )
        for ((_, line, cells, _), _), one in zip(batch, taken.recorded, strict=True):
            self.counted.effects[one.effect] += 1
            if one.effect is Effect.NOT_EFFECTIVE:
                self._refused(Refused(line=line, reason=f"not effective: {one.reason}", cells=tuple(cells)))
        self._tune(number, taken.seconds)
        self._since_folded += number
        if self._since_folded >= _FOLD_EVERY:
            self._since_folded = 0
            await bulk.fold_log()
            gc.collect()

    async def _taken(self, bulk: Bulk, batch: list[tuple[Row, datetime]], through: int) -> Taken:
        """In one transaction with the word that all rows up to the number `through` are taken down."""
        now, register = self._clock(), self._domain.register

        def beside(connection: Connection) -> None:
            imports.note(connection, self._file.digest, through, now)

        said = [row[3] for row, _ in batch]
        statements = [(one.address, one) for one in said if isinstance(one, Statement)]
        if len(statements) == len(batch):
            speaker = Speaker(source=Source.IMPORT, actor=self._actor, now=now)
            return await register.take_down(statements, speaker, beside=beside, store=bulk)
        newcomers = [Newcomer(*one) for one in said if not isinstance(one, Statement)]

        def says(place: int) -> tuple[Statement, Speaker]:
            (_, _, cells, _), read_at = batch[place]
            return self._file.statement(cells), Speaker(source=Source.IMPORT, actor=self._actor, now=read_at)

        return await register.take_newcomers(newcomers, says, now, beside=beside, store=bulk)

    def _tune(self, rows: int, seconds: float) -> None:
        """The next transaction is to take about as long as it should."""
        self.counted.longest = max(self.counted.longest, seconds)
        if rows == self._size or seconds > _TRANSACTION:
            wanted = rows * _TRANSACTION / max(seconds, 1e-4)
            self._size = int(min(max(wanted, self._size * 0.5, _LEAST_BATCH), self._size * 1.3, MOST_CHANGES))
            self._size = max(self._size, _LEAST_BATCH)


async def _one_by_one(sheets: Iterator[Sheet]) -> AsyncIterator[Sheet]:
    for sheet in sheets:
        yield sheet
        await asyncio.sleep(0)  # where nothing is written, whoever wants to end it has a turn all the same


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
