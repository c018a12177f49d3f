"""Erasure of a person (GDPR art. 17): what named them goes, a keyed hash stays so that nobody tracks them again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, null, text, update

from tracker.address import erased_key, normalize
from tracker.consent import Consent, DoNotTrack
from tracker.store.audience import leaving
from tracker.store.contacts import find
from tracker.store.database import Database
from tracker.store.engines import hold_writers
from tracker.store.ledger import end_of_chain, write_chain
from tracker.store.schema import Id, attempts, consent_ledger, contacts, deliveries, events
from tracker.tokens import KeyRing

_ELSEWHERE = tuple(
    text(statement).bindparams(bindparam("key", type_=Id))
    for statement in (
        "UPDATE suppressions SET address = NULL, note = '' WHERE person_key = :key",
        "DELETE FROM return_paths WHERE sender_key = :key",
    )
)
"""Mail's own tables that outlast a delivery, by name only: the tracker knows nothing of mail, and one chain of
migrations makes the tables of both. An address that takes no mail stays suppressed, by its keyed hash."""


class Erasure:
    """`await Erasure(database, ring).erase(address, now=...)`."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def erase(self, address: str, *, actor: str, now: datetime) -> int:
        """Erases the person, known or not, and gives the number of events that went with them.

        Raises InvalidAddress, StoreUnavailable."""
        normal = normalize(address)
        removed = await self._database.change(
            lambda connection: _erase(connection, normal, actor, now, self._ring), within=60.0
        )
        await self._database.forget()
        return removed


def _erase(connection: Connection, address: str, actor: str, now: datetime, ring: KeyRing) -> int:
    hold_writers(connection)  # or a delivery that is being written now would name them for ever
    link = end_of_chain(
        connection
    )  # before anybody is touched, as the register does: else they block each other
    row = find(connection, address, ring)
    blank: dict[str, Any] = {
        "address": None,
        "erased_key": erased_key(address, ring.permanent),
        "tracking_consent": Consent.DENIED,
        "consent_as_of": now,
        "consent_source": "erasure",
        "do_not_track": DoNotTrack.TRUE,
        "do_not_track_as_of": None,
        "do_not_track_source": None,
        "country": None,
        "grp": None,
        "attributes": {},
        "last_open_day": None,
    }
    if row is None:
        contact_id = connection.execute(
            insert(contacts).values(created_at=now, **blank).returning(contacts.c.id)
        ).scalar_one()
    else:
        contact_id = row.id
        connection.execute(update(contacts).where(contacts.c.id == contact_id).values(**blank))
        connection.execute(
            update(consent_ledger)
            .where(consent_ledger.c.contact_id == contact_id)
            .values(contact_id=null(), salt=null(), content=null())
        )
    link.add(now, contact_id, {"attribute": "status", "new": "erased", "actor": actor})
    write_chain(connection, link)
    leaving(connection, address)
    for statement in _ELSEWHERE:
        connection.execute(statement, {"key": blank["erased_key"]})
    return _erase_deliveries(connection, address)


def _erase_deliveries(connection: Connection, address: str) -> int:
    """Cuts the person loose from what they were sent. The deliveries come first: whoever writes an event or an
    attempt of one of them is waited for, and what they wrote is found."""
    named = update(deliveries).where(deliveries.c.recipient == address).returning(deliveries.c.id)
    ids = list(
        connection.execute(named.values(recipient=null(), grp=null(), domain="", person_key=null())).scalars()
    )
    removed = 0
    for start in range(0, len(ids), 900):
        some = ids[start : start + 900]
        removed += connection.execute(delete(events).where(events.c.delivery_id.in_(some))).rowcount
        connection.execute(update(attempts).where(attempts.c.delivery_id.in_(some)).values(text=""))
    return removed
