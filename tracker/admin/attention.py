"""What wants the operator's attention, as far as the store can tell: each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from tracker.desk import Desk, QueueStanding, UpstreamState
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.store.hosts import TrackingHost, tracking_hosts_of
from tracker.store.requests import RequestState
from tracker.store.schema import jobs

_ANSWER_WITHIN = timedelta(days=30)
"""A month (GDPR art. 12(3))."""
_OLD, _VERY_OLD = timedelta(hours=4), timedelta(days=1)
_CERTIFICATE = timedelta(days=14)
_MOST_REQUESTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """`what` is so; `advice` says what to do, and `href` where, where there is a page for it."""

    what: str
    advice: str
    href: str = ""
    is_urgent: bool = True


async def matters(domain: Domain, desk: Desk | None, now: datetime) -> list[Matter]:
    """The urgent first. Never raises for the store: that it is away is the first of them. Without a desk nothing is
    known of the queue."""
    found = _of_store(domain)
    try:
        found += _of_hosts((await domain.database.read(tracking_hosts_of)).values(), now)
        found += _of_requests(
            [one.asked_at for one in await domain.requests.list(RequestState.OPEN, limit=_MOST_REQUESTS)], now
        )
        if desk is not None:
            found += _of_upstreams(desk.upstreams() or ())
            found += _of_queue(await desk.standing(domains=1))
        found += _of_jobs(await domain.database.read(_failing))
    except StoreError:
        found = found or [Matter(what="The store does not answer", advice="See its log and the disk.")]
    return sorted(found, key=lambda one: not one.is_urgent)


def _of_store(domain: Domain) -> list[Matter]:
    reads, writes = domain.database.reads.tripped, domain.database.writes.tripped
    if not reads and not writes:
        return []
    what = " or ".join(word for word, away in (("questions", reads), ("writes", writes)) if away)
    advice = "Mail goes on untracked and links lead on; see the database's log and the disk."
    return [Matter(what=f"The store does not take {what}", advice=advice)]


def _of_hosts(hosts: Iterable[TrackingHost], now: datetime) -> list[Matter]:
    found = []
    for one in hosts:
        if one.failing_since is not None:
            what = f"Links to {one.url} do not lead on: {one.problem}"
            found.append(Matter(what=what, advice="Its proxy, name or certificate: candor doctor says more."))
        elif one.certificate_until is not None and one.certificate_until - now < _CERTIFICATE:
            days = max(0, (one.certificate_until - now).days)
            what = f"The certificate of {one.url} runs out in {days} days"
            found.append(Matter(what=what, advice="Renew it.", is_urgent=days < _CERTIFICATE.days // 2))
    return found


def _of_queue(standing: QueueStanding) -> list[Matter]:
    found = []
    age = timedelta(seconds=standing.oldest or 0)
    if age >= _OLD:
        hours = int(age.total_seconds() // 3600)
        what = f"Mail has been waiting in the queue for {hours} hours"
        advice = f"{standing.recipients} recipients wait; the queue says what servers answered."
        found.append(Matter(what=what, advice=advice, href="/queue", is_urgent=age >= _VERY_OLD))
    if damaged := standing.states.get("damaged", 0):
        what = f"{damaged} {'recipient waits' if damaged == 1 else 'recipients wait'} for mail that cannot be read"
        found.append(Matter(what=what, advice="Look at the disk, and drop it.", href="/queue?state=damaged"))
    return found


def _of_upstreams(upstreams: Iterable[UpstreamState]) -> list[Matter]:
    return [
        Matter(what=f"Upstream {one.name} is down: {one.last_error}", advice="Mail waits.", href="/health")
        for one in upstreams
        if one.condition == "down"
    ]


def _of_requests(asked: Sequence[datetime], now: datetime) -> list[Matter]:
    if not asked:
        return []
    number = f"{len(asked)} {'request waits' if len(asked) == 1 else 'requests wait'} for an answer"
    left = (min(asked) + _ANSWER_WITHIN - now).days
    term = f"{left} days are left for the oldest" if left >= 0 else f"the oldest is {-left} days late"
    return [
        Matter(what=number, advice=f"A month is the limit: {term}.", href="/requests", is_urgent=left < 10)
    ]


def _of_jobs(failing: Sequence[tuple[str, int]]) -> list[Matter]:
    return [
        Matter(
            what=f"The job {name} failed {times} {'time' if times == 1 else 'times'} in a row",
            advice="The log says why; it is tried again by itself.",
            is_urgent=times > 2,
        )
        for name, times in failing
    ]


def _failing(connection: Connection) -> list[tuple[str, int]]:
    query = select(jobs.c.name, jobs.c.failures).where(jobs.c.failures > 0).order_by(jobs.c.name)
    return [(row.name, row.failures) for row in connection.execute(query)]
