"""Messages, their deliveries and what became of each: written by the relay, asked at each hit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, case, exists, insert, null, select, text, update

from tracker.address import domain_of, erased_key
from tracker.consent import Contact, Decision, Mode, untracked
from tracker.policy import Circumstances, circumstances
from tracker.store.audience import joining
from tracker.store.contacts import contact_of, erased_among, knowing
from tracker.store.database import Database, Statement
from tracker.store.engines import BeforeErasures
from tracker.store.messages import OWN_REPORT, identified, latest, story
from tracker.store.prepared import IDEMPOTENT
from tracker.store.question import Question
from tracker.store.schema import Id, attempts, contacts, deliveries, messages
from tracker.tokens import KeyRing, person_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """What counts go by: the campaign named in a header, else sender address and day."""

    id: bytes
    kind: str
    """`campaign`, `sender-day` or `sender-month`."""
    name: str
    sender: str


class Kept(NamedTuple):
    """What stayed as it was in a message, and why. Nothing here may name a person: it outlives their erasure."""

    part: str
    reason: str
    """Empty in a last one that stands for all the others."""
    where: str
    """Where a link leads, in general: its host or scheme; a part's type."""
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as the register of deliveries knows it."""

    id: bytes
    mailing: Mailing
    received_at: datetime
    sender: str
    from_header: str
    subject: str
    tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    """Variables of the sender's own, by name."""
    variant: str | None = None
    message_class: str | None = None
    size: int
    untouched: str | None = None
    links: tuple[tuple[int, str, str], ...] = ()
    """(number, destination, visible text)."""
    kept: tuple[Kept, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One recipient's copy. `recipient` is in normal form; None for an erased person."""

    id: bytes
    message_id: bytes
    position: int
    recipient: str | None
    group: str | None = None
    decision: Decision
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try for one delivery, with upstream's own words."""

    delivery_id: bytes
    at: datetime
    status: str
    host: str
    tls: str | None
    code: int
    enhanced: str
    text: str
    names_nobody: bool = False
    """Nothing in `text` is part of the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a hit needs to know of its delivery: as it was sent, and its recipient as of today."""

    delivery_id: bytes
    message_id: bytes
    mailing_id: bytes
    sender: str
    message_class: str | None
    recipient: str | None
    group: str | None
    decision: Decision
    accepted_at: datetime | None
    contact: Contact
    """Today's; erased where the delivery no longer names anybody."""

    def circumstances(self) -> Circumstances:
        """What the policy of today looks at."""
        return circumstances(
            self.contact, address=self.recipient, sender=self.sender, message_class=self.message_class
        )


_INSERT_MAILING = text(
    "INSERT INTO mailings (id, kind, name, sender) VALUES (:id, :kind, :name, :sender) ON CONFLICT (id) DO NOTHING"
).execution_options(**{IDEMPOTENT: True})
_INSERT_MESSAGE = insert(messages)
_WAIT_FOR_ERASURES = BeforeErasures()
_NOW_ERASED = exists().where(contacts.c.erased_key == bindparam("b_erased_key", type_=Id))
_NAMING = {
    deliveries.c.recipient: null(),
    deliveries.c.domain: "",
    deliveries.c.grp: null(),
    deliveries.c.person_key: null(),
}
_INSERT_DELIVERIES = insert(deliveries).values(
    # Between the question and now somebody may have been erased: then nothing here names them any more.
    {
        column: case((_NOW_ERASED, nothing), else_=bindparam(f"b_{column.name}", type_=column.type))
        for column, nothing in _NAMING.items()
    }
)
_IS_ERASED = (
    exists().where(deliveries.c.id == bindparam("b_delivery")).where(deliveries.c.recipient.is_(None))
)
_IS_OWN_REPORT = (
    exists()
    .where(deliveries.c.id == bindparam("b_delivery"))
    .where(messages.c.id == deliveries.c.message_id)
    .where(messages.c.untouched == OWN_REPORT)
)
_INSERT_ATTEMPTS = insert(attempts).values(
    # Upstream likes to quote the address, and of an erased person there is none to be kept; nor of whom a report of
    # ours went to.
    text=case(
        (~_IS_ERASED, bindparam("b_text", type_=Text)),
        (_IS_OWN_REPORT, bindparam("b_unnamed", type_=Text)),
        else_="",
    )
)
_CAME_BACK = (deliveries.c.status == "bounced") | (deliveries.c.status == "complained")
_STATUS = bindparam("b_status", type_=Text)
_SETTLE = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("b_id"))
    .values(
        # A report may be quicker than our own note that upstream took the mail: it is the later word.
        status=case((_CAME_BACK & (_STATUS == "accepted"), deliveries.c.status), else_=_STATUS),
        accepted_at=bindparam("b_accepted_at"),
        updated_at=bindparam("b_at"),
        unrolled=1,
    )
)
_NARROW = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("b_id"))
    .values(
        {
            deliveries.c[name]: bindparam(f"b_{name}")
            for name in ("mode", "reason", "opens", "clicks", "override")
        }
        | {deliveries.c.unrolled: 1}
    )
)
_SENT = Question(
    select(
        deliveries.c.id.label("delivery_id"),
        deliveries.c.message_id,
        deliveries.c.recipient,
        deliveries.c.grp.label("sent_grp"),
        deliveries.c.mode,
        deliveries.c.reason,
        deliveries.c.opens,
        deliveries.c.clicks,
        deliveries.c.override,
        deliveries.c.accepted_at,
        messages.c.mailing_id,
        messages.c.sender,
        messages.c["class"].label("message_class"),
        contacts.c.id,
        contacts.c.tracking_consent,
        contacts.c.do_not_track,
        contacts.c.erased_key,
        contacts.c.grp,
        contacts.c.country,
    )
    .select_from(
        deliveries.join(messages, messages.c.id == deliveries.c.message_id).outerjoin(
            contacts, contacts.c.address == deliveries.c.recipient
        )
    )
    .where(deliveries.c.id.in_(bindparam("ids", expanding=True)))
)


def insert_mailing(mailing: Mailing) -> Statement:
    row = {"id": mailing.id, "kind": mailing.kind, "name": mailing.name, "sender": mailing.sender}
    return _INSERT_MAILING, [row]


def recording(message: Message, sent: Sequence[Delivery], ring: KeyRing) -> tuple[Statement, ...]:
    """The statements that write down a message and its deliveries."""
    # Hygiene leaves its one day on the contact, so there has to be one before the hit comes: made at the hit,
    # its own date would tell the time of the open.
    known = {one.recipient for one in sent if one.decision.mode is Mode.HYGIENE and one.recipient}
    return (
        (_WAIT_FOR_ERASURES, [{}]),
        insert_mailing(message.mailing),
        knowing(known, message.received_at, ring),
        (_INSERT_MESSAGE, [_message_row(message, len(sent))]),
        (_INSERT_DELIVERIES, [_delivery_row(delivery, message, ring) for delivery in sent]),
    )


def _decision_row(decision: Decision, *, prefix: str = "") -> dict[str, Any]:
    values = {
        "mode": decision.mode.value,
        "reason": decision.reason,
        "opens": decision.opens,
        "clicks": decision.clicks,
        "override": decision.override,
    }
    return {prefix + name: value for name, value in values.items()}


def settling(tries: Iterable[Attempt]) -> tuple[Statement, ...]:
    """The statements that write down what became of deliveries: the attempt and the delivery's new state."""
    tries = list(tries)
    states = [
        {
            "b_id": one.delivery_id,
            "b_status": one.status,
            "b_accepted_at": one.at if one.status == "accepted" else None,
            "b_at": one.at,
        }
        for one in tries
    ]
    accepted = [one.delivery_id for one in tries if one.status == "accepted"]
    # The delivery first: that waits for an erasure under way, and the attempt's text is judged after it.
    return (_SETTLE, states), noting(tries), joining(accepted)


def noting(tries: Iterable[Attempt]) -> Statement:
    """The statement that writes down attempts, and what was reported of deliveries later, without changing a state."""
    rows = [
        {
            "delivery_id": one.delivery_id,
            "b_delivery": one.delivery_id,
            "at": one.at,
            "status": one.status,
            "host": one.host,
            "tls": one.tls,
            "code": one.code,
            "enhanced": one.enhanced,
            "b_text": one.text,
            "b_unnamed": one.text if one.names_nobody else "",
        }
        for one in tries
    ]
    return _INSERT_ATTEMPTS, rows


def narrowing(decisions: Iterable[tuple[bytes, Decision]]) -> Statement:
    """The statement that writes what copies were really sent under, where a later try allowed less."""
    return _NARROW, [{"b_id": one, **_decision_row(decision, prefix="b_")} for one, decision in decisions]


def queueing(ids: Iterable[bytes], at: datetime) -> Statement:
    """The statement that says of deliveries that they wait in the queue."""
    return _SETTLE, [{"b_id": one, "b_status": "queued", "b_accepted_at": None, "b_at": at} for one in ids]


class Deliveries:
    """Reads of messages and deliveries."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._sent = database.coalesced(lambda connection, ids: fetch_sent(connection, ids, ring))

    async def sent(self, delivery_id: bytes) -> Sent | None:
        """The delivery of a hit; None when there is none of that id (purged, or another store's).

        Raises StoreUnavailable."""
        return (await self._sent.get((delivery_id,))).get(delivery_id)

    async def several(self, ids: Collection[bytes]) -> Mapping[bytes, Sent]:
        """The deliveries of many hits, as `sent` gives each. Raises StoreUnavailable."""
        return await self._sent.get(ids)

    async def list(self, *, limit: int = 50) -> list[dict[str, Any]]:
        """The latest messages with the number of their deliveries by status."""
        return await self._database.read(lambda connection: latest(connection, limit))

    async def find(self, prefix: str) -> bytes:
        """The id of the one message whose hex form begins with `prefix`. Raises NotFound, InvalidValue where there
        are several, StoreUnavailable."""
        return await self._database.read(lambda connection: identified(connection, prefix))

    async def show(self, message_id: bytes) -> dict[str, Any]:
        """One message with deliveries, attempts and links, ready for JSON. Raises NotFound, StoreUnavailable."""
        return await self._database.read(lambda connection: story(connection, message_id), within=10.0)


def _message_row(message: Message, recipients: int) -> Mapping[str, Any]:
    return {
        "id": message.id,
        "mailing_id": message.mailing.id,
        "received_at": message.received_at,
        "sender": message.sender,
        "from_header": message.from_header,
        "subject": message.subject,
        "tags": list(message.tags),
        "metadata": dict(message.metadata) or None,
        "variant": message.variant,
        "class": message.message_class,
        "size": message.size,
        "recipients": recipients,
        "untouched": message.untouched,
        "kept": list(map(list, message.kept)) or None,
        "links": list(map(list, message.links)) or None,
    }


def _delivery_row(delivery: Delivery, message: Message, ring: KeyRing) -> Mapping[str, Any]:
    decision, recipient = delivery.decision, delivery.recipient
    # A later try may allow less, so whoever is tracked at all may yet belong to an audience.
    counted = decision.mode is not Mode.UNTRACKED
    return {
        "id": delivery.id,
        "message_id": delivery.message_id,
        "position": delivery.position,
        "b_erased_key": erased_key(recipient, ring.permanent) if recipient else None,
        "b_recipient": recipient,
        "b_domain": domain_of(recipient) if recipient else "",
        "b_grp": delivery.group,
        "b_person_key": person_key(message.mailing.id, recipient, ring) if recipient and counted else None,
        **_decision_row(decision),
        "status": delivery.status,
        "accepted_at": None,
        "updated_at": message.received_at,
    }


def decision_of(row: Any) -> Decision:
    """The decision a delivery was sent under. One that no release of ours writes reads as untracked."""
    return _decision(row.mode, row.opens, row.clicks, row.override, row.reason)


@lru_cache(maxsize=256)
def _decision(mode: str, opens: bool, clicks: bool, override: bool, reason: str) -> Decision:
    try:
        return Decision(mode=Mode(mode), opens=opens, clicks=clicks, override=override, reason=reason)
    except ValueError:
        return untracked("not-understood")


def fetch_sent(connection: Connection, ids: list[bytes], ring: KeyRing) -> dict[bytes, Sent]:
    """The deliveries of these ids, as far as there are any."""
    rows = _SENT.rows(connection, ids=ids)
    erased = erased_among(connection, {row.recipient for row in rows if row.recipient is not None}, ring)
    found = {}
    for row in rows:
        if row.recipient in erased:  # by hash: the address alone would read as somebody new
            contact = erased[row.recipient]
        elif row.id is not None:
            contact = contact_of(row)
        else:  # nobody has told us of them yet; without an address they were erased
            contact = Contact(erased=row.recipient is None)
        found[bytes(row.delivery_id)] = Sent(
            delivery_id=bytes(row.delivery_id),
            message_id=bytes(row.message_id),
            mailing_id=bytes(row.mailing_id),
            sender=row.sender,
            message_class=row.message_class,
            recipient=row.recipient,
            group=row.sent_grp,
            decision=decision_of(row),
            accepted_at=row.accepted_at,
            contact=contact,
        )
    return found
