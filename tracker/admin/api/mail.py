"""Messages, and what became of their deliveries. What anybody did with them is `events`."""

from __future__ import annotations

from typing import Any, Literal

from tracker.address import normalize
from tracker.admin.api import paging
from tracker.admin.api.operations import Answer, Call, Items, Operation
from tracker.admin.api.shapes import Address, HexId, Listing, Shape, Time, Word
from tracker.errors import NotFound
from tracker.reports.deliveries import delivery_story
from tracker.reports.lists import Mail, deliveries_before, messages_before
from tracker.reports.message import LinkCount, report_message
from tracker.store.deliveries import Attempt

Status = Literal["queued", "accepted", "deferred", "bounced", "complained", "skipped", "returned", "new"]


class Message(Shape):
    """One message."""

    id: str
    received_at: Time
    sender: str
    author: str
    """What `From:` says."""
    subject: str
    campaign: str
    tags: list[str]
    variant: str | None
    message_class: str | None
    size: int
    recipients: int
    untouched: str | None
    """Why it was not tracked as a whole; null where it was."""


class Link(Shape):
    number: int
    url: str
    text: str


class OneMessage(Message):
    links: list[Link]


class Delivery(Shape):
    """One recipient's copy of a message."""

    id: str
    message: str
    received_at: Time
    """When its message came in."""
    changed_at: Time
    accepted_at: Time | None
    subject: str
    sender: str
    recipient: str | None
    """Null once erased."""
    domain: str
    status: str
    mode: str
    reason: str
    """What decided the mode."""


class Try(Shape):
    """One attempt to hand it on, and what the other side said."""

    at: Time
    status: str
    host: str
    tls: str | None
    code: int
    enhanced: str
    text: str


class Story(Shape):
    """A delivery with every attempt, first to last."""

    delivery: Delivery
    attempts: list[Try]


class WhichMail(Listing):
    since: Time | None = None
    until: Time | None = None
    campaign: Word | None = None


class WhichDeliveries(WhichMail):
    message: HexId | None = None
    domain: Word | None = None
    status: Status | None = None


class DeliveriesTo(Shape):
    address: Address


class Deliveries(Shape):
    """The latest first, at most a thousand."""

    items: list[Delivery]


async def messages(call: Call, cursor: str | None, limit: int) -> Items:
    asked: WhichMail = call.query
    which = Mail(since=asked.since, until=asked.until, campaign=asked.campaign)
    rows = await messages_before(call.domain, which, before=paging.place(cursor), limit=limit)
    last = rows[-1] if len(rows) == limit else None
    following = paging.placed(last.received_at, bytes(last.id)) if last is not None else None
    return Items(items=[Message(**_message(row)) for row in rows], next=following)


async def message(call: Call) -> Answer:
    id_ = bytes.fromhex(call.path["message"])
    rows = await messages_before(call.domain, Mail(message=id_), before=None, limit=1)
    if not rows:
        raise NotFound(f"there is no message {id_.hex()}")
    links = (await report_message(call.domain, id_)).links
    return Answer(body=OneMessage(**_message(rows[0]), links=[_link(one) for one in links]))


async def deliveries(call: Call, cursor: str | None, limit: int) -> Items:
    asked: WhichDeliveries = call.query
    which = Mail(
        since=asked.since,
        until=asked.until,
        campaign=asked.campaign,
        message=bytes.fromhex(asked.message) if asked.message is not None else None,
        domain=asked.domain.lstrip("@").lower() if asked.domain is not None else None,
        status=asked.status,
    )
    rows = await deliveries_before(call.domain, which, before=paging.place(cursor), limit=limit)
    following = None
    if len(rows) == limit:
        last = rows[-1]
        following = paging.placed(last.received_at, bytes(last.message_id), last.position)
    return Items(items=[_delivery(row) for row in rows], next=following)


async def deliveries_to(call: Call) -> Answer:
    which = Mail(contact=normalize(call.body.address))
    rows = await deliveries_before(call.domain, which, before=None, limit=1000)
    return Answer(body=Deliveries(items=[_delivery(row) for row in rows]))


async def delivery(call: Call) -> Answer:
    one, tries = await delivery_story(call.domain, bytes.fromhex(call.path["delivery"]))
    accepted = [attempt.at for attempt in tries if attempt.status == "accepted"]
    return Answer(
        body=Story(
            delivery=Delivery(
                id=one.id.hex(),
                message=one.message_id.hex(),
                received_at=one.received_at,
                changed_at=one.changed_at,
                accepted_at=accepted[-1] if accepted else None,
                subject=one.subject,
                sender=one.sender,
                recipient=one.recipient,
                domain=one.domain,
                status=one.status,
                mode=one.mode,
                reason=one.reason,
            ),
            attempts=[tried(attempt) for attempt in tries],
        )
    )


def tried(one: Attempt) -> Try:
    """As it is told."""
    return Try(
        at=one.at,
        status=one.status,
        host=one.host,
        tls=one.tls,
        code=one.code,
        enhanced=one.enhanced,
        text=one.text,
    )


def _message(row: Any) -> dict[str, Any]:
    return {
        "id": bytes(row.id).hex(),
        "received_at": row.received_at,
        "sender": row.sender,
        "author": row.from_header,
        "subject": row.subject,
        "campaign": row.mailing,
        "tags": list(row.tags),
        "variant": row.variant,
        "message_class": row._mapping["class"],
        "size": row.size,
        "recipients": row.recipients,
        "untouched": row.untouched,
    }


def _delivery(row: Any) -> Delivery:
    return Delivery(
        id=bytes(row.id).hex(),
        message=bytes(row.message_id).hex(),
        received_at=row.received_at,
        changed_at=row.updated_at,
        accepted_at=row.accepted_at,
        subject=row.subject,
        sender=row.sender,
        recipient=row.recipient,
        domain=row.domain,
        status=row.status,
        mode=row.mode,
        reason=row.reason,
    )


def _link(one: LinkCount) -> Link:
    return Link(number=one.number, url=one.url, text=one.text)


_SCOPE = ("messages:read",)
OPERATIONS = (
    Operation(
        name="list_messages",
        method="GET",
        path="/messages",
        about="Messages, latest first.",
        scopes=_SCOPE,
        query=WhichMail,
        gives=Message,
        lists=messages,
        names_people=True,
    ),
    Operation(
        name="get_message",
        method="GET",
        path="/messages/{message}",
        about="One message, with the links that were wrapped in it.",
        scopes=_SCOPE,
        gives=OneMessage,
        does=message,
        also=(404,),
        names_people=True,
    ),
    Operation(
        name="list_deliveries",
        method="GET",
        path="/deliveries",
        about="What became of mail, recipient by recipient; the latest message first.",
        scopes=_SCOPE,
        query=WhichDeliveries,
        gives=Delivery,
        lists=deliveries,
        names_people=True,
    ),
    Operation(
        name="lookup_deliveries",
        method="POST",
        path="/deliveries/lookup",
        about="The mail that went to this address.",
        scopes=_SCOPE,
        takes=DeliveriesTo,
        gives=Deliveries,
        does=deliveries_to,
        names_people=True,
    ),
    Operation(
        name="get_delivery",
        method="GET",
        path="/deliveries/{delivery}",
        about="One delivery with every attempt.",
        scopes=_SCOPE,
        gives=Story,
        does=delivery,
        also=(404,),
        names_people=True,
    ),
)
