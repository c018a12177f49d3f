"""Who is known: the current value of each contact. Changes go through `tracker.store.register`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, text

from tracker.address import erased_key, erased_key_of, normalize
from tracker.consent import Consent, Contact, DoNotTrack
from tracker.errors import NotFound
from tracker.store.database import Database, Statement
from tracker.store.question import Question
from tracker.store.schema import Id, Moment, contacts
from tracker.tokens import KeyRing

_ASKED = (
    contacts.c.id,
    contacts.c.tracking_consent,
    contacts.c.do_not_track,
    contacts.c.erased_key,
    contacts.c.grp,
    contacts.c.country,
)
_BY_ERASED_KEY = Question(select(*_ASKED).where(contacts.c.erased_key.in_(bindparam("keys", expanding=True))))
_BY_EITHER = Question(
    select(*_ASKED, contacts.c.address).where(
        or_(
            contacts.c.address.in_(bindparam("addresses", expanding=True)),
            contacts.c.erased_key.in_(bindparam("keys", expanding=True)),
        )
    )
)

_KNOW = text(
    "INSERT INTO contacts (address, tracking_consent, do_not_track, attributes, created_at)"
    " SELECT CAST(:address AS TEXT), 'unknown', 'unset', '{}', :created_at"
    " WHERE NOT EXISTS (SELECT 1 FROM contacts WHERE erased_key = :erased_key) ON CONFLICT (address) DO NOTHING"
).bindparams(bindparam("created_at", type_=Moment), bindparam("erased_key", type_=Id))


def knowing(addresses: Iterable[str], at: datetime, ring: KeyRing) -> Statement:
    """The statement that makes contacts of those who are none yet, in normal form; it changes nobody else, and an
    erased person it leaves erased."""
    return _KNOW, [
        {"address": address, "erased_key": erased_key(address, ring.permanent), "created_at": at}
        for address in sorted(addresses)
    ]


def erased_among(connection: Connection, addresses: Collection[str], ring: KeyRing) -> dict[str, Contact]:
    """Those of the addresses (in normal form) whose person was erased."""
    keys = {erased_key_of(address, ring.permanent): address for address in addresses}
    if not keys:
        return {}
    rows = _BY_ERASED_KEY.rows(connection, keys=list(keys))
    return {keys[bytes(row.erased_key)]: contact_of(row) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Everything kept of one contact, for the operator and for the person's own questions."""

    id: int
    address: str | None
    consent: Consent
    consent_as_of: datetime | None
    consent_source: str | None
    do_not_track: DoNotTrack
    country: str | None
    group: str | None
    attributes: dict[str, str]
    last_open_day: str | None
    erased: bool
    created_at: datetime


class Contacts:
    """Reads of the contact table."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring
        self._asked = database.coalesced(self.fetch)

    async def ask(self, addresses: Collection[str]) -> dict[str, Contact]:
        """The contact of each address (in normal form); one of whom nothing is known is simply unknown.

        Raises StoreUnavailable: then nobody may be tracked."""
        found = await self._asked.get(addresses)
        return {address: found.get(address) or Contact() for address in addresses}

    async def show(self, address: str) -> Person:
        """All that is kept of one person. Raises InvalidAddress, NotFound, StoreUnavailable."""
        normal = normalize(address)
        row = await self._database.read(lambda connection: find(connection, normal, self._ring))
        if row is None:
            raise NotFound(f"nothing is known of {address}")
        return person_of(row)

    def fetch(self, connection: Connection, addresses: list[str]) -> dict[str, Contact]:
        """The contacts of those addresses (in normal form) of which anything is known."""
        keys = {erased_key_of(address, self._ring.permanent): address for address in addresses}
        found: dict[str, Contact] = {}
        for row in _BY_EITHER.rows(connection, addresses=addresses, keys=list(keys)):
            erased = None if row.erased_key is None else keys.get(bytes(row.erased_key))
            if erased is not None:  # wins, whatever stands beside it: doubt never tracks
                found[erased] = contact_of(row)
            if row.address is not None:
                found.setdefault(row.address, contact_of(row))
        return found


def find(connection: Connection, address: str, ring: KeyRing) -> Any:
    """The whole row of one person, erased or not; `address` in normal form."""
    row = connection.execute(select(contacts).where(contacts.c.address == address)).one_or_none()
    if row is not None:
        return row
    key = erased_key(address, ring.permanent)
    return connection.execute(select(contacts).where(contacts.c.erased_key == key)).one_or_none()


def contact_of(row: Any) -> Contact:
    """The value the decision works with. A word that no release of ours writes reads as a refusal."""
    consent, do_not_track = _choices(row.tracking_consent, row.do_not_track)
    return Contact(
        id=row.id,
        consent=consent,
        do_not_track=do_not_track,
        erased=row.erased_key is not None,
        group=row.grp,
        country=row.country,
    )


@lru_cache(maxsize=64)
def _choices(consent: str, do_not_track: str) -> tuple[Consent, DoNotTrack]:
    try:
        return Consent(consent), DoNotTrack(do_not_track)
    except ValueError:
        return Consent.DENIED, DoNotTrack.TRUE


def person_of(row: Any) -> Person:
    """Everything in a contact's row."""
    return Person(
        id=row.id,
        address=row.address,
        consent=Consent(row.tracking_consent),
        consent_as_of=row.consent_as_of,
        consent_source=row.consent_source,
        do_not_track=DoNotTrack(row.do_not_track),
        country=row.country,
        group=row.grp,
        attributes=dict(row.attributes),
        last_open_day=row.last_open_day,
        erased=row.erased_key is not None,
        created_at=row.created_at,
    )
