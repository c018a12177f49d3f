"""Rows as CSV that spreadsheets read and cannot be made to execute. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def as_csv(keys: Sequence[str], rows: Iterable[Mapping[str, Any]], *, heading: bool = True) -> bytes:
    """RFC 4180, UTF-8. A cell that a spreadsheet would take for a formula begins with an apostrophe: subjects come
    from anybody."""
    text = io.StringIO()
    writer = csv.writer(text)
    if heading:
        writer.writerow(keys)
    for row in rows:
        writer.writerow([_cell(row.get(key)) for key in keys])
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return f"'{value}"
    return "" if value is None else value
