"""Conversions: taken down as a site tells of them, once each, with what today's consent admits of what came before.

Whose a conversion is stands in it only as a keyed hash, and only where somebody may be measured by name and something
of theirs earns it. A person who declined leaves nothing but the conversion itself: it counts, and nobody earned it.
What may be counted without a name only is shared out at once, into totals.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.sql.elements import ColumnElement

from tracker.attribution import Touch, that_matter
from tracker.consent import Consent, Contact, DoNotTrack, Mode
from tracker.events import EventKind, VerdictKind
from tracker.moments import isoformat
from tracker.money import shown_amount
from tracker.policy import Policy
from tracker.store.admission import admitted
from tracker.store.carried import HUMAN
from tracker.store.contacts import Contacts
from tracker.store.counts import Cell
from tracker.store.credits import NO_CLICK, NO_TOUCH, Conversion, count_without_name, touches_of
from tracker.store.database import Database
from tracker.store.deliveries import Sent, fetch_sent
from tracker.store.engines import BeforeErasures
from tracker.store.schema import contacts, conversion_touches, conversions, deliveries, events
from tracker.tokens import KeyRing

DECLINED = "declined"
ERASED = "erased"
DO_NOT_TRACK = "do-not-track"
NOT_ADMITTED = "not-admitted"
UNKNOWN = "unknown"
WITHOUT_NAME = "without-name"
"""Why a conversion has no touches: the person declined, was erased, wants to be cut loose from what they do; the policy
admits nothing of theirs; nobody knows whose it is. Of the last, its credit stands in the totals (and where nothing was
clicked, it is `NO_CLICK` that is on record)."""
BY_CHOICE = (DECLINED, ERASED, DO_NOT_TRACK)
"""Reasons that are the person's own wish."""
REPEAT = timedelta(minutes=3)
"""The same goal by the same person in this time is the same conversion, where no order says otherwise."""
_MOST_TOLD = 10_000
_IN_ONE_QUESTION = 500
_WITHIN = 10.0
_LOCK = 0x636F6E76  # "conv": PostgreSQL's advisory locks are numbers
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(:key)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a site told, in our own terms: of whom either by the delivery of a click, or by address."""

    goal: str
    window_days: int
    at: datetime
    delivery: bytes | None = None
    address: str | None = None
    """In normal form."""
    order: str = ""
    currency: str = ""
    value: int = 0
    """Minor units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of it."""

    is_new: bool
    """False: it was on record already."""
    reason: str = ""
    """Why nobody may earn it; `""` where somebody may."""


class Conversions:
    """`await Conversions(...).record(told, …)`."""

    def __init__(self, database: Database, ring: KeyRing, people: Contacts) -> None:
        self._database = database
        self._ring = ring
        self._people = people
        self._told: dict[bytes, datetime] = {}
        """Of whom nothing may be written down: who was told of lately, in this process only."""
        self._one_by_one = asyncio.Lock()

    async def record(self, told: Told, *, policy: Policy, min_group: int, now: datetime) -> Recorded:
        """Takes it down, unless it is there. Raises StoreUnavailable, StoreError."""
        work = partial(self._record, told=told, policy=policy, min_group=min_group, now=now)
        if told.order:
            return await self._database.change(work, within=_WITHIN)
        async with self._one_by_one:
            guard = self._guard(told)
            before = self._told.get(guard)
            if before is not None and abs(told.at - before) < REPEAT:
                return Recorded(is_new=False)
            recorded = await self._database.change(work, within=_WITHIN)
            if recorded.is_new and recorded.reason:
                self._told.pop(guard, None)  # so that the oldest stands first
                self._told[guard] = told.at
                if len(self._told) > _MOST_TOLD:
                    del self._told[next(iter(self._told))]
            return recorded

    def _guard(self, told: Told) -> bytes:
        whose = told.delivery or (told.address or "").encode("utf-8", "surrogatepass")
        return _keyed(b"guard", told.goal.encode() + b"\n" + whose, self._ring)

    def _record(
        self, connection: Connection, told: Told, policy: Policy, min_group: int, now: datetime
    ) -> Recorded:
        connection.execute(BeforeErasures())
        if connection.dialect.name == "postgresql":  # two tellings of one order come together
            connection.execute(_ONE_AT_A_TIME, {"key": _LOCK})
        order = _keyed(b"order", f"{told.goal}\n{told.order}".encode(), self._ring) if told.order else None
        if order is not None and _is_there(connection, conversions.c.order_key == order):
            return Recorded(is_new=False)
        reason, address = self._whose(connection, told)
        found = _Found(reason=reason)
        if address is not None:
            found = self._look_back(connection, told, address, policy)
        person = None
        if address is not None and not found.reason:
            person = person_key_of(address, self._ring)
        if person is not None and order is None and _is_repeat(connection, told, person):
            return Recorded(is_new=False)
        number = _insert(connection, told, now, person=person, order=order, found=found)
        if found.reason == WITHOUT_NAME:
            one = Conversion(
                id=number,
                goal=told.goal,
                at=told.at,
                reason=found.reason,
                window_days=told.window_days,
                currency=told.currency,
                value=told.value,
                touches=found.touches,
            )
            count_without_name(connection, one, found.cells, self._ring, min_group)
        return Recorded(is_new=True, reason=found.reason)

    def _whose(self, connection: Connection, told: Told) -> tuple[str, str | None]:
        """The address, or why there is none."""
        if told.address is not None:
            return "", told.address
        query = select(deliveries.c.recipient).where(deliveries.c.id == told.delivery)
        row = connection.execute(query).one_or_none()
        if row is None:
            return UNKNOWN, None
        return (ERASED, None) if row.recipient is None else ("", row.recipient)

    def _look_back(self, connection: Connection, told: Told, address: str, policy: Policy) -> _Found:
        """What the person did in the window, as far as today's consent admits it."""
        # Whoever changes what they said meanwhile waits for us, and finds what we wrote.
        theirs = select(contacts.c.id).where(contacts.c.address == address)
        connection.execute(theirs.with_for_update(read=True))
        contact = self._people.fetch(connection, [address]).get(address) or Contact()
        if contact.erased:
            return _Found(reason=ERASED)
        if contact.consent in (Consent.DENIED, Consent.WITHDRAWN):
            return _Found(reason=DECLINED)
        rows = _events(connection, told, address)
        sent = _sent(connection, {bytes(row.delivery_id) for row in rows}, self._ring)
        ids: dict[Touch, int] = {}
        for row in rows:
            whose = sent[bytes(row.delivery_id)]
            kind = EventKind(row.kind)
            mode = admitted(whose, kind, policy)[0].mode
            if mode in (Mode.IDENTIFIED, Mode.ANONYMOUS):
                ids[_touch(row, kind, whose, mode)] = row.id
        touches = that_matter(list(ids))
        if not touches:
            if contact.do_not_track is DoNotTrack.TRUE:
                return _Found(reason=DO_NOT_TRACK)
            return _Found(reason=NOT_ADMITTED if rows else NO_TOUCH)
        # One that may name nobody makes the whole conversion one that does not.
        named = all(one.mode is Mode.IDENTIFIED for one in touches)
        cells = {
            one.message_id: Cell(mailing=one.mailing_id, group=one.group or "", sender=one.sender)
            for one in sent.values()
        }
        return _Found(reason="" if named else WITHOUT_NAME, touches=tuple(touches), events=ids, cells=cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What looking back came to."""

    reason: str
    touches: tuple[Touch, ...] = ()
    """Of them, those that may earn."""
    events: Mapping[Touch, int] = field(default_factory=dict)
    cells: Mapping[bytes, Cell] = field(default_factory=dict)
    """Of each message, where it would be counted without a name."""


def _reason_kept(found: _Found) -> str:
    has_click = any(one.kind is EventKind.CLICKED for one in found.touches)
    return NO_CLICK if found.reason == WITHOUT_NAME and not has_click else found.reason


def _insert(
    connection: Connection,
    told: Told,
    now: datetime,
    *,
    person: bytes | None,
    order: bytes | None,
    found: _Found,
) -> int:
    """The conversion, and what may earn it where somebody may be named; gives its number."""
    row = {
        "goal": told.goal,
        "at": told.at,
        "recorded_at": now,
        "person_key": person,
        "order_key": order,
        "reason": _reason_kept(found),
        "window_days": told.window_days,
        "currency": told.currency,
        "value": told.value,
    }
    number: int = connection.execute(insert(conversions).values(row).returning(conversions.c.id)).scalar_one()
    if person is not None:
        touched = enumerate(found.touches)
        rows = [_touch_row(number, place, touch, found.events[touch]) for place, touch in touched]
        connection.execute(insert(conversion_touches), rows)
    return number


def person_key_of(address: str, ring: KeyRing) -> bytes:
    """Whose a conversion is, without the address (in normal form)."""
    return _keyed(b"person", address.encode(), ring)


def of_person(address: str, ring: KeyRing) -> ColumnElement[bool]:
    """The conversions of this person (address in normal form)."""
    return conversions.c.person_key == person_key_of(address, ring)


def export(connection: Connection, address: str, ring: KeyRing) -> list[dict[str, Any]]:
    """All conversions that are known to be the person's, ready for JSON."""
    query = select(conversions).where(of_person(address, ring)).order_by(conversions.c.at, conversions.c.id)
    rows = connection.execute(query).all()
    touched: dict[int, list[Touch]] = {}
    for start in range(0, len(rows), _IN_ONE_QUESTION):
        touched |= touches_of(connection, [row.id for row in rows[start : start + _IN_ONE_QUESTION]])
    return [
        {
            "goal": row.goal,
            "at": isoformat(row.at),
            "recorded_at": isoformat(row.recorded_at),
            "value": shown_amount(row.value, row.currency) if row.currency else None,
            "currency": row.currency or None,
            "touches": [
                {
                    "kind": one.kind.value,
                    "at": isoformat(one.at),
                    "message": one.message.hex(),
                    "link": one.link or None,
                }
                for one in touched.get(row.id, ())
            ],
        }
        for row in rows
    ]


def _keyed(what: bytes, content: bytes, ring: KeyRing) -> bytes:
    return hashlib.blake2b(content, key=ring.permanent, digest_size=16, person=b"candor-cv-" + what).digest()


def _is_there(connection: Connection, which: ColumnElement[bool]) -> bool:
    return connection.execute(select(conversions.c.id).where(which).limit(1)).first() is not None


def _is_repeat(connection: Connection, told: Told, person: bytes) -> bool:
    near = conversions.c.at.between(told.at - REPEAT, told.at + REPEAT)
    return _is_there(
        connection, (conversions.c.person_key == person) & (conversions.c.goal == told.goal) & near
    )


def _events(connection: Connection, told: Told, address: str) -> Sequence[Any]:
    """Opens and clicks in the window that are people's, as they are judged now."""
    columns = ("id", "kind", "at", "message_id", "delivery_id", "link", "verdict")
    since = told.at - timedelta(days=told.window_days)
    query = (
        select(*(events.c[name] for name in columns))
        .join(deliveries, deliveries.c.id == events.c.delivery_id)
        .where(deliveries.c.recipient == address)
        .where(events.c.at.between(since, told.at), events.c.verdict.in_(HUMAN))
        .order_by(events.c.at, events.c.id)
    )
    return connection.execute(query).all()


def _sent(connection: Connection, ids: set[bytes], ring: KeyRing) -> dict[bytes, Sent]:
    found: dict[bytes, Sent] = {}
    asked = sorted(ids)
    for start in range(0, len(asked), _IN_ONE_QUESTION):
        found |= fetch_sent(connection, asked[start : start + _IN_ONE_QUESTION], ring)
    return found


def _touch(row: Any, kind: EventKind, sent: Sent, mode: Mode) -> Touch:
    return Touch(
        kind=kind,
        at=row.at,
        message=bytes(row.message_id),
        group=sent.group or "",
        link=row.link or 0,
        delivery=bytes(row.delivery_id),
        verdict=VerdictKind(row.verdict),
        mode=mode,
    )


def _touch_row(conversion: int, position: int, touch: Touch, event: int) -> dict[str, Any]:
    return {
        "conversion_id": conversion,
        "position": position,
        "event_id": event,
        "kind": touch.kind.value,
        "at": touch.at,
        "message_id": touch.message,
        "delivery_id": touch.delivery,
        "grp": touch.group,
        "link": touch.link,
    }
