"""What people ask of the operator on their own page: their data, or to be erased (GDPR art. 15, 17, 20).

A request is open until somebody settles it. While one is open, asking again is the same request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, desc, insert, select, update

from tracker.address import normalize
from tracker.errors import InvalidValue, NotFound
from tracker.store.contacts import find, knowing
from tracker.store.database import Database, execute
from tracker.store.engines import BeforeErasures
from tracker.store.schema import contacts, requests
from tracker.tokens import KeyRing

MOST_NOTE = 1000
"""Characters of a note that are kept."""
NOBODY = 0
"""Stands for the contact where a request was that of somebody who was erased and came back."""


class RequestKind(StrEnum):
    EXPORT = "export"
    ERASE = "erase"


class RequestState(StrEnum):
    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asked for. `address` is None for a person who is erased."""

    id: int
    kind: RequestKind
    state: RequestState
    address: str | None
    asked_at: datetime
    settled_at: datetime | None
    note: str
    """Why it was refused, or what the operator wants to remember."""


class Requests:
    """`await Requests(database, ring).ask(address, kind, now)`."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def ask(self, address: str, kind: RequestKind, now: datetime) -> Request:
        """Puts a request on the operator's list; the one that is open already, where there is one. A person of whom
        nothing is known becomes a contact. Raises InvalidAddress, StoreUnavailable."""
        normal = normalize(address)
        return await self._database.change(lambda connection: self._ask(connection, normal, kind, now))

    async def list(
        self, state: RequestState | None = RequestState.OPEN, *, limit: int = 100
    ) -> list[Request]:
        """The requests in a state (None: in any), oldest first; settled ones latest first. Raises
        StoreUnavailable."""
        return await self._database.read(lambda connection: _list(connection, state, limit))

    async def done(self, number: int, now: datetime, *, note: str = "") -> Request:
        """Settles it. Raises NotFound, InvalidValue where it is settled, or where the person was to be erased and is
        not, StoreUnavailable."""
        return await self._database.change(
            lambda connection: _settle(connection, number, RequestState.DONE, now, note)
        )

    async def refuse(self, number: int, now: datetime, *, note: str) -> Request:
        """Settles it without doing it, and says why. Raises NotFound, InvalidValue, StoreUnavailable."""
        return await self._database.change(
            lambda connection: _settle(connection, number, RequestState.REFUSED, now, note)
        )

    def _ask(self, connection: Connection, address: str, kind: RequestKind, now: datetime) -> Request:
        execute(connection, [(BeforeErasures(), [{}]), knowing([address], now, self._ring)])
        person = find(connection, address, self._ring)
        # Two who ask at once: the second waits here and finds the first's request.
        connection.execute(select(contacts.c.id).where(contacts.c.id == person.id).with_for_update())
        query = _REQUESTS.where(requests.c.contact_id == person.id).where(requests.c.kind == kind.value)
        held = connection.execute(query.where(requests.c.state == RequestState.OPEN.value)).first()
        if held is not None:
            return _request(held)
        row = {"contact_id": person.id, "kind": kind.value, "state": RequestState.OPEN.value, "note": ""}
        new = insert(requests).values(asked_at=now, **row).returning(requests.c.id)
        return _get(connection, connection.execute(new).scalar_one())


_REQUESTS = select(requests, contacts.c.address, contacts.c.erased_key).outerjoin(
    contacts, contacts.c.id == requests.c.contact_id
)


def settling_erased(connection: Connection, contact_id: int, now: datetime) -> None:
    """For an erasure: it is what was asked for, and there is nothing left to be handed out. Notes go."""
    mine = update(requests).where(requests.c.contact_id == contact_id)
    connection.execute(mine.values(note=""))
    still_open = mine.where(requests.c.state == RequestState.OPEN.value)
    for kind, state in ((RequestKind.ERASE, RequestState.DONE), (RequestKind.EXPORT, RequestState.REFUSED)):
        connection.execute(
            still_open.where(requests.c.kind == kind.value).values(state=state.value, settled_at=now)
        )


def requests_of(connection: Connection, contact_id: int) -> list[Request]:
    """All that a person ever asked for."""
    query = _REQUESTS.where(requests.c.contact_id == contact_id).order_by(requests.c.id)
    return [_request(row) for row in connection.execute(query)]


def _list(connection: Connection, state: RequestState | None, limit: int) -> list[Request]:
    query = _REQUESTS.limit(limit)
    if state is not None:
        query = query.where(requests.c.state == state.value)
    latest_first = state is not RequestState.OPEN
    query = query.order_by(desc(requests.c.id) if latest_first else requests.c.id)
    return [_request(row) for row in connection.execute(query)]


def _get(connection: Connection, number: int) -> Request:
    row = connection.execute(_REQUESTS.where(requests.c.id == number)).one_or_none()
    if row is None:
        raise NotFound(f"there is no request {number}")
    return _request(row)


def _settle(connection: Connection, number: int, state: RequestState, now: datetime, note: str) -> Request:
    connection.execute(select(requests.c.id).where(requests.c.id == number).with_for_update())
    asked = _get(connection, number)
    if asked.state is not RequestState.OPEN:
        raise InvalidValue(f"request {number} is {asked.state} already")
    if state is RequestState.DONE and asked.kind is RequestKind.ERASE and asked.address is not None:
        raise InvalidValue(
            f"request {number} asks for erasure, and the person is not erased: `candor contact erase {asked.address}` "
            "does it and settles the request"
        )
    values: dict[str, Any] = {"state": state.value, "settled_at": now, "note": note[:MOST_NOTE]}
    connection.execute(update(requests).where(requests.c.id == number).values(**values))
    return _get(connection, number)


def _request(row: Any) -> Request:
    return Request(
        id=row.id,
        kind=RequestKind(row.kind),
        state=RequestState(row.state),
        address=row.address,
        asked_at=row.asked_at,
        settled_at=row.settled_at,
        note=row.note,
    )
