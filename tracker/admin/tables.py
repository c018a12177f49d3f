"""Tables that sort, page and export: what a page asks for in its URL.

`?sort=-received&page=2&search=apples`; `format=csv` for everything that fits the search. What is not understood is
left out: a URL that somebody mended by hand still shows a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

PAGE = 50
"""Rows of a page."""
_MOST_PAGES = 10_000
_LONGEST_SEARCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`key` in the rows. The heading tells a definition: that of a `term` of the glossary, or `about`."""

    key: str
    title: str
    sorts: bool = False
    is_number: bool = False
    about: str = ""
    term: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What part of a table is wanted, in which order."""

    sort: str
    descending: bool
    page: int = 1
    search: str = ""
    is_csv: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)
    """What else narrows it down, by the parameter that says it; without those that say nothing."""

    @property
    def offset(self) -> int:
        return (self.page - 1) * PAGE

    def url(self, **changes: Any) -> str:
        """The query of the same table, changed so. Another order begins at its first page."""
        other = replace(self, **changes)
        if "page" not in changes:
            other = replace(other, page=1)
        query: dict[str, Any] = {"sort": f"{'-' if other.descending else ''}{other.sort}"}
        query |= {"page": other.page} if other.page > 1 else {}
        query |= {"search": other.search} if other.search else {}
        query |= other.filters
        query |= {"format": "csv"} if other.is_csv else {}
        return f"?{urlencode(query)}"

    def by(self, column: Column) -> str:
        """The same table ordered by a column, the other way round where it is already."""
        descending = not self.descending if column.key == self.sort else column.is_number
        return self.url(sort=column.key, descending=descending)


def view(
    query: Mapping[str, str],
    columns: Sequence[Column],
    *,
    sort: str,
    descending: bool = True,
    filters: Sequence[str] = (),
) -> View:
    """What a URL asks for, with what holds where it asks for nothing or for what there is not. `filters`: the other
    parameters that are understood."""
    asked = query.get("sort", "")
    key = asked.removeprefix("-")
    if key in {column.key for column in columns if column.sorts}:
        sort, descending = key, asked.startswith("-")
    number = query.get("page", "")
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
    return View(
        sort=sort,
        descending=descending,
        page=max(1, min(page, _MOST_PAGES)),
        search=query.get("search", "").strip()[:_LONGEST_SEARCH],
        is_csv=query.get("format") == "csv",
        filters={
            key: text for key in filters if (text := query.get(key, "").strip()[:_LONGEST_SEARCH]) != ""
        },
    )
