"""The rollups made anew, from deliveries, events and carried totals, while mail and hits go on.

What is kept is held against a sum over everything that is rolled up, both in one view of the database. What differs is
added as a correction, which holds whatever has been rolled up since; so nobody waits, and no report is ever without its
numbers. The sums stand in a private database on disk, since there may be millions.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select, true, update

from tracker.store.database import Database
from tracker.store.rollups import add_at_once
from tracker.store.rollups_cells import Cell, add
from tracker.store.rollups_facts import Signs, add_gone, asked, read, signs
from tracker.store.schema import deliveries, rollups

_PAGE = 2000
_SIGNS = "SELECT id, opened_at, clicked_at, alive_at, silent_at FROM deliveries WHERE id {ids}"
_IN_MEMORY = 200_000
"""Sums; then they go to disk."""
_AT_ONCE = 200
"""Sums that one transaction corrects."""
_WITHIN = 30.0
_ALL_DAY = 86400.0
_MAKE = (
    "CREATE TABLE sums (subject BLOB, measure TEXT, slot INTEGER, key TEXT, n INTEGER,"
    " PRIMARY KEY (subject, measure, slot, key)) WITHOUT ROWID"
)
_ADD = (
    "INSERT INTO sums VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (subject, measure, slot, key) DO UPDATE SET n = n + excluded.n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild found."""

    deliveries: int
    """That are rolled up."""
    sums: int
    corrected: int
    """Sums, and deliveries, that were not what they should have been."""


async def rebuild(database: Database, *, tell: Callable[[int], None] = lambda _: None) -> Rebuilt:
    """Makes the rollups what they have to be. `tell` hears how many deliveries were added up so far. May be broken off
    and begun again at any time. Raises StoreError."""
    with closing(sqlite3.connect("", check_same_thread=False)) as beside:
        number, sums = await database.view(partial(_compare, beside=beside, tell=tell), within=_ALL_DAY)
        corrected = 0
        for cells in _corrections(beside):
            await database.change(partial(add_at_once, cells=cells), within=_WITHIN)
            corrected += len(cells)
        for ids in _spoilt(beside):
            await database.change(partial(_have_wait, ids=ids), within=_WITHIN)
            corrected += len(ids)
        return Rebuilt(deliveries=number, sums=sums, corrected=corrected)


def _compare(
    connection: Connection, beside: sqlite3.Connection, tell: Callable[[int], None]
) -> tuple[int, int]:
    """Leaves what should be less what is kept; gives the number of deliveries and of sums that should be."""
    beside.execute(_MAKE)
    beside.execute("CREATE TABLE spoilt (id BLOB)")
    cells: Counter[Cell] = Counter()
    number = 0
    for ids in _rolled(connection):
        noted = {row[0]: Signs(*row[1:]) for row in asked(connection, _SIGNS, ids)}
        for one in read(connection, ids):
            if one.before is not None:
                add(cells, one.sent, one.before, one.hits_before)
                if noted[one.id] != signs(one.received, one.before, one.hits_before):
                    beside.execute("INSERT INTO spoilt VALUES (?)", [one.id])
        if len(cells) > _IN_MEMORY:
            _put(beside, cells)
            cells.clear()
        number += len(ids)
        tell(number)
    add_gone(connection, cells, true())
    _put(beside, cells)
    (sums,) = beside.execute("SELECT count(*) FROM sums WHERE n <> 0").fetchone()
    kept = connection.execute(select(rollups), execution_options={"yield_per": _PAGE})
    for rows in kept.partitions():
        _put(beside, {(bytes(row.subject), row.measure, row.slot, row.key): -row.n for row in rows})
    return number, sums


def _rolled(connection: Connection) -> Iterator[list[bytes]]:
    after = b""
    query = select(deliveries.c.id).where(deliveries.c.rolled.is_not(None)).order_by(deliveries.c.id)
    while ids := [
        bytes(one) for one in connection.execute(query.where(deliveries.c.id > after).limit(_PAGE)).scalars()
    ]:
        yield ids
        after = ids[-1]


def _put(beside: sqlite3.Connection, cells: Mapping[Cell, int]) -> None:
    beside.executemany(_ADD, sorted((*cell, n) for cell, n in cells.items()))


def _corrections(beside: sqlite3.Connection) -> Iterator[dict[Cell, int]]:
    rows = beside.execute("SELECT * FROM sums WHERE n <> 0 ORDER BY subject, measure, slot, key")
    while some := rows.fetchmany(_AT_ONCE):
        yield {(subject, measure, slot, key): n for subject, measure, slot, key, n in some}


def _spoilt(beside: sqlite3.Connection) -> Iterator[list[bytes]]:
    rows = beside.execute("SELECT id FROM spoilt ORDER BY id")
    while some := rows.fetchmany(_AT_ONCE):
        yield [id_ for (id_,) in some]


def _have_wait(connection: Connection, ids: list[bytes]) -> None:
    """To be rolled up anew: until then nobody goes by what is kept on them."""
    mine = deliveries.c.id.in_(ids) & deliveries.c.rolled.is_not(None)
    connection.execute(update(deliveries).where(mine).values(unrolled=1))
