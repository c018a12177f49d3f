"""Contacts as a CSV file, as spreadsheets and mail systems write them: rows in, statements or refusals out."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tracker.errors import CandorError, InvalidValue
from tracker.store.register import Statement, checked, parse_statement

_ADDRESS = ("address", "email", "e-mail", "mail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that was not taken, and why."""

    line: int
    reason: str


def read_contacts(file: Path, now: datetime) -> Iterator[tuple[Statement | Refused, int]]:
    """Each row with the octets read for it, roughly. UTF-8 with or without BOM; comma, semicolon or tab.

    An empty `do_not_track` under a present header means false (as in Mapp Engage), other empty cells leave a
    value alone. Raises InvalidValue where the header names no address, or the file is no UTF-8."""
    with file.open(encoding="utf-8-sig", newline="") as text:
        try:
            first = text.readline()
            columns = [
                name.strip().lower() for name in next(csv.reader([first], delimiter=_delimiter(first)), [])
            ]
            column = next((columns.index(name) for name in _ADDRESS if name in columns), None)
            if column is None:
                raise InvalidValue(
                    f"{file}:1: no column named address or email; found: {', '.join(columns) or 'none'}"
                )
            if len(set(columns)) != len(columns):
                raise InvalidValue(f"{file}:1: a column name stands there twice")
            rows = csv.reader(text, delimiter=_delimiter(first), strict=True)
            for cells in rows:
                if any(cell.strip() for cell in cells):
                    yield (
                        _statement(columns, column, cells, rows.line_num + 1, now),
                        sum(map(len, cells)) + len(cells),
                    )
        except UnicodeDecodeError as error:
            raise InvalidValue(
                f"{file}: not UTF-8 ({error.reason} at octet {error.start}); save it as UTF-8"
            ) from None
        except csv.Error as error:
            raise InvalidValue(f"{file}: not CSV: {error}") from None


def _delimiter(header: str) -> str:
    """Excel writes semicolons where the comma is the decimal sign."""
    return max(",;\t", key=header.count)


def _statement(
    columns: list[str], address: int, cells: list[str], line: int, now: datetime
) -> Statement | Refused:
    if len(cells) != len(columns):
        return Refused(line=line, reason=f"{len(cells)} cells under {len(columns)} columns")
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
