"""Messages and deliveries as the tracker keeps them, with everything a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tracker.consent import Decision, Mode, untracked
from tracker.events import Event, EventKind, Verdict, VerdictKind
from tracker.store.database import Database
from tracker.store.deliveries import Attempt, Delivery, Mailing, Message, recording
from tracker.tokens import Key, KeyRing

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def id_of(number: int) -> bytes:
    """16 octets that a test can recognise."""
    return number.to_bytes(16, "big")


def a_mailing(number: int = 1, **changes: Any) -> Mailing:
    values: dict[str, Any] = {"kind": "campaign", "name": f"mailing {number}", "sender": "news@example.com"}
    return Mailing(**({"id": id_of(number)} | values | changes))


def a_message(number: int = 1, **changes: Any) -> Message:
    values: dict[str, Any] = {
        "id": id_of(number),
        "mailing": a_mailing(),
        "received_at": NOW,
        "sender": "news@example.com",
        "from_header": "News <news@example.com>",
        "subject": "Spring",
        "size": 1000,
    }
    return Message(**(values | changes))


def a_decision(mode: Mode = Mode.IDENTIFIED, *, override: bool = False) -> Decision:
    if mode is Mode.UNTRACKED:
        return untracked("denied")
    return Decision(mode=mode, opens=True, clicks=mode.wraps_links, override=override, reason="granted")


def a_delivery(number: int = 1, recipient: str | None = "bob@example.org", **changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "id": id_of(number),
        "message_id": id_of(1),
        "position": number,
        "recipient": recipient,
        "decision": a_decision(changes.pop("mode", Mode.IDENTIFIED)),
        "status": "returned",
    }
    return Delivery(**(values | changes))


def an_attempt(number: int = 1, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "delivery_id": id_of(number),
        "at": NOW,
        "status": "accepted",
        "host": "mx.example.org:25",
        "tls": "TLSv1.3",
        "code": 250,
        "enhanced": "2.0.0",
        "text": "queued as 1",
    }
    return Attempt(**(values | changes))


def an_event(delivery: int = 1, **changes: Any) -> Event:
    values: dict[str, Any] = {
        "kind": EventKind.OPENED,
        "at": NOW,
        "message": id_of(1),
        "delivery": id_of(delivery),
        "verdict": Verdict(kind=VerdictKind.PERSON, rules=1),
    }
    return Event(**(values | changes))


RING = KeyRing(newest=Key(id=b"ids", secret=b"s" * 32), keys={}, permanent=b"p" * 32)
"""For tests that do not care with which."""


async def record(database: Database, message: Message, *sent: Delivery, ring: KeyRing = RING) -> None:
    """Writes a message and its deliveries down."""
    await database.write(*recording(message, sent, ring))
