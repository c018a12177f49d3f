"""Long work in short transactions: how much of it one may take on, so that mail, which waits for the transaction, hardly
notices. What a row costs depends on the machine, on the disk and on what hangs on it, so it is measured."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

from sqlalchemy import Connection, text

from tracker.store.database import Database

T = TypeVar("T")

_SECONDS = 0.02
"""A transaction's share of work is to take, its commit aside."""


class Share:
    """`size` rows are done at once: at first `first`, later as many as fit, and never more than `most`."""

    def __init__(
        self, *, first: int = 10, most: int = 100, clock: Callable[[], float] = perf_counter
    ) -> None:
        """`clock`: gives seconds."""
        self.size = first
        self._most = most
        self._clock = clock

    def of(self, work: Callable[[Connection, int], T]) -> Callable[[Connection], T]:
        """`work` on as many rows as are to be done now."""
        size = self.size

        def run(connection: Connection) -> T:
            began = self._clock()
            try:
                return work(connection, size)
            finally:
                self._measured(self._clock() - began)

        return run

    def _measured(self, seconds: float) -> None:
        if seconds > _SECONDS:
            self.size = max(int(self.size * max(_SECONDS / seconds, 0.25)), 1)
        elif seconds < _SECONDS / 2:
            self.size = min(self.size + max(self.size // 4, 1), self._most)


async def fold_log(database: Database, *, within: float) -> None:
    """Moves SQLite's write-ahead log into the database as far as can be done without keeping anybody waiting, so that
    little is left for when it is cut. Raises StoreUnavailable."""
    if database.dialect == "sqlite":
        await database.read(_fold_log, within=within)


def _fold_log(connection: Connection) -> None:
    connection.execute(text("PRAGMA wal_checkpoint(PASSIVE)")).all()
