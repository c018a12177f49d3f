"""To whom mail is not sent any more: addresses that bounced for good, people who called it spam, an operator's own
list. Kept under the keyed hash that erasure leaves of a person, with the address beside it until they are erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Text, bindparam, delete, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from relay.store.schema import suppressions
from tracker.address import erased_key
from tracker.store.database import Statement
from tracker.store.engines import BeforeErasures
from tracker.store.question import Question
from tracker.store.schema import Id, Moment
from tracker.tokens import KeyRing


class Reason(StrEnum):
    HARD_BOUNCE = "hard-bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """Why mail to an address is skipped, and since when."""

    reason: Reason
    since: datetime

    def __str__(self) -> str:
        return f"{self.reason.replace('-', ' ')} of {self.since:%Y-%m-%d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A line of the list. `address` is None for an erased person."""

    address: str | None
    reason: Reason
    since: datetime
    note: str = ""
    """The enhanced code, or what an operator wrote."""
    key: bytes = b""
    """By which it is found again, as it stands on the list."""
    bounces: int = 0


_ASKED = Question(
    select(suppressions.c.person_key, suppressions.c.reason, suppressions.c.since).where(
        suppressions.c.person_key.in_(bindparam("keys", expanding=True)), suppressions.c.since.is_not(None)
    )
)
_WAIT_FOR_ERASURES = BeforeErasures()
_NOTE = text(
    "INSERT INTO suppressions (person_key, address, reason, note, bounces, since, last_at)"
    " VALUES (:person_key, CASE WHEN EXISTS (SELECT 1 FROM contacts WHERE erased_key = :person_key)"
    " THEN NULL ELSE CAST(:address AS TEXT) END, :reason, :note, :bounces, :since, :last_at)"
    " ON CONFLICT (person_key) DO UPDATE SET"
    " bounces = suppressions.bounces + excluded.bounces, last_at = excluded.last_at,"
    # What suppressed first stands; until then the latest is what is known.
    " reason = CASE WHEN suppressions.since IS NULL THEN excluded.reason ELSE suppressions.reason END,"
    " note = CASE WHEN suppressions.since IS NULL THEN excluded.note ELSE suppressions.note END,"
    " since = COALESCE(suppressions.since, excluded.since,"
    " CASE WHEN suppressions.bounces + excluded.bounces >= :after THEN excluded.last_at END)"
).bindparams(
    bindparam("person_key", type_=Id),
    bindparam("reason", type_=Text),
    bindparam("note", type_=Text),
    bindparam("since", type_=Moment),
    bindparam("last_at", type_=Moment),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressing:
    """What is noted of addresses: with everything off, nothing."""

    ring: KeyRing
    after: int | None = None
    """Hard bounces from which on an address is suppressed; None for never."""
    complaints: bool = False

    def bounced(self, addresses: Mapping[str, str], at: datetime) -> tuple[Statement, ...]:
        """The statements that count a hard bounce of each address (in normal form); the values say which code."""
        after = self.after
        if after is None:
            return ()
        since = at if after <= 1 else None
        return _noting(
            [
                self._row(address, Reason.HARD_BOUNCE, code, at, since, after)
                for address, code in addresses.items()
            ]
        )

    def complained(self, address: str, feedback: str, at: datetime) -> tuple[Statement, ...]:
        """The statements that note a complaint, which is once enough."""
        if not self.complaints:
            return ()
        return _noting([self._row(address, Reason.COMPLAINT, feedback, at, at, 1)])

    def listing(self, some: Iterable[Listed]) -> tuple[Statement, ...]:
        """The statements that put addresses on the list; who is on it stays there as they are."""
        return _noting(
            [
                self._row(one.address, one.reason, one.note, one.since, one.since, 1)
                for one in some
                if one.address is not None
            ]
        )

    def _row(
        self, address: str, reason: Reason, note: str, at: datetime, since: datetime | None, after: int
    ) -> dict[str, Any]:
        return {
            "person_key": erased_key(address, self.ring.permanent),
            "address": address,
            "reason": reason.value,
            "note": note,
            "bounces": 1 if reason is Reason.HARD_BOUNCE else 0,
            "since": since,
            "last_at": at,
            "after": after,
        }


def _noting(rows: Sequence[dict[str, Any]]) -> tuple[Statement, ...]:
    """In one order, so that two transactions never wait for each other."""
    ordered = sorted(rows, key=lambda row: row["person_key"])
    return ((_WAIT_FOR_ERASURES, [{}]), (_NOTE, ordered)) if rows else ()


def suppressed(connection: Connection, addresses: Iterable[str], ring: KeyRing) -> dict[str, Suppressed]:
    """Those of the addresses (in normal form) that mail is not sent to."""
    keys = {erased_key(address, ring.permanent): address for address in addresses}
    rows = _ASKED.rows(connection, keys=list(keys)) if keys else ()
    return {
        keys[bytes(row.person_key)]: Suppressed(reason=_reason(row.reason), since=row.since) for row in rows
    }


SORTS: Mapping[str, ColumnElement[Any]] = {
    "since": suppressions.c.since,
    "address": suppressions.c.address,
    "reason": suppressions.c.reason,
    "bounces": suppressions.c.bounces,
}


def listed(
    connection: Connection,
    *,
    search: str = "",
    reason: str = "",
    sort: str = "since",
    descending: bool = True,
    limit: int | None = None,
    offset: int = 0,
) -> list[Listed]:
    """The list, latest first unless `sort` says otherwise; `search`: a part of the address or the note."""
    query = select(suppressions).where(suppressions.c.since.is_not(None))
    if search:
        columns = suppressions.c.address, suppressions.c.note
        query = query.where(or_(*(column.icontains(search, autoescape=True) for column in columns)))
    if reason:
        query = query.where(suppressions.c.reason == reason)
    order = SORTS[sort]
    query = query.order_by(order.desc() if descending else order.asc(), suppressions.c.person_key)
    rows = connection.execute(query if limit is None else query.limit(limit).offset(offset))
    return [_listed(row) for row in rows]


def listed_as(connection: Connection, key: bytes) -> Listed | None:
    """Who stands on the list under this key."""
    query = select(suppressions).where(suppressions.c.person_key == key, suppressions.c.since.is_not(None))
    row = connection.execute(query).one_or_none()
    return None if row is None else _listed(row)


def _listed(row: Any) -> Listed:
    return Listed(
        address=row.address,
        reason=_reason(row.reason),
        since=row.since,
        note=row.note,
        key=bytes(row.person_key),
        bounces=row.bounces,
    )


def remove(connection: Connection, address: str, ring: KeyRing) -> bool:
    """Takes an address (in normal form) off the list, and forgets its bounces. False when it was not on it."""
    return remove_key(connection, erased_key(address, ring.permanent))


def remove_key(connection: Connection, key: bytes) -> bool:
    """The same by the key that the list gives."""
    gone = connection.execute(
        delete(suppressions).where(suppressions.c.person_key == key).returning(suppressions.c.since)
    ).one_or_none()
    return gone is not None and gone.since is not None


def _reason(word: str) -> Reason:
    try:
        return Reason(word)
    except ValueError:  # a newer release's
        return Reason.MANUAL
