"""What a person may ask for beside erasure: all that is kept of them, in a form that programs read (GDPR art. 15, 20),
and that what they did in the past names nobody any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select, update

from tracker.address import normalize
from tracker.consent import DoNotTrack, Mode
from tracker.errors import InvalidValue, NotFound
from tracker.events import EventKind
from tracker.moments import isoformat
from tracker.statements import Statement
from tracker.store import alerts, conversions, rollups
from tracker.store.audience import joining
from tracker.store.carried import Places
from tracker.store.contacts import find
from tracker.store.counts import Cell, count_in
from tracker.store.credits import carry_conversions
from tracker.store.database import Database, execute
from tracker.store.events import ANONYMIZED
from tracker.store.histories import forget_visits
from tracker.store.holders import Holder
from tracker.store.messages import urls
from tracker.store.proof import Proof
from tracker.store.register import Effect, Register, Source
from tracker.store.requests import requests_of
from tracker.store.schema import (
    attempts,
    audience_members,
    contacts,
    deliveries,
    events,
    mailings,
    messages,
)
from tracker.store.shares import Share, fold_log
from tracker.tokens import KeyRing
from tracker.verdict import MACHINES

FORMAT = "candor export 1"
_AT_ONCE = 100
"""Ids in one question."""
_EVENTS = 10
"""That are counted anew where one delivery is made anonymous: of one mail there may be thousands."""
_WITHIN = 60.0
_LEFT = (
    "The person was erased. What stays is a keyed hash of the address, so that nobody tracks them again, the date of "
    "the erasure, and rows of the ledger without content."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anonymized:
    """What became of a person's past."""

    events: int
    """That named them; they are gone, and all but the machines' are counted without a name."""
    deliveries: int
    """That were measured by name and no longer are."""


class Rights:
    """`await Rights(...).export(address, now)`, `.anonymize(address, …)`."""

    def __init__(
        self, database: Database, ring: KeyRing, holders: Sequence[Holder] = (), *, min_group: int = 5
    ) -> None:
        self._database = database
        self._ring = ring
        self._holders = holders
        self._min_group = min_group
        self._register = Register(database, ring)
        self._proof = Proof(database, ring)

    async def export(self, address: str, now: datetime) -> dict[str, Any]:
        """Everything that is kept of the person, ready for JSON; `status` is `active`, `erased`, or `unknown` for
        somebody who got mail and never said anything. Raises InvalidAddress, NotFound where nothing is kept,
        StoreUnavailable."""
        normal = normalize(address)
        found = await self._database.read(partial(self._export, address=normal), within=_WITHIN)
        if found is None:
            raise NotFound(f"nothing is kept of {address}")
        if found["status"] == "active":
            found["ledger"] = (await self._proof.history(normal))["rows"]
        return {"format": FORMAT, "exported_at": isoformat(now), **found}

    async def anonymize(self, address: str, *, source: Source, actor: str, now: datetime) -> Anonymized:
        """Sets `do_not_track`, and turns what the person did in the past into counts that name nobody. Raises
        InvalidAddress, InvalidValue for an erased person, StoreUnavailable."""
        wish = Statement(address=address, do_not_track=DoNotTrack.TRUE)
        (recorded,) = await self._register.record([wish], source=source, actor=actor, now=now)
        if recorded.effect is Effect.NOT_EFFECTIVE:
            raise InvalidValue(f"{address}: {recorded.reason}")
        share, removed, cut = Share(), 0, 0
        while some := await self._database.change(
            share.of(partial(self._anonymize, address=recorded.address)), within=_WITHIN
        ):
            removed, cut = removed + some.events, cut + some.deliveries
        await fold_log(self._database, within=_WITHIN)
        await self._database.forget()
        return Anonymized(events=removed, deliveries=cut)

    def _anonymize(self, connection: Connection, most: int, address: str) -> Anonymized | None:
        """Some of it; None when nothing is left to be done. The deliveries first: who writes an event of one is waited
        for, and who comes later writes none."""
        places = Places(connection, self._ring, self._min_group)
        carry_conversions(connection, conversions.of_person(address, self._ring), places)
        rows = {bytes(row.id): row for row in connection.execute(_named(address, most))}
        connection.execute(update(contacts).where(contacts.c.address == address).values(last_open_day=None))
        if not rows:
            return None
        rollups.take_back(connection, rows)
        mine = update(deliveries).where(deliveries.c.id.in_(rows))
        connection.execute(mine.values(mode=Mode.ANONYMOUS.value, reason=ANONYMIZED))
        # They belong to the audience from now on: it is they whom the cell has to hide.
        arrived = [id_ for id_, row in rows.items() if row.accepted_at is not None]
        execute(connection, [joining(arrived)])
        forget_visits(connection, rows)
        alerts.forget(connection, list(rows))
        some = select(events.c.id).where(events.c.delivery_id.in_(rows)).order_by(events.c.delivery_id)
        columns = (events.c.delivery_id, events.c.kind, events.c.at, events.c.link, events.c.verdict)
        gone = delete(events).where(events.c.id.in_(some.limit(most * _EVENTS))).returning(*columns)
        removed = connection.execute(gone).all()
        self._count(connection, removed, rows)
        named = sum(row.mode == Mode.IDENTIFIED.value for row in rows.values())
        return Anonymized(events=len(removed), deliveries=named)

    def _count(self, connection: Connection, removed: Sequence[Any], sent: Mapping[bytes, Any]) -> None:
        """Those of the removed events that were no machine's, each where it would have been counted without a name."""
        hits: Counter[tuple[Cell, str, int, date]] = Counter()
        for event in removed:
            if event.verdict not in MACHINES:
                row = sent[bytes(event.delivery_id)]
                cell = Cell(mailing=bytes(row.mailing_id), group=row.grp or "", sender=row.sender)
                hits[cell, event.kind, event.link or 0, event.at.date()] += 1
        for (cell, kind, position, day), n in sorted(hits.items(), key=_in_order):
            hit = EventKind(kind), position, datetime.combine(day, time(), UTC)
            count_in(connection, cell, *hit, self._ring, self._min_group, n=n)

    def _export(self, connection: Connection, address: str) -> dict[str, Any] | None:
        person = find(connection, address, self._ring)
        beside: dict[str, Any] = {}
        for holder in self._holders:
            beside |= {
                key: list(rows) for key, rows in holder.export(connection, address, self._ring).items()
            }
        asked = [] if person is None else [_request(one) for one in requests_of(connection, person.id)]
        if person is not None and person.erased_key is not None:
            erased_at = isoformat(person.consent_as_of) if person.consent_as_of else None
            return {
                "status": "erased",
                "erased_at": erased_at,
                "note": _LEFT,
                "requests": asked,
                **beside,
            }
        sent = _deliveries(connection, address)
        converted = conversions.export(connection, address, self._ring)
        if person is None and not sent and not converted and not any(beside.values()):
            return None
        return {
            "status": "unknown" if person is None else "active",
            "address": address,
            "contact": None if person is None else _contact(person),
            "ledger": [],
            "deliveries": sent,
            "audiences": _audiences(connection, address),
            "conversions": converted,
            "alerts": [_alert(one) for one in alerts.of_person(connection, address)],
            "requests": asked,
            **beside,
        }


def _in_order(hit: tuple[tuple[Cell, str, int, date], int]) -> tuple[bytes, str, str, int, date]:
    """One for all, so that two transactions never wait for each other."""
    (cell, kind, position, day), _ = hit
    return cell.mailing, cell.group, kind, position, day


def _named(address: str, most: int) -> Any:
    """The next deliveries that were, or may have been, measured by name."""
    has_events = select(events.c.id).where(events.c.delivery_id == deliveries.c.id).exists()
    return (
        select(
            deliveries.c.id,
            deliveries.c.grp,
            deliveries.c.mode,
            deliveries.c.accepted_at,
            messages.c.mailing_id,
            messages.c.sender,
        )
        .join(messages, messages.c.id == deliveries.c.message_id)
        .where(deliveries.c.recipient == address)
        .where(or_(deliveries.c.mode == Mode.IDENTIFIED.value, has_events))
        .order_by(deliveries.c.id)
        .limit(most)
        .with_for_update(of=deliveries)
    )


def _contact(row: Any) -> dict[str, Any]:
    return {
        "tracking_consent": row.tracking_consent,
        "consent_as_of": _moment(row.consent_as_of),
        "consent_source": row.consent_source,
        "do_not_track": row.do_not_track,
        "do_not_track_as_of": _moment(row.do_not_track_as_of),
        "do_not_track_source": row.do_not_track_source,
        "country": row.country,
        "group": row.grp,
        "attributes": dict(row.attributes),
        "last_open_day": row.last_open_day,
        "created_at": isoformat(row.created_at),
    }


def _deliveries(connection: Connection, address: str) -> list[dict[str, Any]]:
    query = (
        select(
            deliveries,
            messages.c.received_at,
            messages.c.sender,
            messages.c.from_header,
            messages.c.subject,
            messages.c.tags,
            messages.c.metadata,
            messages.c.variant,
            messages.c["class"],
            messages.c.size,
            mailings.c.name.label("mailing"),
        )
        .join(messages, messages.c.id == deliveries.c.message_id)
        .outerjoin(mailings, mailings.c.id == messages.c.mailing_id)
        .where(deliveries.c.recipient == address)
        .order_by(messages.c.received_at, deliveries.c.id)
    )
    rows = connection.execute(query).all()
    ids = [bytes(row.id) for row in rows]
    tries = _by_delivery(connection, ids, _attempts)
    happened = _by_delivery(connection, ids, _events)
    return [_delivery(row, tries.get(bytes(row.id), []), happened.get(bytes(row.id), [])) for row in rows]


def _delivery(row: Any, tries: list[dict[str, Any]], happened: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": bytes(row.id).hex(),
        "message": {
            "id": bytes(row.message_id).hex(),
            "received_at": isoformat(row.received_at),
            "mailing": row.mailing,
            "sender": row.sender,
            "from": row.from_header,
            "subject": row.subject,
            "tags": row.tags,
            "metadata": row.metadata or {},
            "variant": row.variant,
            "class": getattr(row, "class"),
            "size": row.size,
        },
        "group": row.grp,
        "mode": row.mode,
        "reason": row.reason,
        "opens": row.opens,
        "clicks": row.clicks,
        "override": row.override,
        "status": row.status,
        "accepted_at": _moment(row.accepted_at),
        "updated_at": isoformat(row.updated_at),
        "attempts": tries,
        "events": happened,
    }


_Told = Iterable[tuple[bytes, dict[str, Any]]]


def _by_delivery(
    connection: Connection, ids: Sequence[bytes], tell: Callable[[Connection, Sequence[bytes]], _Told]
) -> dict[bytes, list[dict[str, Any]]]:
    found: dict[bytes, list[dict[str, Any]]] = {}
    for start in range(0, len(ids), _AT_ONCE):
        for delivery, told in tell(connection, ids[start : start + _AT_ONCE]):
            found.setdefault(delivery, []).append(told)
    return found


def _attempts(connection: Connection, ids: Sequence[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    query = select(attempts).where(attempts.c.delivery_id.in_(ids)).order_by(attempts.c.at, attempts.c.id)
    for row in connection.execute(query):
        told = {name: getattr(row, name) for name in ("status", "host", "tls", "code", "enhanced", "text")}
        yield bytes(row.delivery_id), {"at": isoformat(row.at), **told}


def _events(connection: Connection, ids: Sequence[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    query = select(events).where(events.c.delivery_id.in_(ids)).order_by(events.c.at, events.c.id)
    rows = connection.execute(query).all()
    leads = urls(connection, {bytes(row.message_id) for row in rows if row.link is not None})
    for row in rows:
        names = ("kind", "link", "verdict", "client", "device", "system", "country")
        told: Mapping[str, Any] = {name: getattr(row, name) for name in names}
        yield (
            bytes(row.delivery_id),
            {
                "id": str(row.id),
                "at": isoformat(row.at),
                **told,
                "url": leads.get((bytes(row.message_id), row.link)),
                "verdict_reasons": row.verdict_reasons.split(),
            },
        )


def _audiences(connection: Connection, address: str) -> list[dict[str, Any]]:
    """Mailings in which the person is one of those counted without a name."""
    mine = and_(
        audience_members.c.mailing_id == messages.c.mailing_id,
        audience_members.c.person_key == deliveries.c.person_key,
    )
    query = (
        select(audience_members.c.mode, audience_members.c.grp, mailings.c.name)
        .distinct()
        .select_from(deliveries)
        .join(messages, messages.c.id == deliveries.c.message_id)
        .join(audience_members, mine)
        .outerjoin(mailings, mailings.c.id == audience_members.c.mailing_id)
        .where(deliveries.c.recipient == address)
        .order_by(mailings.c.name, audience_members.c.mode)
    )
    return [{"mailing": row.name, "mode": row.mode, "group": row.grp} for row in connection.execute(query)]


def _alert(row: Any) -> dict[str, Any]:
    """What the operator was told of the person as it happened."""
    return {
        "name": row.name,
        "kind": row.kind,
        "at": isoformat(row.at),
        "message": bytes(row.message_id).hex(),
        "link": row.link,
        "state": row.state,
    }


def _request(one: Any) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "state": one.state.value,
        "asked_at": isoformat(one.asked_at),
        "settled_at": _moment(one.settled_at),
        "note": one.note,
    }


def _moment(moment: datetime | None) -> str | None:
    return isoformat(moment) if moment is not None else None
