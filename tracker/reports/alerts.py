"""What somebody was told, or was to be told, as it happened.

Who may not be measured by name today is not named, nor is the mail by which one could tell who it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from tracker.alerting.finding import measured
from tracker.domain import Domain
from tracker.store.alerts import Found
from tracker.store.messages import urls
from tracker.store.schema import alerts, messages

SORTS = ("at", "name", "kind", "state")
_WITHIN = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One alert. Of somebody who is not to be named today, `is_hidden`, and nothing of what they did is told."""

    id: int
    name: str
    kind: str
    at: datetime
    found_at: datetime
    state: str
    is_hidden: bool = False
    address: str | None = None
    message_id: bytes | None = None
    subject: str = ""
    url: str = ""
    """Of the link that was followed."""
    domain: str = ""
    """Of bounces; `""` for all."""
    n: int = 0
    of: int = 0


async def find_alerts(
    domain: Domain, *, sort: str = "at", descending: bool = True, limit: int, offset: int = 0, after: int = 0
) -> list[Told]:
    """The alerts taken down behind the one of number `after`, by one of `SORTS`. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[Told]:
        order = alerts.c[sort]
        query = select(alerts).where(alerts.c.id > after)
        query = query.order_by(order.desc() if descending else order, alerts.c.id.desc())
        return told(domain, connection, connection.execute(query.limit(limit).offset(offset)).all())

    return await domain.database.read(work, within=_WITHIN)


def told(domain: Domain, connection: Connection, rows: Sequence[Any]) -> list[Told]:
    """Rows of `alerts` as they may be told today."""
    may = measured(domain, connection, [_found(row) for row in rows if row.delivery_id is not None])
    shown = {
        bytes(row.message_id) for row in rows if row.delivery_id is not None and bytes(row.delivery_id) in may
    }
    query = select(messages.c.id, messages.c.subject).where(messages.c.id.in_(shown))
    subjects = {bytes(row.id): row.subject for row in connection.execute(query)} if shown else {}
    leads = urls(connection, shown)
    return [_told(row, may, subjects, leads) for row in rows]


def _told(
    row: Any,
    may: Mapping[bytes, str],
    subjects: Mapping[bytes, str],
    leads: Mapping[tuple[bytes, int | None], str],
) -> Told:
    plain: dict[str, Any] = {
        name: getattr(row, name) for name in ("id", "name", "kind", "at", "found_at", "state")
    }
    if row.delivery_id is None:
        return Told(**plain, domain=row.domain, n=row.n, of=row.of)
    address = may.get(bytes(row.delivery_id))
    if address is None:
        return Told(**plain, is_hidden=True)
    message = bytes(row.message_id)
    return Told(
        **plain,
        address=address,
        message_id=message,
        subject=subjects.get(message, ""),
        url=leads.get((message, row.link), "") if row.kind == "click" else "",
        n=row.n,
    )


def _found(row: Any) -> Found:
    delivery = bytes(row.delivery_id)
    return Found(name=row.name, kind=row.kind, key=bytes(row.key), at=row.at, delivery_id=delivery)


def about(one: Told) -> str:
    """Whom or what it is about, as people read it."""
    if one.is_hidden:
        return "(not to be named today)"
    if one.kind == "bounces":
        return one.domain or "all domains"
    return one.address or ""


def what(one: Told) -> str:
    """What happened, in few words."""
    if one.is_hidden:
        return ""
    if one.kind == "opens":
        return f"opened {one.n} times"
    if one.kind == "click":
        return f"followed {one.url}" if one.url else "followed a link"
    return f"{one.n} of {one.of} bounced" if one.kind == "bounces" else "a letter to try it"
