"""Contacts as a CSV file, as spreadsheets and mail systems write them: rows in, statements or refusals out."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from tracker.errors import CandorError, InvalidValue
from tracker.statements import KEYS, Statement, attribute_name, checked, parse_statement

_ADDRESS = ("address", "email", "e-mail", "mail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that was not taken, and why."""

    line: int
    reason: str


def read_contacts(file: Path, now: datetime) -> Iterator[tuple[int, Statement | Refused, int]]:
    """The line of each row, what it says, and the octets read for it, roughly. UTF-8 with or
    without BOM; comma, semicolon or tab.

    An empty `do_not_track` under a present header means false (as in Mapp Engage), other empty cells leave a
    value alone. Raises InvalidValue, before any row is given, where the header names no address or the file is
    no UTF-8."""
    _check_encoding(file)
    with file.open(encoding="utf-8-sig", newline="") as text:
        first = text.readline()
        rows = csv.reader(chain([first], text), delimiter=_delimiter(first), strict=True)
        columns, address = _header(file, rows)
        while True:
            line = rows.line_num + 1  # where the row begins: a quoted cell may hold line ends
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, Refused(line=line, reason=f"not CSV up to line {rows.line_num}: {error}"), 0
                continue
            if any(cell.strip() for cell in cells):
                row = _statement(columns, address, cells, line, now)
                yield line, row, sum(map(len, cells)) + len(cells)


def _check_encoding(file: Path) -> None:
    """Raises InvalidValue that names the line where the file stops being UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with file.open("rb") as octets:
        try:
            while chunk := octets.read(1 << 20):
                line += decoder.decode(chunk).count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            raise InvalidValue(f"{file}:{line}: not UTF-8 ({error.reason}); save it as UTF-8") from None


def _header(file: Path, rows: Iterator[list[str]]) -> tuple[list[str], int]:
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


def _statement(
    columns: list[str], address: int, cells: list[str], line: int, now: datetime
) -> Statement | Refused:
    if len(cells) != len(columns):
        return Refused(line=line, reason=f"{len(cells)} cells under {len(columns)} columns")
    if "\0" in "".join(cells):
        return Refused(line=line, reason="a cell holds a NUL, which is no text")
    fields = {
        name: cell.strip()
        for at, (name, cell) in enumerate(zip(columns, cells, strict=True))
        if at != address and name and (cell.strip() or name == "do_not_track")
    }
    if fields.get("do_not_track") == "":
        fields["do_not_track"] = "false"
    evidence = {"reference": fields.pop("evidence")} if fields.get("evidence") else {}
    try:
        return checked(parse_statement(cells[address].strip(), fields, evidence=evidence), now)
    except CandorError as error:
        return Refused(line=line, reason=str(error))
