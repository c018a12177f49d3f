"""What holds of each person, beside the ledger: read and written for many people at once.

An import asks this of a million rows, so the statements are written for the driver itself; how a value is stored is
still asked of the schema's types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, Dialect, bindparam, update

from tracker.address import erased_key_of
from tracker.store.newcomers import Newcomer
from tracker.store.prepared import drive, insert_many
from tracker.store.requests import NOBODY, RequestState
from tracker.store.schema import contacts, moment_text, requests
from tracker.tokens import KeyRing
from tracker.weighing import Held, Value

_KEPT = (
    "address",
    "erased_key",
    "tracking_consent",
    "consent_as_of",
    "consent_source",
    "do_not_track",
    "do_not_track_as_of",
    "do_not_track_source",
    "country",
    "grp",
    "attributes",
)
_TYPES = dict.fromkeys(_KEPT, "text") | {
    "erased_key": "bytea",
    "consent_as_of": "timestamptz",
    "do_not_track_as_of": "timestamptz",
}
_COLUMNS = ", ".join(_KEPT)
_MOST_KEYS = 900  # SQLite's oldest limit on bound parameters is 999
_KEYS_IN_STEPS_OF = 50

_SINCE = update(contacts).where(contacts.c.id == bindparam("b_id")).values(created_at=bindparam("b_now"))
_SETTLED = (
    update(requests)
    .where(requests.c.contact_id == bindparam("b_id"))
    .where(requests.c.state != RequestState.OPEN.value)
    .values(contact_id=NOBODY)
)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rows of those who are known, as the driver gives them: two questions with equal answers saw the same."""

    by_address: dict[str, Row]
    by_erased_key: dict[str, Row]
    """By the address that the keyed hash was made of."""


class Standing:
    """The contact table in one connection's terms."""

    def __init__(self, dialect: Dialect) -> None:
        self._sqlite = dialect.name == "sqlite"
        self._in = [_in(contacts.c[name], dialect) for name in _KEPT]
        self._out = [_out(contacts.c[name], dialect) for name in _KEPT]
        moment = moment_text if self._sqlite else _in(contacts.c.created_at, dialect)
        self._moment = lru_cache(maxsize=1024)(moment)

    def find(self, connection: Connection, addresses: Sequence[str], ring: KeyRing) -> Found:
        """The rows of these people (in normal form); of whom nothing is known there is none."""
        rows = self._select(connection, "address", list(addresses))
        found = {row[1]: row for row in rows}
        missing = [address for address in addresses if address not in found]
        if not missing or not _anybody_erased(connection):
            return Found(by_address=found, by_erased_key={})
        keys = {erased_key_of(address, ring.permanent): address for address in missing}
        erased = {keys[bytes(row[2])]: row for row in self._select(connection, "erased_key", list(keys))}
        return Found(by_address=found, by_erased_key=erased)

    def held(self, addresses: Iterable[str], found: Found) -> dict[str, Held]:
        """What is held of each, in their order; of somebody new, nothing, and no id yet."""
        held = {}
        for address in addresses:
            row = found.by_address.get(address) or found.by_erased_key.get(address)
            held[address] = Held(id=0, address=address, new=True) if row is None else self._held(row)
        return held

    def number(self, connection: Connection, new: Sequence[Held | Newcomer], now: datetime) -> bool:
        """Gives ids to those who are new. False when another writer has made contacts of some of them meanwhile, so
        that they are to be looked up again."""
        if not new:
            return True
        if self._sqlite:  # nobody else writes until the transaction is over: what SQLite itself would choose
            last = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM contacts").scalar_one()
            for number, one in enumerate(new, last + 1):
                one.id = number
            return True
        made = connection.exec_driver_sql(
            "INSERT INTO contacts (address, tracking_consent, do_not_track, attributes, created_at)"
            " SELECT a, 'unknown', 'unset', '{}', $2 FROM unnest($1::text[]) a"
            " ON CONFLICT (address) DO NOTHING RETURNING address, id",
            ([held.address for held in new], now),
        )
        ids = {row[0]: row[1] for row in made}
        for held in new:
            held.id = ids.get(held.address, 0)
        return len(ids) == len(new)

    def write(
        self, connection: Connection, new: Sequence[Held | Newcomer], known: Iterable[Held], now: datetime
    ) -> None:
        """Writes what holds now: of everybody who is new (they have their ids), and of those of `known` who changed;
        who is in both is new."""
        changed = [held for held in known if held.changed and not held.new]
        if self._sqlite:
            if new:
                created = self._moment(now)
                rows = [(one.id, created, *self._row_of(one)) for one in new]
                insert_many(connection, "contacts", ("id", "created_at", *_KEPT), rows)
            if changed:
                sets = ", ".join(f"{name} = ?" for name in _KEPT)
                drive(
                    connection,
                    f"UPDATE contacts SET {sets} WHERE id = ?",  # noqa: S608
                    [(*self.row(held), held.id) for held in changed],
                )
        else:
            self._update_postgresql(connection, [*(one for one in new if one.changed), *changed])
        _begin_anew(connection, [held.id for held in changed if held.restored], now)

    def _update_postgresql(self, connection: Connection, changed: Sequence[Held | Newcomer]) -> None:
        if not changed:
            return
        values = zip(*(self._row_of(one) for one in changed), strict=True)
        arrays = ", ".join(f"${number}::{_TYPES[name]}[]" for number, name in enumerate(_KEPT, 2))
        sets = ", ".join(f"{name} = v.{name}" + ("::json" if name == "attributes" else "") for name in _KEPT)
        connection.exec_driver_sql(
            f"UPDATE contacts c SET {sets} FROM unnest($1::bigint[], {arrays}) v (id, {_COLUMNS})"  # noqa: S608
            " WHERE c.id = v.id",
            ([one.id for one in changed], *map(list, values)),
        )

    def _select(self, connection: Connection, column: str, keys: list[Any]) -> list[Row]:
        query = f"SELECT id, {_COLUMNS} FROM contacts WHERE {column}"  # noqa: S608
        if not self._sqlite:
            kind = _TYPES[column]
            # One look into the index for each key: without statistics, as on a first import, the planner would rather
            # read the whole table for every batch.
            each = f"SELECT p.* FROM unnest($1::{kind}[]) k, LATERAL ({query} = k OFFSET 0) p"  # noqa: S608
            answer = connection.exec_driver_sql(each, (keys,))
            return [tuple(row) for row in answer]
        rows: list[Row] = []
        for start in range(0, len(keys), _MOST_KEYS):
            some = keys[start : start + _MOST_KEYS]
            # A key asked for twice is answered once; and so few different statements are kept prepared.
            some += some[-1:] * (-len(some) % _KEYS_IN_STEPS_OF)
            marks = ", ".join("?" * len(some))
            rows.extend(map(tuple, connection.exec_driver_sql(f"{query} IN ({marks})", tuple(some))))
        return rows

    def _held(self, row: Row) -> Held:
        values = [convert(value) for convert, value in zip(self._out, row[1:], strict=True)]
        (address, key, consent, said, through, apart, apart_said, apart_through, country, group, more) = (
            values
        )
        return Held(
            id=row[0],
            address=address,
            erased_key=key,
            consent=Value(consent, said, through),
            do_not_track=Value(apart, apart_said, apart_through),
            country=country,
            group=group,
            attributes=more,
        )

    def _row_of(self, one: Held | Newcomer) -> Row:
        return one.row if isinstance(one, Newcomer) else self.row(one)

    def row(self, held: Held) -> Row:
        """The columns of `_KEPT` as the driver takes them."""
        consent, apart = held.consent, held.do_not_track
        said, apart_said = consent.as_of, apart.as_of
        moment, attributes = self._moment, self._in[10]
        return (
            held.address,
            held.erased_key,
            consent.value,
            said and moment(said),
            consent.source,
            apart.value,
            apart_said and moment(apart_said),
            apart.source,
            held.country,
            held.group,
            attributes(held.attributes) if held.attributes else "{}",
        )


def others_version(connection: Connection) -> int:
    """A number that changes whenever another connection has written (SQLite, `PRAGMA data_version`)."""
    return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())


def _anybody_erased(connection: Connection) -> bool:
    """Nearly always nobody, and then a keyed hash for each stranger can be spared."""
    # In the order of the index, or PostgreSQL may read the whole table to find out.
    query = "SELECT 1 FROM contacts WHERE erased_key IS NOT NULL ORDER BY erased_key LIMIT 1"
    return connection.exec_driver_sql(query).first() is not None


def _begin_anew(connection: Connection, restored: list[int], now: datetime) -> None:
    """Nothing of before the erasure is to be told of who comes back: neither since when they were known nor what they
    had asked for. What an operator settled stays on the list, as nobody's."""
    if restored:
        connection.execute(_SINCE, [{"b_id": one, "b_now": now} for one in restored])
        connection.execute(_SETTLED, [{"b_id": one} for one in restored])


def _in(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any]:
    return column.type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is


def _out(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any]:
    return column.type.dialect_impl(dialect).result_processor(dialect, None) or _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
