"""Opens and clicks by name, in the order they were written down: a reader who comes back with the last cursor misses
none. Who may not be measured by name today is not in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field

from tracker.admin.api import paging
from tracker.admin.api.operations import Call, Items, Operation
from tracker.admin.api.shapes import HexId, Listing, Shape, Time
from tracker.behaviour import PROVISIONAL
from tracker.events import EventKind
from tracker.reports.lists import events_after


class Event(Shape):
    """Somebody opened a mail or followed a link."""

    id: str
    cursor: str = Field(description="Give it as `cursor` to go on behind this event.")
    kind: EventKind
    at: Time
    recipient: str
    message: str
    delivery: str
    link: int | None
    url: str | None
    verdict: str = Field(description="`person`, `proxy`, `prefetch`, `scanner` or `unsure`.")
    verdict_reasons: list[str]
    is_final: bool = Field(description="Its verdict does not change any more by what follows it.")
    client: str
    device: str
    system: str
    country: str


class Which(Listing):
    kind: EventKind | None = None
    message: HexId | None = None
    final: bool = Field(default=False, description="Only up to where verdicts are final: two minutes ago.")


async def listed(call: Call, cursor: str | None, limit: int) -> Items:
    asked: Which = call.query
    found = await events_after(
        call.domain,
        after=paging.number(cursor),
        limit=limit,
        message=bytes.fromhex(asked.message) if asked.message is not None else None,
        kind=asked.kind,
        final=asked.final,
        now=call.now,
    )
    until = call.now - timedelta(seconds=PROVISIONAL)
    items = [_event(row, url, is_final=row.at <= until) for row, url in found.rows]
    return Items(items=items, next=str(found.until), is_all=found.is_all)


def _event(row: Any, url: str | None, *, is_final: bool) -> Event:
    return Event(
        id=str(row.id),
        cursor=str(row.id),
        kind=EventKind(row.kind),
        at=row.at,
        recipient=row.recipient,
        message=bytes(row.message_id).hex(),
        delivery=bytes(row.delivery_id).hex(),
        link=row.link,
        url=url,
        verdict=row.verdict,
        verdict_reasons=row.verdict_reasons.split(),
        is_final=is_final,
        client=row.client,
        device=row.device,
        system=row.system,
        country=row.country,
    )


OPERATIONS = (
    Operation(
        name="list_events",
        method="GET",
        path="/events",
        about="Opens and clicks in the order they were written down; `next` is never null: ask again from there.",
        scopes=("events:read",),
        query=Which,
        gives=Event,
        lists=listed,
        names_people=True,
    ),
)
