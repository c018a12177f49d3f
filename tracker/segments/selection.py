"""Who is in a segment: asked of the database in windows of the address book, so that however many people there are no
question takes long and few of them are in memory; and what it says is held against today's consent.

Contacts come first, then those who only ever got mail; each in the order of their addresses.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, select

from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.measurable import by_name
from tracker.segments.conditions import People, truth_of
from tracker.segments.terms import AnyNode, asks_for_behaviour, from_definition
from tracker.store.schema import contacts, deliveries

_WINDOW = 300
"""People who are looked at in one question: where the database's answers are read in the loop, that is not held up."""
_AT_ONCE = 300
"""Of whom consent is asked together."""
_WITHIN = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Somebody in a segment."""

    id: int | None
    """None: nobody has told us of them, they only got mail."""
    address: str
    group: str | None
    country: str | None
    consent: str
    do_not_track: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many there are; `is_all` False: the time was over, and there may be more."""

    people: int
    is_all: bool
    first: Sequence[Chosen] = ()


class Selection:
    """A segment as it is `now`. Its methods raise StoreUnavailable."""

    def __init__(self, domain: Domain, node: AnyNode, now: datetime) -> None:
        self._domain = domain
        self._node = node
        self._now = now
        self._by_behaviour = asks_for_behaviour(node)

    async def people(self) -> AsyncIterator[list[Chosen]]:
        """Everybody, some at a time; a list may be empty."""
        for look in (self._contacts, self._strangers):
            after: str | None = ""
            while after is not None:
                found, after = await self._domain.database.read(partial(look, after=after), within=_WITHIN)
                yield found

    async def size(self, *, first: int = 0, within: float | None = None) -> Size:
        """How many, with the `first` so many of them; after so many seconds as far as it was counted."""
        began, counted = time.monotonic(), 0
        shown: list[Chosen] = []
        async for some in self.people():
            counted += len(some)
            shown += some[: first - len(shown)]
            if within is not None and time.monotonic() - began > within:
                return Size(people=counted, is_all=False, first=shown)
        return Size(people=counted, is_all=True, first=shown)

    def among(self, connection: Connection, addresses: Collection[str]) -> set[str]:
        """Those of these people (addresses in normal form, some hundreds) who are in it."""
        asked = list(addresses)
        if not asked:
            return set()
        known = self._known(connection).where(contacts.c.address.in_(asked))
        strangers = self._unknown(connection, _got_mail().where(deliveries.c.recipient.in_(asked)))
        rows = [*connection.execute(known), *connection.execute(strangers)]
        return self._may(connection, [row.address for row in rows])

    def _contacts(self, connection: Connection, after: str) -> tuple[list[Chosen], str | None]:
        """The next window, and where the one after it begins; None at the end."""
        column = contacts.c.address
        until = _end(connection, column, after)
        query = self._known(connection).where(*_window(column, after, until))
        return self._admitted(connection, connection.execute(query.order_by(column)).all()), until

    def _strangers(self, connection: Connection, after: str) -> tuple[list[Chosen], str | None]:
        column = deliveries.c.recipient
        until = _end(connection, column, after)
        query = self._unknown(connection, _got_mail().where(*_window(column, after, until)))
        return self._admitted(connection, connection.execute(query).all()), until

    def _known(self, connection: Connection) -> Select[Any]:
        people = self._about(connection, contacts.c.address, is_known=True)
        columns = (contacts.c[name] for name in _COLUMNS)
        return select(*columns).where(contacts.c.address.is_not(None), truth_of(self._node, people).holds)

    def _unknown(self, connection: Connection, got_mail: Select[Any]) -> Select[Any]:
        stranger = got_mail.distinct().subquery("stranger")
        people = self._about(connection, stranger.c.address, is_known=False)
        query = select(stranger.c.address).where(truth_of(self._node, people).holds)
        return query.order_by(stranger.c.address)

    def _about(self, connection: Connection, address: ColumnElement[Any], *, is_known: bool) -> People:
        return People(address=address, is_known=is_known, now=self._now, dialect=connection.dialect.name)

    def _admitted(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[Chosen]:
        """Consent is asked after behaviour was: what was said meanwhile counts."""
        may = self._may(connection, [row.address for row in rows])
        return [_chosen(row) for row in rows if row.address in may]

    def _may(self, connection: Connection, addresses: Sequence[str]) -> set[str]:
        if not self._by_behaviour:
            return set(addresses)
        return {
            one
            for start in range(0, len(addresses), _AT_ONCE)
            for one in by_name(self._domain, connection, addresses[start : start + _AT_ONCE])
        }


async def saved(domain: Domain, name: str, now: datetime) -> Selection:
    """The segment that is saved under this name. Raises NotFound, InvalidValue, StoreUnavailable."""
    found = await domain.segments.get(name)
    return Selection(domain, from_definition(found.definition), now)


_COLUMNS = ("id", "address", "grp", "country", "tracking_consent", "do_not_track")


def _chosen(row: Row[Any]) -> Chosen:
    if len(row) == 1:
        silent = {"consent": Consent.UNKNOWN.value, "do_not_track": DoNotTrack.UNSET.value}
        return Chosen(id=None, address=row.address, group=None, country=None, **silent)
    return Chosen(
        id=row.id,
        address=row.address,
        group=row.grp or None,
        country=row.country or None,
        consent=row.tracking_consent,
        do_not_track=row.do_not_track,
    )


def _got_mail() -> Select[Any]:
    """Who got mail and is no contact."""
    is_contact = exists().where(contacts.c.address == deliveries.c.recipient)
    return select(deliveries.c.recipient.label("address")).where(
        deliveries.c.recipient.is_not(None), ~is_contact
    )


def _end(connection: Connection, column: ColumnElement[Any], after: str) -> str | None:
    """The last one of the window behind `after`; None where there are no more than fit in."""
    query = select(column).where(column > after).order_by(column).offset(_WINDOW - 1).limit(1)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def _window(column: ColumnElement[Any], after: str, until: str | None) -> Iterable[ColumnElement[bool]]:
    return (column > after,) if until is None else (column > after, column <= until)
