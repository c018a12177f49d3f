"""Headers by which other services are told what to record, honoured here: they can ask for less and name things.

`Aliases` finds a header's row and applies what a message has of them. Which services are understood and which headers
are passed on is the configuration's. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

from relay.aliases.effects import (
    MAX_METADATA,
    MAX_NAME,
    MAX_TAG,
    MAX_TAGS,
    MAX_VALUE,
    Given,
    unheard_of,
    with_tags,
)
from relay.aliases.table import ALIASES, PREFIXES, SERVICES, Alias, Grade, misspelt
from relay.fieldtext import text_of
from relay.submission import Options

__all__ = [
    "ALIASES",
    "EVERY",
    "MAX_METADATA",
    "MAX_NAME",
    "MAX_TAG",
    "MAX_TAGS",
    "MAX_VALUE",
    "SERVICES",
    "Alias",
    "Aliases",
    "Found",
    "Grade",
    "Misread",
    "applied",
    "with_tags",
]


class Found(NamedTuple):
    """A field of a message that is one of ours to read."""

    alias: Alias
    name: str
    """As the sender spells it."""
    value: str
    """Unfolded, a latin-1 view."""

    @property
    def given(self) -> Given:
        family = self.alias.header.endswith("*")
        part = self.name[len(self.alias.header) - 1 :] if family else ""
        return Given(part, text_of(self.value.encode("latin-1", "replace")))


class Aliases:
    """The table as configured. `passed`: names of headers that are read and yet forwarded."""

    def __init__(self, services: Collection[str] | None = None, passed: Collection[str] = ()) -> None:
        wanted = set(SERVICES) if services is None else set(services)
        self.rows = tuple(row for row in ALIASES if row.service in wanted)
        self.passed = frozenset(map(str.lower, passed))
        self._by_name = {row.header.lower(): row for row in self.rows if not row.header.endswith("*")}
        self._families = tuple(
            (row.header[:-1].lower(), row) for row in self.rows if row.header.endswith("*")
        )
        self._prefixes = {prefix: name for prefix, name in PREFIXES.items() if name in wanted}
        self._beginnings = tuple(self._prefixes)

    def find(self, name: str) -> Alias | None:
        """The row of a header, whose name is given in lower case."""
        row = self._by_name.get(name)
        if row is not None or not name.startswith(self._beginnings):
            return row
        for beginning, family in self._families:
            if name.startswith(beginning) and len(name) > len(beginning):
                return family
        if "track" not in name:
            return None
        return next(misspelt(one, name) for start, one in self._prefixes.items() if name.startswith(start))

    @cached_property
    def expression(self) -> bytes:
        """Matches the names of those that are taken out, for header blocks that are searched and not read."""
        taken = [re.escape(name) for name in self._by_name if name not in self.passed]
        taken += [re.escape(beginning) + "[!-9;-~]++" for beginning, _ in self._families]
        if self._beginnings:
            taken.append(f"(?:{'|'.join(self._beginnings)})(?=[!-9;-~]*track)[!-9;-~]++")
        return "|".join(taken).encode() or rb"(?!)"


EVERY = Aliases()


class Misread(NamedTuple):
    """A field that was not understood."""

    name: str
    why: str
    """`unknown-header` or `unknown-value`."""


def applied(options: Options, found: Sequence[Found]) -> tuple[Options, list[Misread]]:
    """The options after all of these, and what was not understood."""
    last = {one.alias.header: one for one in found if one.alias.last_wins}
    misread: list[Misread] = []
    for one in found:
        effect = one.alias.effect
        if effect is None or last.get(one.alias.header, one) is not one:
            continue
        options, understood = effect(options, one.given)
        if not understood:
            misread.append(Misread(one.name, "unknown-header" if effect is unheard_of else "unknown-value"))
    return options, misread
