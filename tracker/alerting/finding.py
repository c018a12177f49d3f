"""What is to be told: people's opens and clicks whose verdict is final, and bounces by domain.

Only who may be measured by name today is ever taken down. What happened while nobody looked for longer than a day is
no news.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, case, func, select

from tracker import log
from tracker.behaviour import PROVISIONAL
from tracker.config import AlertTable
from tracker.consent import Mode
from tracker.domain import Domain
from tracker.errors import CandorError, StoreUnavailable
from tracker.events import EventKind
from tracker.measurable import by_name
from tracker.segments.selection import Selection, saved
from tracker.store import alerts, cursors
from tracker.store.admission import admitted
from tracker.store.alerts import Found, key_of
from tracker.store.carried import DELIVERED, HUMAN
from tracker.store.deliveries import Sent, fetch_sent
from tracker.store.messages import OWN_REPORT, urls
from tracker.store.schema import deliveries, events, messages
from tracker.urlpattern import fits

CURSOR = "alerts"
ONE_VIEW = timedelta(seconds=30)
"""Opens that follow each other so soon are one."""
_FINAL_AFTER = timedelta(seconds=PROVISIONAL)
_NEWS = timedelta(days=1)
_IDS = 2000
"""Event ids that are gone through in one question."""
_PEOPLE = 400
_WITHIN = 30.0


class Finding:
    """`await Finding(domain).events(now)`, `.bounces(now)`: what the configuration of the moment asks for, taken down.
    They give how many are new, and raise StoreUnavailable."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    async def events(self, now: datetime) -> int:
        """Reads on in the events, as far as they are settled."""
        database = self._domain.database
        found = await database.change(
            partial(cursors.stretch, name=CURSOR, now=now, settled_after=_FINAL_AFTER, forget_after=_NEWS)
        )
        wanted = [one for one in self._domain.config.alert if one.kind != "bounces"]
        segments = await self._segments(wanted, now)
        new, after = 0, found.after
        while after < found.until:
            until = min(after + _IDS, found.until)
            work = partial(self._look, alerts_=wanted, segments=segments, ids=(after, until), now=now)
            told = await database.read(work, within=_WITHIN)
            new += await database.change(partial(self._keep, found=told, until=until, now=now))
            after = until
        return new

    async def bounces(self, now: datetime) -> int:
        """Looks at what became of the mail of each alert's window."""
        new = 0
        for one in self._domain.config.alert:
            if one.kind == "bounces":
                told = await self._domain.database.read(partial(_bounces, one, now=now), within=_WITHIN)
                if told:
                    new += await self._domain.database.change(partial(alerts.keep, found=told, now=now))
        return new

    async def _segments(self, wanted: Iterable[AlertTable], now: datetime) -> Mapping[str, Selection | None]:
        """Of each segment who is in it; None where it cannot be read: then nobody is."""
        found: dict[str, Selection | None] = {}
        for name in {one.segment for one in wanted if one.segment}:
            try:
                found[name] = await saved(self._domain, name, now)
            except StoreUnavailable:
                raise
            except CandorError as error:
                log.alert_without_segment(str(error))
                found[name] = None
        return found

    def _keep(self, connection: Connection, found: Sequence[Found], until: int, now: datetime) -> int:
        new = alerts.keep(connection, found, now) if found else 0
        cursors.read(connection, CURSOR, until)
        return new

    def _look(
        self,
        connection: Connection,
        alerts_: Sequence[AlertTable],
        segments: Mapping[str, Selection | None],
        ids: tuple[int, int],
        now: datetime,
    ) -> list[Found]:
        query = select(events).where(events.c.id > ids[0], events.c.id <= ids[1])
        query = query.where(events.c.verdict.in_(HUMAN), events.c.at >= now - _NEWS)
        rows = connection.execute(query.order_by(events.c.id)).all()
        found: list[Found] = []
        for one in alerts_ if rows else ():
            found_of = (
                _clicks(connection, one, rows)
                if one.kind == "click"
                else _opens(connection, one, rows, ids[1])
            )
            candidates = list(found_of)
            for start in range(0, len(candidates), _PEOPLE):
                some = candidates[start : start + _PEOPLE]
                may = measured(self._domain, connection, some)
                if one.segment:
                    chosen = segments[one.segment]
                    within = chosen.among(connection, set(may.values())) if chosen else set()
                    may = {id_: address for id_, address in may.items() if address in within}
                found += [each for each in some if each.delivery_id in may]
        return found


def measured(domain: Domain, connection: Connection, found: Sequence[Found]) -> dict[bytes, str]:
    """Of these the deliveries, with whom they went to, of which today's consent allows to say who did what: of that mail,
    and of the person at all, the override notwithstanding."""
    kinds = {one.delivery_id: one.kind for one in found if one.delivery_id is not None}
    sent = fetch_sent(connection, list(kinds), domain.ring) if kinds else {}
    people = {one.recipient for one in sent.values() if one.recipient is not None}
    may = by_name(domain, connection, sorted(people))
    return {
        id_: one.recipient
        for id_, one in sent.items()
        if one.recipient in may and one.recipient is not None and _admits(domain, one, kinds[id_])
    }


def _admits(domain: Domain, sent: Sent, kind: str) -> bool:
    event = EventKind.OPENED if kind == "opens" else EventKind.CLICKED
    return admitted(sent, event, domain.policy)[0].mode is Mode.IDENTIFIED


def _clicks(connection: Connection, alert: AlertTable, rows: Sequence[Any]) -> Iterator[Found]:
    clicked = [row for row in rows if row.kind == EventKind.CLICKED.value and row.link is not None]
    leads = urls(connection, {bytes(row.message_id) for row in clicked}) if clicked else {}
    seen: set[bytes] = set()
    for row in clicked:
        delivery, message = bytes(row.delivery_id), bytes(row.message_id)
        if delivery not in seen and fits(alert.link, leads.get((message, row.link), "")):
            seen.add(delivery)
            yield _found(alert, row, n=1, at=row.at)


def _opens(connection: Connection, alert: AlertTable, rows: Sequence[Any], until: int) -> Iterator[Found]:
    """Opens behind `until` may yet turn out to be a machine's."""
    opened = {bytes(row.delivery_id): row for row in rows if row.kind == EventKind.OPENED.value}
    if not opened:
        return
    since = min(row.at for row in opened.values()) - timedelta(seconds=alert.window)
    times = _opened_at(connection, list(opened), since, until)
    for delivery, row in opened.items():
        at = so_often(times.get(delivery, ()), alert.times, timedelta(seconds=alert.window))
        if at is not None:
            yield _found(alert, row, n=alert.times, at=at)


def _opened_at(
    connection: Connection, ids: Sequence[bytes], since: datetime, until: int
) -> dict[bytes, list[datetime]]:
    found: dict[bytes, list[datetime]] = {}
    for start in range(0, len(ids), _PEOPLE):
        query = select(events.c.delivery_id, events.c.at).where(
            events.c.delivery_id.in_(ids[start : start + _PEOPLE]),
            events.c.kind == EventKind.OPENED.value,
            events.c.verdict.in_(HUMAN),
            events.c.at >= since,
            events.c.id <= until,
        )
        for row in connection.execute(query.order_by(events.c.at)):
            found.setdefault(bytes(row.delivery_id), []).append(row.at)
    return found


def so_often(opened: Collection[datetime], times: int, within: timedelta) -> datetime | None:
    """When a message was opened for the so-manieth time in so long; None where it was not. `opened` in order."""
    views = list(opened)[:1] + [later for earlier, later in pairwise(opened) if later - earlier > ONE_VIEW]
    for first, last in zip(views, views[times - 1 :], strict=False):
        if last - first <= within:
            return last
    return None


def _found(alert: AlertTable, row: Any, *, n: int, at: datetime) -> Found:
    delivery = bytes(row.delivery_id)
    return Found(
        name=alert.name,
        kind=alert.kind,
        key=key_of(alert.name, delivery),
        at=at,
        message_id=bytes(row.message_id),
        delivery_id=delivery,
        link=row.link,
        n=n,
    )


def _bounces(alert: AlertTable, connection: Connection, now: datetime) -> list[Found]:
    """Of mail that came within the window and whose fate is known, the share that bounced."""
    bounced = func.count(case((deliveries.c.status == "bounced", 1)))
    known = func.count(case((deliveries.c.status.in_(("bounced", *DELIVERED)), 1)))
    query = (
        select(bounced.label("n"), known.label("of"))
        .join(messages, messages.c.id == deliveries.c.message_id)
        .where(messages.c.received_at >= now - timedelta(seconds=alert.window))
        .where(func.coalesce(messages.c.untouched, "") != OWN_REPORT)
        .having(known >= alert.least)
    )
    if alert.per == "domain":
        query = query.add_columns(deliveries.c.domain).where(deliveries.c.domain != "")
        query = query.group_by(deliveries.c.domain).order_by(deliveries.c.domain)
    turn = str(int(now.timestamp() // alert.window))
    found = []
    for row in connection.execute(query):
        domain = row.domain if alert.per == "domain" else ""
        if row.n > alert.share * row.of:
            key = key_of(alert.name, domain, turn)
            found.append(
                Found(name=alert.name, kind=alert.kind, key=key, at=now, domain=domain, n=row.n, of=row.of)
            )
    return found
