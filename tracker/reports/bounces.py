"""What was refused for good, where and in which words: bounced deliveries by the recipient's domain and by the last
answer. Of what is still on record: totals that the purge left say nothing of domains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.domain import Domain
from tracker.reports.domains import outcomes
from tracker.reports.sums import Scope
from tracker.statistics import Share
from tracker.store.schema import attempts, deliveries, messages

_WAITING = ("queued", "deferred", "returned", "new")
"""Their fate is not known, or is the client's."""


class By(StrEnum):
    """What bounces are counted by."""

    BOTH = "domain-and-reply"
    DOMAIN = "domain"
    REPLY = "reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """Bounces that have the domain, the answer, or both in common."""

    domain: str
    """`""` where it is not told apart."""
    code: int
    """0 where it is not told apart."""
    enhanced: str
    n: int
    latest: datetime
    example: str
    """What was said at the latest, as it was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BounceTotals:
    """Of a period: how many deliveries have a known fate, and how many of them bounced or were called spam."""

    bounced: Share
    complained: Share


_BOUNCED = deliveries.c.status == literal_column("'bounced'")
"""As the index of the few that were refused has it: no planner proves that of a parameter."""
_OF_PERIOD = deliveries.join(messages, messages.c.id == deliveries.c.message_id)


async def bounce_totals(domain: Domain, *, since: datetime, until: datetime) -> BounceTotals:
    """As the report by domain counts them. Raises StoreUnavailable."""
    found = await outcomes(domain, Scope(since=since, until=until))
    statuses = sum((one.statuses for one in found.domains), Counter[str]())
    known = sum(n for status, n in statuses.items() if status not in _WAITING)
    return BounceTotals(
        bounced=Share(n=statuses["bounced"], of=known),
        complained=Share(n=statuses["complained"], of=known),
    )


async def report_bounces(
    domain: Domain,
    by: By,
    *,
    since: datetime,
    until: datetime,
    search: str = "",
    sort: str = "n",
    descending: bool = True,
    limit: int,
    offset: int = 0,
) -> list[Bounced]:
    """The bounces of mail received in the period; `search`: a part of the domain. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[Bounced]:
        latest = _latest(since, until, search)
        columns = _columns(by, latest)
        number, last = func.count().label("n"), func.max(latest.c.attempt).label("last")
        query = (
            select(*columns.values(), number, last)
            .select_from(latest.join(attempts, attempts.c.id == latest.c.attempt))
            .group_by(*columns.values())
        )
        orders: Mapping[str, ColumnElement[Any]] = {"n": number, "latest": last, **columns}
        order = orders.get(sort, number)
        query = query.order_by(order.desc() if descending else order.asc(), *columns.values())
        rows = connection.execute(query.limit(limit).offset(offset)).all()
        return _told(connection, by, rows)

    return await domain.database.read(work, within=30.0)


def _latest(since: datetime, until: datetime, search: str) -> Any:
    """Each bounced delivery's domain and the id of its latest attempt."""
    attempt = select(func.max(attempts.c.id)).where(attempts.c.delivery_id == deliveries.c.id)
    query = (
        select(deliveries.c.domain, attempt.scalar_subquery().label("attempt"))
        .select_from(_OF_PERIOD)
        .where(messages.c.received_at.between(since, until), _BOUNCED)
    )
    if search:
        query = query.where(deliveries.c.domain.icontains(search, autoescape=True))
    return query.subquery()


def _columns(by: By, latest: Any) -> dict[str, ColumnElement[Any]]:
    columns: dict[str, ColumnElement[Any]] = {}
    if by is not By.REPLY:
        columns["domain"] = latest.c.domain
    if by is not By.DOMAIN:
        columns |= {"code": attempts.c.code, "enhanced": attempts.c.enhanced}
    return columns


def _told(connection: Connection, by: By, rows: Sequence[Any]) -> list[Bounced]:
    """With the words of each one's latest attempt."""
    said: dict[int, Any] = {}
    for start in range(0, len(rows), 500):
        some = attempts.c.id.in_([row.last for row in rows[start : start + 500]])
        said |= {row.id: row for row in connection.execute(select(attempts).where(some))}
    return [
        Bounced(
            domain=row.domain if by is not By.REPLY else "",
            code=row.code if by is not By.DOMAIN else 0,
            enhanced=row.enhanced if by is not By.DOMAIN else "",
            n=row.n,
            latest=said[row.last].at,
            example=said[row.last].text,
        )
        for row in rows
    ]
