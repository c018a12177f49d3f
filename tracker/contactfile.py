"""Contacts as a CSV file, as spreadsheets and mail systems write them: rows in, statements or refusals out."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from tracker.address import normalize
from tracker.errors import CandorError, InvalidAddress, InvalidValue
from tracker.statements import KEYS, Statement, attribute_name, checked, parse_statement

if TYPE_CHECKING:
    from _csv import Reader

ABOUT_REFUSAL = ("candor_line", "candor_reason")
"""What a list of refused rows puts before the columns of the file: by these names we know it for ours."""
_LONGEST_HEADER = 1 << 20
_ADDRESS = ("address", "email", "e-mail", "mail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that was not taken, and why."""

    line: int
    reason: str
    cells: tuple[str, ...] = ()
    """The row as it was read, where it could be."""


Row = tuple[int, list[str] | None, Statement | Refused]
"""The line where a row begins, its cells, and what it says."""


class ContactFile:
    """A file that is a table of contacts: UTF-8 with or without BOM; comma, semicolon or tab.

    Raises InvalidValue at once where the header names no address or the file is no UTF-8, before any row is given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size, self.digest = _examined(path)
        """Octets, and the SHA-256 of all of them: the same digest is the same file."""
        with path.open(encoding="utf-8-sig", newline="") as text:
            self.columns, self.address = _header(path, _table(path, text))
        """The columns' names, and the place of the one that holds the address."""
        others = (name for at, name in enumerate(self.columns) if at != self.address)
        self.passed_over = [name for name in others if name in _ADDRESS]
        """Columns that could have held the address too: like any other they become attributes."""
        self.own = len(ABOUT_REFUSAL) if tuple(self.columns[: len(ABOUT_REFUSAL)]) == ABOUT_REFUSAL else 0
        """Columns at the left that a list of refused rows put there: they say nothing of a person."""
        self._others = [
            (at, name)
            for at, name in enumerate(self.columns)
            if name and at >= self.own and at != self.address
        ]
        self._octets: BinaryIO | None = None

    @property
    def position(self) -> int:
        """Octets read of it so far."""
        return self._octets.tell() if self._octets is not None and not self._octets.closed else self.size

    def rows(self, now: datetime) -> Iterator[Row]:
        """Every row that is not blank.

        An empty `do_not_track` under a present header means false (as in Mapp Engage), other empty cells leave a
        value alone."""
        with (
            self.path.open("rb") as self._octets,
            io.TextIOWrapper(self._octets, encoding="utf-8-sig", newline="") as text,
        ):
            rows = _table(self.path, text)
            next(rows)
            while True:
                line = rows.line_num + 1  # where the row begins: a quoted cell may hold line ends
                try:
                    cells = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    reason = f"not CSV up to line {rows.line_num}: {error}"
                    yield line, None, Refused(line=line, reason=reason)
                    continue
                joined = "".join(cells)
                if joined and not joined.isspace():
                    yield line, cells, self._said(cells, joined, line, now)

    def _said(self, cells: list[str], joined: str, line: int, now: datetime) -> Statement | Refused:
        if len(cells) != len(self.columns):
            reason = f"{len(cells)} cells under {len(self.columns)} columns"
            return Refused(line=line, reason=reason, cells=tuple(cells))
        if "\0" in joined:
            reason = "a cell holds a NUL, which is no text"
            return Refused(line=line, reason=reason, cells=tuple(cells))
        try:
            return checked(self.statement(cells), now)
        except CandorError as error:
            return Refused(line=line, reason=str(error), cells=tuple(cells))

    def person(self, cells: list[str] | None) -> str:
        """Whom a row is about, in normal form, whatever else is wrong with it; `""` where it does not say."""
        try:
            return normalize((cells or [])[self.address].strip())
        except (IndexError, InvalidAddress):
            return ""

    def statement(self, cells: list[str]) -> Statement:
        """What a row says, one cell for each column. Raises InvalidAddress, InvalidValue."""
        fields = {}
        evidence = {}
        is_implied = False
        for at, name in self._others:
            cell = cells[at].strip()
            if name == "evidence":
                if cell:
                    evidence["reference"] = cell
            elif cell:
                fields[name] = cell
            elif name == "do_not_track":
                fields[name] = "false"
                is_implied = True
        address = cells[self.address].strip()
        return parse_statement(address, fields, evidence=evidence, is_implied=is_implied)


def _examined(file: Path) -> tuple[int, bytes]:
    """Size and digest. Raises InvalidValue that names the line where the file stops being UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    digest = hashlib.sha256()
    size, line = 0, 1
    with file.open("rb") as octets:
        try:
            while chunk := octets.read(1 << 20):
                if size == 0 and _is_utf16(chunk):
                    raise InvalidValue(f"{file}:1: not UTF-8 but UTF-16; {_SAVE}")
                size += len(chunk)
                digest.update(chunk)
                line += decoder.decode(chunk).count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            raise InvalidValue(
                f"{file}:{line}: not UTF-8 ({error.reason}), perhaps Windows-1252; {_SAVE}"
            ) from None
    return size, digest.digest()


def _is_utf16(start: bytes) -> bool:
    """By its mark, or without one by its header, of whose letters nearly all are ASCII: every other octet is 0."""
    some = start[:64]
    return start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or any(some[::2]) != any(some[1::2])


_SAVE = 'save it as UTF-8 (in Excel: "CSV UTF-8")'


def _table(file: Path, text: TextIO) -> Reader:
    """The rows, header first; csv.Error for what is none."""
    first = text.readline(_LONGEST_HEADER)
    if len(first) == _LONGEST_HEADER:
        raise InvalidValue(f"{file}:1: not CSV: a first line of more than {_LONGEST_HEADER} characters")
    return csv.reader(chain([first], text), delimiter=_delimiter(first), strict=True)


def _header(file: Path, rows: Reader) -> tuple[list[str], int]:
    """The columns' names, and which of them holds the address."""
    try:
        columns = [name.strip().lower() for name in next(rows, [])]
    except csv.Error as error:
        raise InvalidValue(f"{file}:1: not CSV: {error}") from None
    address = next((columns.index(name) for name in _ADDRESS if name in columns), None)
    if address is None:
        found = ", ".join(filter(None, columns)) or "none"
        raise InvalidValue(f"{file}:1: no column named address or email; found: {found[:200]}")
    for name in filter(None, columns):
        if name not in (*_ADDRESS, *KEYS):
            try:
                attribute_name(name)
            except InvalidValue as error:
                raise InvalidValue(f"{file}:1: {error}") from None
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise InvalidValue(f"{file}:1: a column name stands there twice: {', '.join(twice)}")
    return columns, address


def _delimiter(header: str) -> str:
    """Excel writes semicolons where the comma is the decimal sign."""
    return max(",;\t", key=header.count)
