"""The purge: what has been kept for as long as the configuration says goes, and its totals stay.

Small transactions, with a pause after each as long as it took: mail and hits go on beside it. It may be broken off at
any time and begun again. Events go by their own day; a message's deliveries, attempts and what is left of its events
with the message's. A message whose totals stand on their own stays as their heading; one that went to too few goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, distinct, exists, func, select, update

from tracker.config import RetentionTable
from tracker.retention import kept_from
from tracker.store import alerts
from tracker.store.carried import Places, carry_deliveries, carry_events
from tracker.store.credits import carry_conversions, expired_conversions, looking_back_at
from tracker.store.database import Database
from tracker.store.engines import hold_writers
from tracker.store.holders import Holder
from tracker.store.requests import RequestState
from tracker.store.schema import (
    attempts,
    audience_members,
    carried_credits,
    carried_deliveries,
    carried_totals,
    contacts,
    conversions,
    counts,
    deliveries,
    events,
    mailings,
    messages,
    requests,
)
from tracker.store.shares import Share, fold_log
from tracker.tokens import KeyRing

T = TypeVar("T")
_AT_ONCE = 100
"""Rows whose removal is one transaction; each of them may have others hanging on it."""
_PAGE = 500
_WITHIN = 30.0
_LONGEST_PAUSE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What went, or would go, by kind. `messages` are those whose people went; most of them stay as headings."""

    events: int = 0
    messages: int = 0
    deliveries: int = 0
    open_days: int = 0
    requests: int = 0
    conversions: int = 0
    originals: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in asdict(self).items())


class Purge:
    """`await Purge(...).run(today)`, and `.due(today)` for what it would do."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        retention: RetentionTable,
        holders: Sequence[Holder] = (),
        *,
        min_group: int = 5,
        originals_days: int = 0,
    ) -> None:
        """`originals_days`: so long messages are kept as they came."""
        self._originals_days = originals_days
        self._database = database
        self._ring = ring
        self._retention = retention
        self._holders = holders
        self._min_group = min_group

    async def due(self, today: date) -> Purged:
        """What would go. Raises StoreUnavailable."""
        of_events, of_messages = self._limits(today)
        originals = self._originals_before(today)

        def work(connection: Connection) -> Purged:
            shown = sum(holder.expired(connection, originals) for holder in self._holders)
            return replace(_due(connection, of_events, of_messages), originals=shown)

        return await self._database.read(work, within=_WITHIN * 4)

    async def run(self, today: date) -> Purged:
        """Removes what has expired by `today` (UTC), and cuts the write-ahead log, which holds whatever was removed
        since the last time. Raises StoreUnavailable."""
        of_events, of_messages = self._limits(today)
        # Events first: of one mail there may be thousands, which are too many to go with it.
        removed, share = 0, Share(first=30, most=300)
        while some := await self._gently(share.of(partial(self._remove_events, before=of_events))):
            removed += some
        converted = 0
        while some := await self._gently(share.of(partial(self._remove_conversions, before=of_events))):
            converted += some
        await self._until_none(partial(alerts.forget_before, before=of_events, most=_AT_ONCE))
        purged, sent = await self._messages(of_messages)
        days = await self._open_days(of_events)
        settled = await self._until_none(partial(_remove_requests, before=of_messages))
        shown = 0
        for holder in self._holders:
            shown += await self._until_none(partial(holder.expire, before=self._originals_before(today)))
        await fold_log(self._database, within=_WITHIN)
        await self._database.forget()
        return Purged(
            events=purged.events + removed,
            messages=len(sent),
            deliveries=purged.deliveries,
            open_days=days,
            requests=settled,
            conversions=converted,
            originals=shown,
        )

    def _originals_before(self, today: date) -> datetime:
        """Whatever there is, where none are kept any more."""
        days = self._originals_days if self._originals_days else -1
        return datetime.combine(today - timedelta(days=days), time_of_day(), UTC)

    def _limits(self, today: date) -> tuple[datetime, datetime]:
        """The moments before which events and messages have expired."""
        table = self._retention
        return kept_from(today, table.events_years), kept_from(today, table.messages_years)

    async def _messages(self, before: datetime) -> tuple[Purged, set[bytes]]:
        """Page by page along the time they came, so that headings are passed over once."""
        share, removed, gone = Share(), 0, 0
        done: set[bytes] = set()
        mailings_touched: set[bytes] = set()
        after: _Key | None = None
        while True:
            page, after = await self._database.read(
                partial(_page, before=before, after=after), within=_WITHIN
            )
            if after is None:
                break
            for batch in _batches(page, share.size):
                ids, is_over = [one.id for one in batch], False
                while not is_over:
                    went, is_over = await self._gently(share.of(partial(self._remove_messages, ids=ids)))
                    removed, gone = removed + went.events, gone + went.deliveries
                done.update(one.id for one in batch if one.deliveries)
                mailings_touched.update(one.mailing for one in batch)
        for mailing in sorted(mailings_touched):
            while await self._gently(partial(_leave_mailing, mailing=mailing)):
                pass
        return Purged(events=removed, deliveries=gone), done

    def _remove_messages(
        self, connection: Connection, most: int, ids: Sequence[bytes]
    ) -> tuple[Purged, bool]:
        """Some of the deliveries of these messages with all that belongs to them; with the last, the message, and then
        it is over."""
        columns = ("id", "message_id", "status", "mode", "reason")
        some = select(*(deliveries.c[name] for name in columns)).where(deliveries.c.message_id.in_(ids))
        rows = connection.execute(some.order_by(deliveries.c.id).limit(most).with_for_update()).all()
        held = [bytes(row.id) for row in rows]
        places = Places(connection, self._ring, self._min_group)
        if len(ids) > 1:
            places.prepare(ids)
        own = {id_ for id_ in ids if places.of_deliveries(id_).subject == id_}
        carry_conversions(connection, conversions.c.id.in_(looking_back_at(held)), places)
        removed = carry_events(connection, events.c.delivery_id.in_(held), held, places)
        carry_deliveries(connection, rows, places)
        connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(held)))
        alerts.forget(connection, held)
        connection.execute(delete(deliveries).where(deliveries.c.id.in_(held)))
        is_over = len(held) < most
        if is_over:
            self._remove_small(connection, set(ids) - own)
            for holder in self._holders:
                holder.purge(connection, ids)
        return Purged(events=removed, deliveries=len(held)), is_over

    def _remove_small(self, connection: Connection, ids: Collection[bytes]) -> None:
        if ids:
            connection.execute(delete(messages).where(messages.c.id.in_(ids)))

    def _remove_events(self, connection: Connection, most: int, before: datetime) -> int:
        query = select(events.c.id, events.c.delivery_id).where(events.c.at < before)
        rows = connection.execute(query.order_by(events.c.at).limit(most)).all()
        held = sorted({bytes(row.delivery_id) for row in rows})
        connection.execute(
            select(deliveries.c.id)
            .where(deliveries.c.id.in_(held))
            .order_by(deliveries.c.id)
            .with_for_update()
        )
        places = Places(connection, self._ring, self._min_group)
        return carry_events(connection, events.c.id.in_([row.id for row in rows]), held, places)

    def _remove_conversions(self, connection: Connection, most: int, before: datetime) -> int:
        """Those that are as old as an event may be, or look back at one that is."""
        some = expired_conversions(before).limit(most)
        places = Places(connection, self._ring, self._min_group)
        ids = list(connection.execute(some).scalars())
        return carry_conversions(connection, conversions.c.id.in_(ids), places) if ids else 0

    async def _open_days(self, before: datetime) -> int:
        """The day of the last open, kept in hygiene mode, is as old as an event may be."""
        day, last, removed = f"{before:%Y-%m-%d}", 0, 0
        while ids := await self._database.read(partial(_opened_before, day=day, after=last), within=_WITHIN):
            last = ids[-1]
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                removed += await self._gently(partial(_forget_days, ids=some, day=day))
        return removed

    async def _until_none(self, work: Callable[[Connection], int]) -> int:
        removed = 0
        while some := await self._gently(work):
            removed += some
        return removed

    async def _gently(self, work: Callable[[Connection], T]) -> T:
        """One transaction, then as much time for everybody else."""
        began = time.monotonic()
        done = await self._database.change(work, within=_WITHIN)
        await asyncio.sleep(min(time.monotonic() - began, _LONGEST_PAUSE))
        return done


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    id: bytes
    mailing: bytes
    deliveries: int


_Key = tuple[datetime, bytes]


def _page(connection: Connection, before: datetime, after: _Key | None) -> tuple[list[_Message], _Key | None]:
    """The next messages that expired, oldest first, but for headings, of which nothing is left to go; and where the
    page after them begins, None at the end."""
    query = select(messages.c.id, messages.c.mailing_id, messages.c.received_at)
    query = query.where(messages.c.received_at < before)
    if after is not None:
        at, last = after
        query = query.where(
            (messages.c.received_at > at) | ((messages.c.received_at == at) & (messages.c.id > last))
        )
    rows = connection.execute(query.order_by(messages.c.received_at, messages.c.id).limit(_PAGE)).all()
    if not rows:
        return [], None
    ids = [row.id for row in rows]
    counted = select(deliveries.c.message_id, func.count().label("n")).where(deliveries.c.message_id.in_(ids))
    sizes = {bytes(row[0]): row.n for row in connection.execute(counted.group_by(deliveries.c.message_id))}
    known = select(carried_deliveries.c.subject_id).where(carried_deliveries.c.subject_id.in_(ids))
    headings = {bytes(one) for one in connection.execute(known).scalars()} - sizes.keys()
    found = [
        _Message(id=bytes(row.id), mailing=bytes(row.mailing_id), deliveries=sizes.get(bytes(row.id), 0))
        for row in rows
        if bytes(row.id) not in headings
    ]
    return found, (rows[-1].received_at, bytes(rows[-1].id))


def _batches(page: Sequence[_Message], most: int) -> list[list[_Message]]:
    """Messages that go together: as many as have fewer than `most` deliveries between them, or one that has more."""
    batches: list[list[_Message]] = []
    room = 0
    for one in page:
        if one.deliveries > room or not batches or len(batches[-1]) == most:
            batches.append([])
            room = most - 1
        batches[-1].append(one)
        room -= one.deliveries
    return batches


def _leave_mailing(connection: Connection, mailing: bytes) -> int:
    """Of a mailing that nobody's delivery is known of any more, some of its audience goes; with the last, its name
    where nothing is left to be named."""
    theirs = select(messages.c.id).where(messages.c.mailing_id == mailing)
    if connection.execute(
        select(deliveries.c.id).where(deliveries.c.message_id.in_(theirs)).limit(1)
    ).first():
        return 0
    here = audience_members.c.mailing_id == mailing
    some = select(audience_members.c.person_key).where(here).limit(_AT_ONCE)
    gone = connection.execute(delete(audience_members).where(here, audience_members.c.person_key.in_(some)))
    if gone.rowcount:
        return gone.rowcount
    hold_writers(connection)  # or a message that is being written now would lose its mailing
    used = [
        exists().where(column == mailings.c.id)
        for column in (
            messages.c.mailing_id,
            counts.c.mailing_id,
            carried_totals.c.subject_id,
            carried_deliveries.c.subject_id,
            carried_credits.c.subject_id,
        )
    ]
    connection.execute(delete(mailings).where(mailings.c.id == mailing, *(~one for one in used)))
    return 0


def _opened_before(connection: Connection, day: str, after: int) -> list[int]:
    query = select(contacts.c.id).where(contacts.c.id > after).where(contacts.c.last_open_day < day)
    return list(connection.execute(query.order_by(contacts.c.id).limit(_PAGE)).scalars())


def _forget_days(connection: Connection, ids: Sequence[int], day: str) -> int:
    theirs = update(contacts).where(contacts.c.id.in_(ids)).where(contacts.c.last_open_day < day)
    return connection.execute(theirs.values(last_open_day=None)).rowcount


def _remove_requests(connection: Connection, before: datetime) -> int:
    some = select(requests.c.id).where(_settled_before(before)).limit(_AT_ONCE)
    return connection.execute(delete(requests).where(requests.c.id.in_(some))).rowcount


def _settled_before(before: datetime) -> Any:
    return (requests.c.settled_at < before) & (requests.c.state != RequestState.OPEN.value)


def _due(connection: Connection, of_events: datetime, of_messages: datetime) -> Purged:
    """Counted as `run` would: what hangs on an expired message goes with it."""
    old = select(messages.c.id).where(messages.c.received_at < of_messages)
    theirs = deliveries.c.message_id.in_(old)
    number = connection.execute(
        select(
            func.count().label("n"), func.count(distinct(deliveries.c.message_id)).label("messages")
        ).where(theirs)
    ).one()
    expired = (events.c.at < of_events) | events.c.delivery_id.in_(select(deliveries.c.id).where(theirs))
    day = f"{of_events:%Y-%m-%d}"

    def count(table: Any, which: Any) -> int:
        return int(connection.execute(select(func.count()).select_from(table).where(which)).scalar_one())

    return Purged(
        events=count(events, expired),
        messages=number.messages,
        deliveries=number.n,
        open_days=count(contacts, contacts.c.last_open_day < day),
        requests=count(requests, _settled_before(of_messages)),
        conversions=count(conversions, conversions.c.id.in_(expired_conversions(of_events))),
    )
