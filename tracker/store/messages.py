"""What became of a message, told: the latest of them, and one with all its deliveries, attempts and links."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, desc, select

from tracker.errors import InvalidValue, NotFound
from tracker.moments import isoformat
from tracker.store.schema import attempts, deliveries, mailings, messages

OWN_REPORT = "own-report"
"""What stands in `messages.untouched` of a report that we wrote or passed on. Whom it went to was never written down:
nobody asks, and an erased sender's address must not be written anew."""
OPENS_OFF, CLICKS_OFF = "opens-switched-off", "clicks-switched-off"
"""The message itself asked for no pixel, for no wrapped links."""
_WITH_MAILING = select(messages, mailings.c.name.label("mailing")).join(
    mailings, mailings.c.id == messages.c.mailing_id
)


class Link(NamedTuple):
    """A link that was wrapped, as tokens and events number them."""

    number: int
    url: str
    text: str
    """What its reader saw."""


def links_of(message: Any) -> list[Link]:
    """Of a row of `messages`, in the order of their numbers."""
    return sorted(Link(*one) for one in message.links or ())


def urls(connection: Connection, ids: Collection[bytes]) -> Mapping[tuple[bytes, int | None], str]:
    """Where the links of these messages lead, by message and number."""
    asked = list(ids)
    found: dict[tuple[bytes, int | None], str] = {}
    for start in range(0, len(asked), _AT_ONCE):
        some = messages.c.id.in_(asked[start : start + _AT_ONCE])
        for row in connection.execute(select(messages.c.id, messages.c.links).where(some)):
            found |= {(bytes(row.id), link.number): link.url for link in links_of(row)}
    return found


_AT_ONCE = 500


def identified(connection: Connection, prefix: str) -> bytes:
    """The id of the one message whose hex form begins with `prefix`. Raises NotFound, InvalidValue."""
    first, last = bytes.fromhex(prefix.ljust(32, "0")), bytes.fromhex(prefix.ljust(32, "f"))
    query = select(messages.c.id).where(messages.c.id.between(first, last)).order_by(messages.c.id)
    found = [bytes(one).hex() for one in connection.execute(query.limit(_MOST_NAMED + 1)).scalars()]
    if not found:
        raise NotFound(f"there is no message {prefix}")
    if len(found) > 1:
        shown = ", ".join(found[:_MOST_NAMED]) + (", …" if len(found) > _MOST_NAMED else "")
        raise InvalidValue(f"more than one message begins with {prefix}: {shown}")
    return bytes.fromhex(found[0])


_MOST_NAMED = 5


def latest(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The latest messages, each with the number of its deliveries by status."""
    rows = connection.execute(_WITH_MAILING.order_by(desc(messages.c.received_at)).limit(limit)).all()
    states: dict[bytes, dict[str, int]] = {}
    theirs = select(deliveries.c.message_id, deliveries.c.status).where(
        deliveries.c.message_id.in_([row.id for row in rows])
    )
    for row in connection.execute(theirs):
        counted = states.setdefault(bytes(row.message_id), {})
        counted[row.status] = counted.get(row.status, 0) + 1
    return [
        {
            "id": bytes(row.id).hex(),
            "mailing": row.mailing,
            "from": row.from_header or row.sender,
            "subject": row.subject,
            "received_at": isoformat(row.received_at),
            "deliveries": states.get(bytes(row.id), {}),
        }
        for row in rows
    ]


def story(connection: Connection, message_id: bytes) -> dict[str, Any]:
    """One message, ready for JSON. Raises NotFound."""
    message = connection.execute(_WITH_MAILING.where(messages.c.id == message_id)).one_or_none()
    if message is None:
        raise NotFound(f"there is no message {message_id.hex()}")
    wrapped = [one._asdict() for one in links_of(message)]
    tries = _tries(connection, message_id)
    theirs = select(deliveries).where(deliveries.c.message_id == message_id).order_by(deliveries.c.position)
    return {
        "id": message_id.hex(),
        "mailing": message.mailing,
        "from": message.from_header or message.sender,
        "sender": message.sender,
        "subject": message.subject,
        "tags": message.tags,
        "metadata": message.metadata or {},
        "variant": message.variant,
        "class": getattr(message, "class"),
        "received_at": isoformat(message.received_at),
        "size": message.size,
        "untouched": message.untouched,
        **_kept(message.kept),
        "deliveries": [
            {
                "id": bytes(row.id).hex(),
                "recipient": row.recipient,
                "erased": row.recipient is None and message.untouched != OWN_REPORT,
                "mode": row.mode,
                "reason": row.reason,
                "opens": row.opens,
                "clicks": row.clicks,
                "status": row.status,
                "attempts": tries.get(bytes(row.id), []),
                "links": wrapped if row.clicks else [],
            }
            for row in connection.execute(theirs)
        ],
    }


def _kept(rows: list[list[Any]] | None) -> dict[str, Any]:
    """What stayed as it was, and how much more of it was not written down one by one."""
    kept = [
        {"part": part, "where": where, "reason": reason, "count": count}
        for part, reason, where, count in rows or ()
    ]
    return {
        "kept": [one for one in kept if one["reason"]],
        "kept_more": sum(one["count"] for one in kept if not one["reason"]),
    }


def _tries(connection: Connection, message_id: bytes) -> dict[bytes, list[dict[str, Any]]]:
    joined = select(attempts).join(deliveries, deliveries.c.id == attempts.c.delivery_id)
    tries: dict[bytes, list[dict[str, Any]]] = {}
    for row in connection.execute(
        joined.where(deliveries.c.message_id == message_id).order_by(attempts.c.at, attempts.c.id)
    ):
        tries.setdefault(bytes(row.delivery_id), []).append(
            {
                "at": isoformat(row.at),
                "host": row.host,
                "tls": row.tls,
                "status": row.status,
                "code": row.code,
                "enhanced": row.enhanced,
                "text": row.text,
            }
        )
    return tries
