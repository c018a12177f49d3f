"""Submissions, recipients and outcomes as the tests of delivery need them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from relay.outcome import Outcome, Status
from relay.personalize import Addressed
from relay.replies import Reply
from relay.submission import Client, Recipient, Submission
from tracker.consent import Decision, Mode, untracked

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HTML = (
    b"From: The Shop <news@shop.example>\r\nTo: you@example.org\r\nSubject: Apples\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n"
    b'<html><body><p><a href="https://shop.example/apples">Apples</a></p></body></html>\r\n'
)
TRACKED = Decision(mode=Mode.IDENTIFIED, opens=True, clicks=True, reason="granted")


def submission(*recipients: str | Recipient, data: bytes = HTML, **envelope: Any) -> Submission:
    """A message to these recipients from `news@shop.example`."""
    known = tuple(one if isinstance(one, Recipient) else Recipient(address=one) for one in recipients)
    values: dict[str, Any] = {
        "id": secrets.token_bytes(16),
        "sender": "news@shop.example",
        "recipients": known,
        "data": data,
        "received_at": NOW,
        "client": Client(address="127.0.0.1", helo="shop.example"),
    }
    return Submission(**(values | envelope))


def addressed(address: str, decision: Decision | None = None, *, position: int = 0) -> Addressed:
    """A recipient with a decision; untracked when none is given."""
    return Addressed(
        delivery_id=secrets.token_bytes(16),
        position=position,
        recipient=Recipient(address=address),
        normal=address.lower(),
        decision=decision or untracked("denied"),
    )


def outcome(status: Status, code: int, detail: str = "0.0", text: str = "so it is") -> Outcome:
    return Outcome(
        status=status, reply=Reply(code=code, detail=detail, text=text), host="127.0.0.1:25", at=NOW
    )
