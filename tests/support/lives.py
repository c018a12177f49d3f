"""Mail that was read, by people who may be erased, forgotten or counted later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from support.tracking import IDENTIFIED, Copy, Mail, send

from tracker.domain import Domain
from tracker.events import Event, EventKind, Verdict, VerdictKind
from tracker.reports.message import report_message
from tracker.store.events import recording

PEOPLE = tuple(f"p{number}@people.example" for number in range(6))
"""One more than the smallest group."""


async def newsletter(
    domain: Domain, at: datetime, people: Iterable[str] = PEOPLE, **mail: Any
) -> Mapping[str, Copy]:
    """A message by name to all of them."""
    return await send(domain, Mail(to=dict.fromkeys(people, IDENTIFIED), received_at=at, **mail))


async def hit(
    domain: Domain,
    copy: Copy,
    at: datetime,
    *,
    link: int | None = None,
    verdict: VerdictKind = VerdictKind.PERSON,
) -> None:
    """An open, or a click of a link."""
    event = Event(
        kind=EventKind.OPENED if link is None else EventKind.CLICKED,
        at=at,
        message=copy.message,
        delivery=copy.delivery,
        link=link,
        verdict=Verdict(kind=verdict, rules=1),
    )
    await domain.database.write(recording(event))


async def read_by_all(domain: Domain, copies: Mapping[str, Copy], at: datetime) -> None:
    """Everybody opens twice, machines look in, and every other person clicks both links, one of them twice."""
    for number, copy in enumerate(copies.values()):
        await hit(domain, copy, at)
        await hit(domain, copy, at + timedelta(days=1))
        await hit(domain, copy, at, verdict=VerdictKind.PREFETCH)
        await hit(domain, copy, at, verdict=VerdictKind.UNSURE)
        if number % 2:
            await hit(domain, copy, at, link=1)
            await hit(domain, copy, at + timedelta(days=2), link=1)
            await hit(domain, copy, at, link=2, verdict=VerdictKind.PROXY)


async def numbers(domain: Domain, copies: Mapping[str, Copy]) -> dict[str, Any]:
    """The message's report, without what a purge takes from its heading."""
    message = next(iter(copies.values())).message
    return (await report_message(domain, message)).as_json()
