"""One mailing in numbers: a campaign, or what one author sent on one day; and its variants held against each other.

The figures of a mailing are those of its messages and, where the purge found messages too small to keep totals of
their own, what it left with the mailing. The latter belong to no variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, func, select

from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.reports.figures import Figures, added, carried_figures, figures_by
from tracker.reports.message import counts_without_names
from tracker.reports.sums import Scope, variants_of
from tracker.statistics import Contest, contest
from tracker.store.schema import mailings, messages


@dataclass(frozen=True, slots=True, kw_only=True)
class MailingReport:
    """The numbers of one mailing."""

    id: bytes
    name: str
    kind: str
    """`campaign`, `sender-day` or `sender-month`."""
    messages: int
    first: datetime | None
    last: datetime | None
    """When its first and last message came in; None where it has none any more."""
    figures: Figures
    variants: Mapping[str, Figures]
    """By the name in `X-Candor-Variant`; `""` for messages of none. Empty where no message has one."""
    counts: tuple[dict[str, Any], ...]

    def contest(self, kind: EventKind) -> Contest | None:
        """The named variants held against each other; None where there are fewer than two."""
        return contest({name: one.share(kind) for name, one in self.variants.items() if name})

    def as_json(self) -> dict[str, Any]:
        found = {kind.value: self.contest(kind) for kind in EventKind}
        return {
            "id": self.id.hex(),
            "name": self.name,
            "kind": self.kind,
            "messages": self.messages,
            "first": isoformat(self.first) if self.first else None,
            "last": isoformat(self.last) if self.last else None,
            **self.figures.as_json(),
            "variants": {name: one.as_json() for name, one in self.variants.items()},
            "contests": {kind: asdict(one) for kind, one in found.items() if one is not None},
            "counts": list(self.counts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A mailing among others."""

    name: str
    kind: str
    messages: int
    last: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "messages": self.messages,
            "last": isoformat(self.last),
        }


async def report_mailing(domain: Domain, name: str) -> MailingReport:
    """The report of the mailing of this name; of a campaign, where a sender's day is called the same. Raises
    NotFound, StoreUnavailable."""
    return await domain.database.view(lambda connection: _report(connection, name), within=30.0)


async def latest_mailings(
    domain: Domain,
    *,
    limit: int,
    offset: int = 0,
    search: str = "",
    sort: str = "last",
    descending: bool = True,
) -> list[Listed]:
    """The mailings whose name holds `search`, by when their last message came in, or by `name`, `kind` or number of
    `messages`. Raises StoreUnavailable."""
    return await domain.database.view(
        lambda connection: _latest(connection, search, sort, descending, limit, offset), within=30.0
    )


def _latest(
    connection: Connection, search: str, sort: str, descending: bool, limit: int, offset: int
) -> list[Listed]:
    theirs = messages.c.mailing_id == mailings.c.id
    last = select(func.max(messages.c.received_at)).where(theirs).scalar_subquery()
    number = select(func.count()).select_from(messages).where(theirs).scalar_subquery()
    sorts = {"last": last, "name": mailings.c.name, "kind": mailings.c.kind, "messages": number}
    order = sorts[sort].desc() if descending else sorts[sort].asc()
    query = select(mailings.c.id, mailings.c.name, mailings.c.kind, last.label("last"))
    query = query.where(exists().where(theirs)).order_by(order, mailings.c.name)
    if search:
        query = query.where(mailings.c.name.icontains(search, autoescape=True))
    rows = connection.execute(query.limit(limit).offset(offset)).all()
    # Counted for those only that are shown.
    counted = select(messages.c.mailing_id, func.count()).where(
        messages.c.mailing_id.in_([row.id for row in rows])
    )
    sizes = {bytes(row[0]): row[1] for row in connection.execute(counted.group_by(messages.c.mailing_id))}
    return [
        Listed(name=row.name, kind=row.kind, messages=sizes[bytes(row.id)], last=row.last) for row in rows
    ]


def _report(connection: Connection, name: str) -> MailingReport:
    # "campaign" sorts before the others.
    query = select(mailings).where(mailings.c.name == name).order_by(mailings.c.kind).limit(1)
    mailing = connection.execute(query).one_or_none()
    if mailing is None:
        raise NotFound(f"there is no mailing called {name!r}; `candor report campaign` lists those there are")
    subject = bytes(mailing.id)
    theirs = messages.c.mailing_id == subject
    times = connection.execute(
        select(func.count(), func.min(messages.c.received_at), func.max(messages.c.received_at)).where(theirs)
    ).one()
    variants = figures_by(
        connection, {one: Scope(mailing=subject, variant=one) for one in variants_of(connection, subject)}
    )
    return MailingReport(
        id=subject,
        name=mailing.name,
        kind=mailing.kind,
        messages=times[0],
        first=times[1],
        last=times[2],
        figures=added([*variants.values(), carried_figures(connection, subject)]),
        variants=variants if any(variants) else {},
        counts=counts_without_names(connection, subject),
    )
