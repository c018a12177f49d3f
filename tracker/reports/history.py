"""One person's history: the mail they got, what they did with it, and what they said, latest first.

What they did is told only where a mail of today may measure them by name: of who declined since, or asked to be
counted without a name, only the mail and their own words are here. Machines' hits are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, literal, null, select, union_all

from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.measurable import by_name
from tracker.moments import isoformat
from tracker.store.carried import HUMAN
from tracker.store.messages import urls
from tracker.store.schema import deliveries, events, messages


class Happening(StrEnum):
    """What an entry is about."""

    MAIL = "mail"
    OPENED = "opened"
    CLICKED = "clicked"
    SAID = "said"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that happened."""

    at: datetime
    what: Happening
    text: str
    """The subject, where the link leads, or what was said."""
    detail: str = ""
    """State and reason of a mail; client and device of an open or click; how it was said."""
    message: bytes | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "at": isoformat(self.at),
            "what": self.what.value,
            "text": self.text,
            "detail": self.detail,
            "message": self.message.hex() if self.message else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Some of the entries."""

    entries: tuple[Entry, ...]
    is_measured: bool
    """Whether what they did may be told by name today."""


async def history_of(domain: Domain, address: str, *, limit: int, offset: int = 0) -> History:
    """`address` in normal form. Raises StoreUnavailable."""
    try:
        said = _said(await domain.proof.history(address))
    except NotFound:  # mail went to them, and nothing was ever said
        said = []
    upto = limit + offset

    def work(connection: Connection) -> History:
        is_measured = bool(by_name(domain, connection, [address]))
        parts = [_mail(address), *([_hits(address)] if is_measured else [])]
        both = union_all(*parts).subquery()
        query = select(both).order_by(both.c.at.desc(), both.c.what).limit(upto)
        rows = connection.execute(query).all()
        led = urls(connection, {bytes(row.message_id) for row in rows if row.what == Happening.CLICKED})
        happened = [_entry(row, led) for row in rows]
        entries = sorted([*happened, *said], key=lambda one: one.at, reverse=True)
        return History(entries=tuple(entries[offset:upto]), is_measured=is_measured)

    return await domain.database.read(work, within=30.0)


def _mail(address: str) -> Select[Any]:
    return (
        select(
            messages.c.received_at.label("at"),
            literal(Happening.MAIL.value).label("what"),
            messages.c.subject.label("subject"),
            deliveries.c.status.label("one"),
            deliveries.c.reason.label("other"),
            messages.c.id.label("message_id"),
            null().label("link"),
        )
        .join(deliveries, deliveries.c.message_id == messages.c.id)
        .where(deliveries.c.recipient == address)
    )


def _hits(address: str) -> Select[Any]:
    return (
        select(
            events.c.at,
            events.c.kind,
            messages.c.subject,
            events.c.client,
            events.c.device,
            events.c.message_id,
            events.c.link,
        )
        .join(deliveries, deliveries.c.id == events.c.delivery_id)
        .join(messages, messages.c.id == events.c.message_id)
        .where(deliveries.c.recipient == address, events.c.verdict.in_(HUMAN))
    )


def _entry(row: Any, led: Any) -> Entry:
    what, message = Happening(row.what), bytes(row.message_id)
    text = led.get((message, row.link), "") if what is Happening.CLICKED else ""
    return Entry(
        at=row.at,
        what=what,
        text=text or row.subject or "(no subject)",
        detail=", ".join(filter(None, (row.one, row.other))),
        message=message,
    )


def _said(history: dict[str, Any]) -> list[Entry]:
    """What the register holds of them, whether it had effect or not."""
    found = []
    for row in history["rows"]:
        said = row["said"] or {}
        if not said.get("attribute"):
            continue
        how = f"{said.get('source') or ''}{'' if said.get('effective', True) else ', without effect'}"
        found.append(
            Entry(
                at=datetime.fromisoformat(row["recorded_at"]),
                what=Happening.SAID,
                text=f"{said['attribute']}: {said.get('new') or ''}",
                detail=how.strip(", "),
            )
        )
    return found
