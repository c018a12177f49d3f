"""Counts that name nobody: anonymous cells, a mailing's aggregate, and hygiene's one day.

A cell that could point at a person is never written. Where a group's audience in a mailing is below `min_group`
the count goes to what such groups of the mailing have together, and where that too (or the mailing's whole
anonymous audience) is below it, to the sender's total of the month. So it is with an aggregate pixel of a mailing
that too few got.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, text, update

from tracker.consent import Mode
from tracker.events import EventKind
from tracker.store.audience import in_small_groups, reaches
from tracker.store.database import Statement
from tracker.store.deliveries import Mailing, Sent, insert_mailing
from tracker.store.schema import contacts, counts, mailings
from tracker.tokens import KeyRing, mailing_id

_ADD = text(
    "INSERT INTO counts (mailing_id, scope, grp, kind, position, day, n)"
    " VALUES (:mailing_id, :scope, :grp, :kind, :position, :day, :n)"
    " ON CONFLICT (mailing_id, scope, grp, kind, position, day) DO UPDATE SET n = counts.n + excluded.n"
)
_SENDER = select(mailings.c.sender).where(mailings.c.id == bindparam("b_id"))
_LAST_OPEN = (
    update(contacts)
    .where(contacts.c.id == bindparam("b_id"))
    .where(contacts.c.erased_key.is_(None))
    .where(or_(contacts.c.last_open_day.is_(None), contacts.c.last_open_day < bindparam("b_day")))
    .values(last_open_day=bindparam("b_day"))
)


def counting_anonymous(
    sent: Sent, kind: EventKind, position: int, at: datetime, ring: KeyRing, min_group: int
) -> Callable[[Connection], None]:
    """Counts an anonymous hit in the finest cell that is large enough. Neither time nor delivery is kept."""
    cell = Cell(mailing=sent.mailing_id, group=sent.group or "", sender=sent.sender)

    def count(connection: Connection) -> None:
        count_in(connection, cell, kind, position, at, ring, min_group)

    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Where somebody would be counted if there were enough others."""

    mailing: bytes
    group: str
    sender: str


def count_in(
    connection: Connection,
    cell: Cell,
    kind: EventKind,
    position: int,
    at: datetime,
    ring: KeyRing,
    min_group: int,
    *,
    n: int = 1,
) -> None:
    """Counts one (or `n` alike) in the cell, or in the finest one above it that is large enough."""
    row: dict[str, Any] = {"kind": kind.value, "grp": "", "position": position, "n": n}
    row["day"] = f"{at:%Y-%m-%d}"
    if reaches(connection, cell.mailing, Mode.ANONYMOUS, min_group, cell.group):
        row |= {"mailing_id": cell.mailing, "scope": "group", "grp": cell.group}
    elif in_small_groups(connection, cell.mailing, min_group) >= min_group:
        row |= {"mailing_id": cell.mailing, "scope": "other"}
    else:
        _count_for_month(connection, month_of(cell.sender, at, ring), kind, f"{at:%Y-%m}", n)
        return
    connection.execute(_ADD, [row])


def counting_aggregate(
    mailing: bytes, at: datetime, ring: KeyRing, min_group: int
) -> Callable[[Connection], None]:
    """Counts an aggregate pixel: one more for the mailing where that hides its person, else for the sender's month.
    Of a mailing that is not on record nothing is counted: nobody knows how many got it."""

    def count(connection: Connection) -> None:
        sender = connection.execute(_SENDER, {"b_id": mailing}).scalar_one_or_none()
        if sender is None:
            return
        if reaches(connection, mailing, Mode.AGGREGATE, min_group):
            row = {"mailing_id": mailing, "scope": "aggregate", "grp": "", "position": 0, "day": "", "n": 1}
            connection.execute(_ADD, [row | {"kind": EventKind.OPENED.value}])
        else:
            _count_for_month(connection, month_of(sender, at, ring), EventKind.OPENED, f"{at:%Y-%m}")

    return count


def _count_for_month(connection: Connection, month: Mailing, kind: EventKind, name: str, n: int = 1) -> None:
    """The coarsest cell there is: neither the mailing nor the link stays."""
    statement, rows = insert_mailing(month)
    connection.execute(statement, rows)
    row = {
        "mailing_id": month.id,
        "scope": "month",
        "grp": "",
        "kind": kind.value,
        "position": 0,
        "day": name,
        "n": n,
    }
    connection.execute(_ADD, [row])


def noting_hygiene(contact_id: int, at: datetime) -> Statement:
    """Keeps the day of a contact's last open over the one before; no event, no message, no time."""
    return _LAST_OPEN, [{"b_id": contact_id, "b_day": f"{at:%Y-%m-%d}"}]


def month_of(sender: str, at: datetime, ring: KeyRing) -> Mailing:
    """The sender's total of a month, kept as a mailing of its own."""
    name = f"{sender} {at:%Y-%m}"
    return Mailing(
        id=mailing_id(f"sender-month\n{name}", ring), kind="sender-month", name=name, sender=sender
    )


def totals(connection: Connection, mailing: bytes) -> list[dict[str, Any]]:
    """A mailing's counts, summed over days: scope, group, kind, position, n."""
    query = (
        select(
            counts.c.scope, counts.c.grp, counts.c.kind, counts.c.position, func.sum(counts.c.n).label("n")
        )
        .where(counts.c.mailing_id == mailing)
        .group_by(counts.c.scope, counts.c.grp, counts.c.kind, counts.c.position)
        .order_by(counts.c.scope, counts.c.grp, counts.c.kind, counts.c.position)
    )
    return [{**row, "n": int(row["n"])} for row in connection.execute(query).mappings()]
