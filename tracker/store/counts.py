"""Counts that name nobody: anonymous cells, a mailing's aggregate, and hygiene's one day.

A cell that could point at a person is never written. Where a group's audience in a mailing is below `min_group`
the count goes to what such groups of the mailing have together, and where that too (or the mailing's whole
anonymous audience) is below it, to the sender's total of the month.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, text, update

from tracker.events import EventKind
from tracker.store.database import Statement
from tracker.store.deliveries import Mailing, Sent, insert_mailing
from tracker.store.schema import audiences, contacts, counts
from tracker.tokens import KeyRing, mailing_id

_ADD = text(
    "INSERT INTO counts (mailing_id, scope, grp, kind, position, day, n)"
    " VALUES (:mailing_id, :scope, :grp, :kind, :position, :day, 1)"
    " ON CONFLICT (mailing_id, scope, grp, kind, position, day) DO UPDATE SET n = counts.n + 1"
)
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
    day = f"{at:%Y-%m-%d}"
    month = month_of(sent.sender, at, ring)

    def count(connection: Connection) -> None:
        query = select(audiences.c.grp, audiences.c.size).where(audiences.c.mailing_id == sent.mailing_id)
        sizes: dict[str, int] = {row.grp: row.size for row in connection.execute(query)}
        row: dict[str, Any] = {"kind": kind.value, "grp": "", "position": position, "day": day}
        small = sum(size for size in sizes.values() if size < min_group)
        if sizes.get(sent.group or "", 0) >= min_group:
            row |= {"mailing_id": sent.mailing_id, "scope": "group", "grp": sent.group or ""}
        elif small >= min_group:
            row |= {"mailing_id": sent.mailing_id, "scope": "other"}
        else:
            row |= {"mailing_id": month.id, "scope": "month", "position": 0, "day": day[:7]}
            statement, rows = insert_mailing(month)
            connection.execute(statement, rows)
        connection.execute(_ADD, [row])

    return count


def counting_aggregate(mailing: bytes) -> Statement:
    """Counts an aggregate pixel: one more for the mailing, and nothing else."""
    row = {"mailing_id": mailing, "scope": "aggregate", "grp": "", "kind": "opened", "position": 0, "day": ""}
    return _ADD, [row]


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
