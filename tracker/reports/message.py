"""One message in numbers (`tracker.reports.figures` says what they mean)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import EventKind
from tracker.reports.figures import Figures, scope_figures
from tracker.reports.sums import Scope, gathered
from tracker.store.carried import carried
from tracker.store.counts import totals
from tracker.store.messages import Link, links_of
from tracker.store.rollups_cells import key
from tracker.store.schema import mailings, messages


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCount:
    number: int
    url: str
    unique: int
    total: int
    text: str = ""
    """What its reader saw."""

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "url": self.url,
            "text": self.text,
            "unique": self.unique,
            "total": self.total,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReport:
    """The numbers of one message."""

    id: bytes
    subject: str
    mailing: str
    figures: Figures
    links: tuple[LinkCount, ...]
    mailing_counts: tuple[dict[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id.hex(),
            "subject": self.subject,
            "mailing": self.mailing,
            **self.figures.as_json(),
            "links": [one.as_json() for one in self.links],
            "mailing_counts": list(self.mailing_counts),
        }


async def report_message(domain: Domain, message_id: bytes) -> MessageReport:
    """The report of one message. Raises NotFound, StoreUnavailable."""
    return await domain.database.view(lambda connection: _report(connection, message_id), within=30.0)


def _report(connection: Connection, message_id: bytes) -> MessageReport:
    query = select(messages.c.subject, messages.c.mailing_id, messages.c.links, mailings.c.name).join(
        mailings, mailings.c.id == messages.c.mailing_id
    )
    message = connection.execute(query.where(messages.c.id == message_id)).one_or_none()
    if message is None:
        raise NotFound(f"there is no message {message_id.hex()}")
    mailing = bytes(message.mailing_id)
    return MessageReport(
        id=message_id,
        subject=message.subject,
        mailing=message.name,
        figures=scope_figures(connection, Scope(message=message_id)),
        links=_links(connection, message_id, links_of(message)),
        mailing_counts=(*_carried_counts(connection, mailing), *counts_without_names(connection, mailing)),
    )


def counts_without_names(connection: Connection, mailing: bytes) -> tuple[dict[str, Any], ...]:
    """What was counted in the mailing without saying of whom: totals, by cell, kind and link."""
    return tuple(
        {
            "scope": one["scope"],
            "group": one["grp"],
            "kind": one["kind"],
            "link": one["position"] or None,
            "count": one["n"],
        }
        for one in totals(connection, mailing)
    )


def _carried_counts(connection: Connection, mailing: bytes) -> tuple[dict[str, Any], ...]:
    """Hits of people whose messages were too small to keep theirs."""
    gone = carried(connection, mailing).human()
    return tuple(
        {"scope": "carried", "group": "", "kind": kind, "link": link or None, "count": n}
        for (kind, link), n in sorted(gone.items())
    )


def _links(connection: Connection, message_id: bytes, wrapped: Sequence[Link]) -> tuple[LinkCount, ...]:
    found = gathered(connection, Scope(message=message_id), ("link:people", "link:hits"))
    return tuple(
        LinkCount(
            number=one.number,
            url=one.url,
            text=one.text,
            unique=found["link:people", 0, key(EventKind.CLICKED.value, one.number)],
            total=found["link:hits", 0, key(EventKind.CLICKED.value, one.number)],
        )
        for one in wrapped
    )
