"""Events of identified deliveries: written as they happen, listed for people and programs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, desc, insert, select

from tracker.events import Event
from tracker.store.database import Database, Statement
from tracker.store.deliveries import isoformat
from tracker.store.schema import deliveries, events, links

_INSERT = insert(events)


def recording(event: Event) -> Statement:
    """The statement that keeps an event."""
    verdict, device = event.verdict, event.device
    row = {
        "kind": event.kind.value,
        "at": event.at,
        "message_id": event.message,
        "delivery_id": event.delivery,
        "link": event.link,
        "verdict": verdict.kind.value,
        "verdict_reasons": " ".join(verdict.reasons),
        "rules": verdict.rules,
        "client": device.client,
        "device": device.kind,
        "system": device.system,
    }
    return _INSERT, [row]


class Events:
    """Reads of events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, message: bytes | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Events in the order they happened, ready for JSON; the latest `limit` of them. Raises
        StoreUnavailable."""
        return await self._database.read(lambda connection: _list(connection, message, limit), within=30.0)


def _list(connection: Connection, message: bytes | None, limit: int | None) -> list[dict[str, Any]]:
    query = (
        select(events, deliveries.c.recipient, links.c.url)
        .join(deliveries, deliveries.c.id == events.c.delivery_id)
        .outerjoin(links, and_(links.c.message_id == events.c.message_id, links.c.number == events.c.link))
        .order_by(desc(events.c.at), desc(events.c.id))
    )
    if message is not None:
        query = query.where(events.c.message_id == message)
    if limit is not None:
        query = query.limit(limit)
    rows = connection.execute(query).all()
    return [
        {
            "id": str(row.id),
            "kind": row.kind,
            "at": isoformat(row.at),
            "message": bytes(row.message_id).hex(),
            "delivery": bytes(row.delivery_id).hex(),
            "link": row.link,
            "url": row.url,
            "verdict": row.verdict,
            "verdict_reasons": row.verdict_reasons.split(),
            "client": row.client,
            "device": row.device,
            "system": row.system,
            "recipient": row.recipient,
        }
        for row in reversed(rows)
    ]
