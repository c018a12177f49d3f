"""Erasure of a person (GDPR art. 17): what named them goes, a keyed hash stays so that nobody tracks them again.

It works while mail flows. Most of what somebody was sent is cut loose in small transactions beforehand; the last one
takes what is left, the contact and the ledger together. Who runs it twice, or again after a crash, does no harm.
What their events added up to is carried on without them. Mail that is still owed to them is delivered, untracked, and
the queue forgets them with it: asking not to be known is no wish to lose mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, insert, null, select, update

from tracker.address import erased_key, normalize
from tracker.consent import Consent, DoNotTrack
from tracker.store import alerts, rollups
from tracker.store.audience import leaving, parting
from tracker.store.carried import Places, carry_events
from tracker.store.contacts import find
from tracker.store.conversions import of_person
from tracker.store.credits import carry_conversions
from tracker.store.database import Database
from tracker.store.engines import hold_writers
from tracker.store.holders import Holder
from tracker.store.ledger import end_of_chain, write_chain
from tracker.store.messages import links_of
from tracker.store.requests import settling_erased
from tracker.store.schema import (
    attempts,
    consent_ledger,
    contacts,
    deliveries,
    events,
    mailings,
    messages,
)
from tracker.store.shares import Share, fold_log
from tracker.tokens import KeyRing

_LAST = 10
"""Deliveries that the last transaction takes with it; there are hardly more events than that left by then."""
_EVENTS = 3
"""That are carried where one delivery is cut loose."""
_PAGE = 500
_WITHIN = 60.0


_KEEP_NUMBERS = (
    update(messages)
    .where(messages.c.id == bindparam("b_id"))
    .values(links=bindparam("b_links", type_=messages.c.links.type))
)


class Erasure:
    """`await Erasure(database, ring).erase(address, now=...)`. `holders` keep something of people beside us;
    `min_group` persons a total must be about to stand on its own."""

    def __init__(
        self, database: Database, ring: KeyRing, holders: Sequence[Holder] = (), *, min_group: int = 5
    ) -> None:
        self._database = database
        self._ring = ring
        self._holders = holders
        self._min_group = min_group

    async def erase(self, address: str, *, actor: str, now: datetime) -> int:
        """Erases the person, known or not, and gives the number of events that went with them.

        Raises InvalidAddress, StoreUnavailable."""
        normal = normalize(address)
        share, removed = Share(), 0
        while some := await self._database.change(
            share.of(partial(self._carry, address=normal)), within=_WITHIN
        ):
            removed += some
        while await self._database.read(partial(_has_many, address=normal), within=_WITHIN):
            cut = share.of(partial(self._cut_loose, address=normal))
            removed += await self._database.change(cut, within=_WITHIN)
        removed += await self._database.change(
            lambda connection: self._erase(connection, normal, actor, now), within=_WITHIN
        )
        await self._leave_audiences(normal)
        await fold_log(self._database, within=_WITHIN)
        await self._database.forget()
        return removed

    async def _leave_audiences(self, address: str) -> None:
        """Of mailings too whose deliveries to the person were purged: there is no way from them to the audience but
        the key that the person has in each."""
        after = b""
        while some := await self._database.read(partial(_mailings, after=after), within=_WITHIN):
            after = some[-1]
            leave = partial(parting, address=address, among=some, ring=self._ring)
            await self._database.change(leave, within=_WITHIN)

    def _erase(self, connection: Connection, address: str, actor: str, now: datetime) -> int:
        hold_writers(connection)  # or a delivery that is being written now would name them for ever
        # Before anybody is touched, as the register does: else they block each other.
        link = end_of_chain(connection)
        contact_id = _erase_contact(connection, address, now, self._ring)
        link.add(now, contact_id, {"attribute": "status", "new": "erased", "actor": actor})
        write_chain(connection, link)
        settling_erased(connection, contact_id, now)
        places = Places(connection, self._ring, self._min_group)
        carry_conversions(connection, of_person(address, self._ring), places)
        removed = self._cut_loose(connection, None, address)
        for holder in self._holders:
            holder.erase(connection, address, self._ring)
        return removed

    def _carry(self, connection: Connection, most: int, address: str) -> int:
        """Some of their events go, before what they belong to: of one mail there may be thousands."""
        rows = connection.execute(_events_of(address).limit(most * _EVENTS)).all()
        held = sorted({bytes(row.delivery_id) for row in rows})
        mine = select(deliveries.c.id).where(deliveries.c.id.in_(held)).order_by(deliveries.c.id)
        connection.execute(mine.with_for_update())
        places = Places(connection, self._ring, self._min_group)
        return carry_events(connection, events.c.id.in_([row.id for row in rows]), held, places)

    def _cut_loose(self, connection: Connection, limit: int | None, address: str) -> int:
        """Cuts the person loose from what they were sent. The deliveries come first: whoever writes an event or an
        attempt of one of them, or takes it into an audience, is waited for, and what they wrote is found."""
        theirs = (
            select(deliveries.c.id, deliveries.c.message_id, deliveries.c.person_key)
            .where(deliveries.c.recipient == address)
            .order_by(deliveries.c.id)
            .limit(limit)
            .with_for_update()
        )
        rows = connection.execute(theirs).all()
        places, removed = Places(connection, self._ring, self._min_group), 0
        for start in range(0, len(rows), 900):
            some = rows[start : start + 900]
            ids = [bytes(row.id) for row in some]
            leaving(connection, [(bytes(row.message_id), row.person_key) for row in some])
            rollups.take_back(connection, ids)
            mine = deliveries.c.id.in_(ids)
            nobody = {"recipient": null(), "grp": null(), "domain": "", "person_key": null()}
            connection.execute(update(deliveries).where(mine).values(nobody))
            removed += carry_events(connection, events.c.delivery_id.in_(ids), ids, places)
            connection.execute(update(attempts).where(attempts.c.delivery_id.in_(ids)).values(text=""))
            alerts.forget(connection, ids)
            sent = {bytes(row.message_id) for row in some}
            _forget_content(connection, sent)
            for holder in self._holders:
                holder.forget_content(connection, sent)
        return removed


def _events_of(address: str) -> Select[tuple[int, bytes]]:
    """In the order of their deliveries, so that a transaction touches few of those."""
    mine = deliveries.c.id == events.c.delivery_id
    query = select(events.c.id, events.c.delivery_id).join(deliveries, mine)
    return query.where(deliveries.c.recipient == address).order_by(events.c.delivery_id, events.c.id)


def _mailings(connection: Connection, after: bytes) -> list[bytes]:
    query = select(mailings.c.id).where(mailings.c.id > after).order_by(mailings.c.id).limit(_PAGE)
    return [bytes(one) for one in connection.execute(query).scalars()]


def _has_many(connection: Connection, address: str) -> bool:
    query = select(deliveries.c.id).where(deliveries.c.recipient == address).limit(_LAST + 1)
    return len(connection.execute(query).all()) > _LAST


def _erase_contact(connection: Connection, address: str, now: datetime, ring: KeyRing) -> int:
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
        new = insert(contacts).values(created_at=now, **blank).returning(contacts.c.id)
        contact_id: int = connection.execute(new).scalar_one()
        return contact_id
    connection.execute(update(contacts).where(contacts.c.id == row.id).values(**blank))
    said = update(consent_ledger).where(consent_ledger.c.contact_id == row.id)
    connection.execute(said.values(contact_id=null(), salt=null(), content=null()))
    return int(row.id)


def _forget_content(connection: Connection, ids: set[bytes]) -> None:
    """Of messages that nobody with a name got any more, what the sender wrote for their reader goes: a subject greets
    by name, a variable or a link carries a customer's number. Their numbers stay."""
    named = (
        exists().where(deliveries.c.message_id == messages.c.id).where(deliveries.c.recipient.is_not(None))
    )
    theirs = update(messages).where(messages.c.id.in_(ids)).where(~named)
    blank = theirs.values(subject="", from_header="", kept=None, metadata=None).returning(
        messages.c.id, messages.c.links
    )
    numbers = [
        {"b_id": bytes(row.id), "b_links": [[link.number, "", ""] for link in links_of(row)]}
        for row in connection.execute(blank).all()
        if row.links
    ]
    if numbers:
        connection.execute(_KEEP_NUMBERS, numbers)
