"""Which links people followed: by address, over the mail of any number of messages and any period.

Of what is still on record: the totals that the purge and erasures left know links by their number only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, distinct, func, select

from tracker.domain import Domain
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.store.carried import HUMAN
from tracker.store.messages import Link, links_of
from tracker.store.schema import events, messages

_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReport:
    """One address that links led to."""

    url: str
    """`""` where it went with a person who was erased."""
    text: str
    """What readers saw; of one of the messages."""
    unique: int
    """Deliveries of which a person followed it."""
    total: int
    messages: int
    """In which it was followed."""
    last: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "text": self.text,
            "unique": self.unique,
            "total": self.total,
            "messages": self.messages,
            "last": isoformat(self.last),
        }


async def report_links(
    domain: Domain, *, since: datetime, until: datetime, limit: int, search: str = ""
) -> list[LinkReport]:
    """The addresses that hold `search` and were followed in the period, those that most people followed first.
    Raises StoreUnavailable."""

    def work(connection: Connection) -> list[LinkReport]:
        sums: dict[str, _Sum] = {}
        for some in _in_batches(_clicks(connection, since, until)):
            _add(connection, some, sums, (since, until))
        wanted = search.casefold()
        found = [one.report(url) for url, one in sums.items() if wanted in url.casefold()]
        return sorted(found, key=lambda one: (-one.unique, -one.total, one.url))[:limit]

    return await domain.database.read(work, within=60.0)


class _Sum:
    """One address while it is added up."""

    def __init__(self, text: str, last: datetime) -> None:
        self.text, self.last = text, last
        self.unique = self.total = self.messages = 0

    def report(self, url: str) -> LinkReport:
        return LinkReport(
            url=url,
            text=self.text,
            unique=self.unique,
            total=self.total,
            messages=self.messages,
            last=self.last,
        )


def _human(since: datetime, until: datetime) -> Any:
    return (
        (events.c.kind == EventKind.CLICKED.value)
        & events.c.verdict.in_(HUMAN)
        & events.c.at.between(since, until)
    )


def _clicks(connection: Connection, since: datetime, until: datetime) -> Iterable[Any]:
    """By message and number of the link, a message's rows together."""
    return connection.execute(
        select(
            events.c.message_id,
            events.c.link,
            func.count(distinct(events.c.delivery_id)).label("people"),
            func.count().label("total"),
            func.max(events.c.at).label("last"),
        )
        .where(_human(since, until))
        .group_by(events.c.message_id, events.c.link)
        .order_by(events.c.message_id, events.c.link)
    )


def _in_batches(rows: Iterable[Any]) -> Iterable[dict[bytes, list[Any]]]:
    """The rows of some hundred messages each."""
    batch: dict[bytes, list[Any]] = {}
    for message, theirs in groupby(rows, key=lambda row: bytes(row.message_id)):
        batch[message] = list(theirs)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = {}
    if batch:
        yield batch


def _add(
    connection: Connection,
    some: Mapping[bytes, Sequence[Any]],
    sums: dict[str, _Sum],
    period: tuple[datetime, datetime],
) -> None:
    query = select(messages.c.id, messages.c.links).where(messages.c.id.in_(list(some)))
    led = {bytes(row.id): {link.number: link for link in links_of(row)} for row in connection.execute(query)}
    for message, rows in some.items():
        by_url: dict[str, list[Any]] = {}
        known = led.get(message, {})
        for row in rows:
            by_url.setdefault(known.get(row.link, _UNKNOWN).url, []).append(row)
        for url, theirs in by_url.items():
            last = max(row.last for row in theirs)
            one = sums.setdefault(url, _Sum(known.get(theirs[0].link, _UNKNOWN).text, last))
            one.last = max(one.last, last)
            one.messages += 1
            one.total += sum(row.total for row in theirs)
            # Who followed two links to one address is one of those who did.
            numbers = [row.link for row in theirs]
            one.unique += (
                theirs[0].people if len(theirs) == 1 else _people(connection, message, numbers, period)
            )


_UNKNOWN = Link(0, "", "")


def _people(
    connection: Connection,
    message: bytes,
    numbers: Collection[int],
    period: tuple[datetime, datetime],
) -> int:
    query = select(func.count(distinct(events.c.delivery_id))).where(
        events.c.message_id == message, events.c.link.in_(numbers), _human(*period)
    )
    return int(connection.execute(query).scalar_one())
