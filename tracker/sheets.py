"""A file of contacts cut into sheets: some rows each, read and checked, and where wanted with what each comes to if
its person is a stranger. What a row may say stands in `tracker.statements`, what it comes to in `tracker.weighing`.

Within a window of the file rows come in the order of their addresses: neighbours in the index of addresses are written
together, which halves the pages that a transaction touches. Rows about one person keep the order of the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy.engine import make_url

from tracker import contactfile
from tracker.contactfile import ContactFile, Refused
from tracker.statements import Statement
from tracker.store.newcomers import Foreseen, foresee
from tracker.store.standing import Standing
from tracker.weighing import Source, Speaker

Row = tuple[int, int, list[str], Statement | Foreseen]
"""Its number in the order in which rows come (from 1, those that are refused counted), the line where it begins, its
cells, what it comes to."""


class Sheet(NamedTuple):
    """Some rows that follow each other."""

    rows: list[Row]
    refused: list[Refused]
    """Found while reading on, in the file's order."""
    through: int
    """The number of its last row, were it refused or not."""
    before: int
    """Of its rows, taken down by an earlier run."""
    position: int
    """Octets of the file that are done with it, roughly."""
    now: datetime
    """When it was made; who says nothing of a time said it then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What to read. Made of plain values: another process can do it."""

    file: ContactFile
    done: int
    """The number up to which rows were taken down by an earlier run: they are passed over, and only what it refused is
    named again."""
    actor: str
    dialect: str
    """Of the store, as its URL names it."""
    foreseeing: bool
    """Whether a row is to come as what it comes to, or as what it says."""
    window: int = 40_000
    """Rows that are put in order together; about as many are in memory, 100 MB. What was taken down by another run is
    known only if its windows were as large."""
    on_sheet: int = 250
    """Rows."""

    def sheets(self, clock: Callable[[], datetime]) -> Iterator[Sheet]:
        """Every row of the file. While a window's rows are given, those of the next are read: there is no pause."""
        standing = Standing(make_url(f"{self.dialect}://").get_dialect()())
        source = self.file.rows(clock())
        window = _Window(start=0, begins=0)
        refused = window.take(source, self.file, self.window)
        while window.rows:
            size, in_order = len(window.rows), window.in_order()
            following = _Window(start=window.start + size, begins=window.ends)
            for first in range(0, size, self.on_sheet):
                refused += following.take(source, self.file, self.on_sheet)
                some = [in_order.popleft() for _ in range(min(self.on_sheet, size - first))]
                position = window.begins + int((window.ends - window.begins) * (first + len(some)) / size)
                sheet = self._sheet(some, window.start + first, refused, position, clock())
                yield self._foreseen(sheet, standing) if self.foreseeing else sheet
                refused = []
            window = following

    def _sheet(
        self, some: list[_Read], before: int, refused: list[Refused], position: int, now: datetime
    ) -> Sheet:
        """`before`: rows before these."""
        rows: list[Row] = []
        passed = 0
        for number, (_, line, cells, said) in enumerate(some, before + 1):
            if isinstance(said, Statement):
                if number <= self.done:
                    passed += 1
                else:
                    rows.append((number, line, cells, said))
        return Sheet(rows, refused, before + len(some), passed, position, now)

    def _foreseen(self, sheet: Sheet, standing: Standing) -> Sheet:
        speaker = Speaker(source=Source.IMPORT, actor=self.actor, now=sheet.now)
        said = [row[3] for row in sheet.rows if isinstance(row[3], Statement)]
        foreseen = foresee(((one.address, one) for one in said), speaker, standing.row)
        rows: list[Row] = [
            (number, line, cells, one)
            for (number, line, cells, _), one in zip(sheet.rows, foreseen, strict=True)
        ]
        return sheet._replace(rows=rows)


_Read = tuple[str, int, list[str], Statement | Refused]
"""Whom a row is about, the line where it begins, its cells, what it says."""


@dataclass(slots=True, kw_only=True)
class _Window:
    """Rows that follow each other in the file, on their way into the order of their addresses."""

    start: int
    """Rows before it."""
    begins: int
    """Octets before it."""
    ends: int = 0
    rows: list[_Read] = field(default_factory=list)

    def take(self, source: Iterator[contactfile.Row], file: ContactFile, most: int) -> list[Refused]:
        """Reads on; gives the rows that say nothing."""
        refused = []
        for line, cells, said in islice(source, most):
            if isinstance(said, Refused):
                refused.append(said)
                self.rows.append((file.person(cells), line, [], said))
            else:
                self.rows.append((said.address, line, cells or [], said))
        self.ends = file.position
        return refused

    def in_order(self) -> deque[_Read]:
        """By their people, and for each as the file has them. Nothing in it depends on when the file is read: a second
        run finds the place where the first one stopped. Given once: who is done with a row lets go of it."""
        self.rows.sort(key=itemgetter(0))
        rows, self.rows = deque(self.rows), []
        return rows
