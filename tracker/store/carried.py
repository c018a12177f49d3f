"""Carried totals: what purged and erased events and deliveries added up to, so that finished reports do not change.

They name nobody. A total that stands beside its message could still be one about a person where the message went to
few; so where fewer than `min_group` persons were measured by name in the message the total goes to its mailing, and
where they are too few there as well, to the sender's month, without link or day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, delete, distinct, func, select, text
from sqlalchemy.sql.elements import ColumnElement

from tracker.consent import Mode
from tracker.events import EventKind
from tracker.store import rollups, rollups_cells
from tracker.store.counts import month_of
from tracker.store.deliveries import Mailing, insert_mailing
from tracker.store.rollups_cells import ANY, IMPLIED, views
from tracker.store.rollups_facts import rolled_deliveries, rolled_totals
from tracker.store.schema import (
    Id,
    carried_deliveries,
    carried_totals,
    deliveries,
    events,
    messages,
    page_visits,
)
from tracker.tokens import KeyRing

K = TypeVar("K")

HUMAN, DELIVERED = rollups_cells.HUMAN, rollups_cells.DELIVERED

_ADD = text(
    "INSERT INTO carried_totals (subject_id, measure, kind, verdict, link, day, n)"
    " VALUES (:subject_id, :measure, :kind, :verdict, :link, :day, :n)"
    " ON CONFLICT (subject_id, measure, kind, verdict, link, day)"
    " DO UPDATE SET n = carried_totals.n + excluded.n"
).bindparams(bindparam("subject_id", type_=Id))
_ADD_DELIVERIES = text(
    "INSERT INTO carried_deliveries (subject_id, status, mode, reason, n)"
    " VALUES (:subject_id, :status, :mode, :reason, :n)"
    " ON CONFLICT (subject_id, status, mode, reason) DO UPDATE SET n = carried_deliveries.n + excluded.n"
).bindparams(bindparam("subject_id", type_=Id))
_PERSON = func.coalesce(deliveries.c.person_key, deliveries.c.id)
_BY_NAME = deliveries.c.mode == Mode.IDENTIFIED.value
_OF_MESSAGE = (
    messages.c.id,
    messages.c.mailing_id,
    messages.c.sender,
    messages.c.received_at,
)
_CARRIED = (
    events.c.kind,
    events.c.at,
    events.c.message_id,
    events.c.delivery_id,
    events.c.link,
    events.c.verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message's totals go."""

    subject: bytes
    month: str | None = None
    """YYYY-MM where it is the sender's month: then neither link nor day is kept."""
    mailing: Mailing | None = None
    """The month's mailing, which may have to be made."""


class Places:
    """Finds the place of each message, once. What hits added up to stays with the message where `min_group` persons
    were measured by name in it, what became of its deliveries where it went to so many."""

    def __init__(self, connection: Connection, ring: KeyRing, min_group: int) -> None:
        self._connection = connection
        self._ring = ring
        self._least = min_group
        self._found: dict[tuple[bytes, bool], Place] = {}
        self._large: dict[tuple[bytes, bool], bool] = {}
        """Mailings that were asked about."""
        self._sizes: dict[tuple[bytes, bool], int] = {}
        """Of messages that `prepare` asked about: persons, or those measured by name."""
        self._messages: dict[bytes, Any] = {}

    def of_hits(self, message_id: bytes) -> Place:
        return self._of(message_id, True)

    def of_deliveries(self, message_id: bytes) -> Place:
        return self._of(message_id, False)

    def _of(self, message_id: bytes, by_name: bool) -> Place:
        key = message_id, by_name
        if key not in self._found:
            self._found[key] = self._find(message_id, by_name)
        return self._found[key]

    def prepare(self, ids: Sequence[bytes]) -> None:
        """Asks once for many messages that have few deliveries each, instead of for each when it comes up."""
        rows = self._connection.execute(select(*_OF_MESSAGE).where(messages.c.id.in_(ids)))
        self._messages = {bytes(row.id): row for row in rows}
        person = func.count(distinct(_PERSON)).label("n")
        counted = select(deliveries.c.message_id, person).where(deliveries.c.message_id.in_(ids))
        for by_name, query in ((False, counted), (True, counted.where(_BY_NAME))):
            self._sizes.update({(one, by_name): 0 for one in ids})
            sizes = self._connection.execute(query.group_by(deliveries.c.message_id))
            self._sizes.update({(bytes(row.message_id), by_name): row.n for row in sizes})
        gone = select(carried_deliveries.c.subject_id).where(carried_deliveries.c.subject_id.in_(ids))
        begun = {bytes(row.subject_id) for row in self._connection.execute(gone)}
        self._sizes = {key: n for key, n in self._sizes.items() if key[0] not in begun}

    def _find(self, message_id: bytes, by_name: bool) -> Place:
        if self._is_large(message_id, by_name):
            return Place(subject=message_id)
        message = self._message(message_id)
        if message is None:  # nobody knows whose it was: not even the month may be told
            return Place(subject=bytes(16), month="")
        mailing = bytes(message.mailing_id)
        if (mailing, by_name) not in self._large:
            theirs = select(messages.c.id).where(messages.c.mailing_id == mailing)
            self._large[mailing, by_name] = self._reaches(
                mailing, deliveries.c.message_id.in_(theirs), by_name
            )
        if self._large[mailing, by_name]:
            return Place(subject=mailing)
        month = month_of(message.sender, message.received_at, self._ring)
        return Place(subject=month.id, month=f"{message.received_at:%Y-%m}", mailing=month)

    def _message(self, message_id: bytes) -> Any:
        if message_id not in self._messages:
            query = select(*_OF_MESSAGE).where(messages.c.id == message_id)
            self._messages[message_id] = self._connection.execute(query).one_or_none()
        return self._messages[message_id]

    def _is_large(self, message_id: bytes, by_name: bool) -> bool:
        size = self._sizes.get((message_id, by_name))
        if size is not None:
            return size >= self._least
        return self._reaches(message_id, deliveries.c.message_id == message_id, by_name)

    def _reaches(self, subject: bytes, theirs: ColumnElement[bool], by_name: bool) -> bool:
        """Whether so many are, or were before the purge took some of them, among these deliveries."""
        living = select(_PERSON).distinct().where(theirs)
        if by_name:
            living = living.where(_BY_NAME)
        number = len(self._connection.execute(living.limit(self._least)).all())
        if number >= self._least:
            return True
        gone = select(func.sum(carried_deliveries.c.n)).where(carried_deliveries.c.subject_id == subject)
        if by_name:
            gone = gone.where(carried_deliveries.c.mode == Mode.IDENTIFIED.value)
        return number + int(self._connection.execute(gone).scalar_one() or 0) >= self._least


def carry_events(
    connection: Connection, which: ColumnElement[bool], held: Collection[bytes], places: Places
) -> int:
    """Removes events and adds them to the totals; gives their number. The caller holds the deliveries `held`, to which
    they belong, so that nobody else adds or removes one of theirs meanwhile.

    A person is carried with the last of their events, and counted among the living until then."""
    connection.execute(delete(page_visits).where(page_visits.c.delivery_id.in_(held)))
    rollups.take_back(connection, held)
    before = _looks(connection, held)
    gone = connection.execute(delete(events).where(which).returning(*_CARRIED)).all()
    if not gone:
        return 0
    totals: Counter[tuple[Any, ...]] = Counter()
    for event in gone:
        totals[_hit(places.of_hits(bytes(event.message_id)), event)] += 1
    for key, n in _people(connection, gone, held, places).items():
        totals[key] += n
    for key, n in _signs(connection, gone, before, _looks(connection, held), held, places).items():
        totals[key] += n
    _write(connection, totals, {places.of_hits(bytes(event.message_id)) for event in gone})
    return len(gone)


def _hit(place: Place, event: Any) -> tuple[Any, ...]:
    if place.month is not None:
        return place.subject, "hits", event.kind, event.verdict, 0, place.month
    return place.subject, "hits", event.kind, event.verdict, event.link or 0, f"{event.at:%Y-%m-%d}"


def _people(
    connection: Connection, gone: Sequence[Any], held: Collection[bytes], places: Places
) -> Counter[tuple[Any, ...]]:
    """Deliveries that had an event of a kind (and a click of a link), and have none any more."""
    left = set()
    query = select(events.c.delivery_id, events.c.kind, events.c.link).distinct()
    mine = events.c.delivery_id.in_(held) & events.c.verdict.in_(HUMAN)
    for row in connection.execute(query.where(mine)):
        left |= {(bytes(row.delivery_id), row.kind, 0), (bytes(row.delivery_id), row.kind, row.link or 0)}
    went = {
        (bytes(event.delivery_id), event.kind, link): bytes(event.message_id)
        for event in gone
        if event.verdict in HUMAN
        for link in {0, (event.link or 0) if event.kind == EventKind.CLICKED else 0}
    }
    arrived = _delivered(connection, held)
    people: Counter[tuple[Any, ...]] = Counter()
    for (delivery, kind, link), message in went.items():
        place = places.of_hits(message)
        if (delivery, kind, link) in left or place.month is not None:
            continue
        people[place.subject, "people", kind, "", link, ""] += 1
        if link == 0 and delivery in arrived:
            people[place.subject, "delivered", kind, "", 0, ""] += 1
    return people


_Looks = dict[bytes, tuple[int, bool, bool]]
"""By delivery: looks at the mail, whether there is any sign of a person, and whether it is a click alone."""


def _looks(connection: Connection, held: Collection[bytes]) -> _Looks:
    query = select(events.c.delivery_id, events.c.kind, events.c.at)
    mine = events.c.delivery_id.in_(held) & events.c.verdict.in_(HUMAN)
    hits: dict[bytes, list[Any]] = {}
    for row in connection.execute(query.where(mine).order_by(events.c.delivery_id, events.c.at, events.c.id)):
        hits.setdefault(bytes(row.delivery_id), []).append(row)
    found = {}
    for delivery, rows in hits.items():
        opens = [row.at.timestamp() for row in rows if row.kind == EventKind.OPENED]
        found[delivery] = len(views(opens)), True, not opens
    return found


def _signs(
    connection: Connection,
    gone: Sequence[Any],
    before: _Looks,
    after: _Looks,
    held: Collection[bytes],
    places: Places,
) -> Counter[tuple[Any, ...]]:
    """What goes of looks, of deliveries with any sign, and of those with a click alone, which may come to be more."""
    arrived, nothing = _delivered(connection, held), (0, False, False)
    signs: Counter[tuple[Any, ...]] = Counter()
    for delivery, message in {bytes(event.delivery_id): bytes(event.message_id) for event in gone}.items():
        place = places.of_hits(message)
        if place.month is not None:
            continue
        then, now = before.get(delivery, nothing), after.get(delivery, nothing)
        signs[place.subject, "views", EventKind.OPENED.value, "", 0, ""] += then[0] - now[0]
        if delivery in arrived:
            signs[place.subject, "signs", ANY, "", 0, ""] += then[1] - now[1]
            signs[place.subject, "signs", IMPLIED, "", 0, ""] += then[2] - now[2]
    return Counter({key: n for key, n in signs.items() if n})


def _delivered(connection: Connection, held: Collection[bytes]) -> set[bytes]:
    query = select(deliveries.c.id).where(
        deliveries.c.id.in_(held),
        deliveries.c.status.in_(DELIVERED),
        deliveries.c.mode == Mode.IDENTIFIED.value,
    )
    return {bytes(row.id) for row in connection.execute(query)}


def carry_deliveries(connection: Connection, rows: Iterable[Any], places: Places) -> None:
    """Adds deliveries (message_id, status, mode, reason) that are about to go to the totals."""
    totals: Counter[tuple[Any, ...]] = Counter()
    used = set()
    for row in rows:
        place = places.of_deliveries(bytes(row.message_id))
        used.add(place)
        totals[place.subject, row.status, row.mode, row.reason] += 1
    names = ("subject_id", "status", "mode", "reason")
    make_months(connection, used)
    if totals:
        ordered = [dict(zip(names, key, strict=True), n=n) for key, n in sorted(totals.items())]
        connection.execute(_ADD_DELIVERIES, ordered)
        rollups.add_at_once(connection, rolled_deliveries(connection, ordered))


def _write(connection: Connection, totals: Counter[tuple[Any, ...]], used: set[Place]) -> None:
    """In one order, so that two transactions never wait for each other."""
    names = ("subject_id", "measure", "kind", "verdict", "link", "day")
    make_months(connection, used)
    ordered = [dict(zip(names, key, strict=True), n=n) for key, n in sorted(totals.items())]
    connection.execute(_ADD, ordered)
    rollups.add_at_once(connection, rolled_totals(connection, ordered))


def make_months(connection: Connection, used: set[Place]) -> None:
    """Puts the mailings on record that stand for a sender's month."""
    for mailing in sorted((one.mailing for one in used if one.mailing is not None), key=lambda one: one.id):
        statement, rows = insert_mailing(mailing)
        connection.execute(statement, rows)


# --- read ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was carried of one message or mailing."""

    hits: Counter[tuple[str, str, int]]
    """By kind, verdict and link (0: none)."""
    people: Counter[tuple[str, int]]
    """By kind and link (0: any)."""
    delivered: Counter[str]
    """Of the people, those whose delivery counts as delivered; by kind."""

    def verdicts(self, kind: str) -> Counter[str]:
        """Hits of a kind by verdict."""
        return self._sums(lambda one, verdict, _link: verdict if one == kind else None)

    def human(self) -> Counter[tuple[str, int]]:
        """Hits of people and their proxies by kind and link."""
        return self._sums(lambda kind, verdict, link: (kind, link) if verdict in HUMAN else None)

    def clicks_of(self, link: int) -> int:
        """Clicks of people and their proxies on a link."""
        return self.human()[EventKind.CLICKED.value, link]

    def _sums(self, key: Callable[[str, str, int], K | None]) -> Counter[K]:
        sums: Counter[K] = Counter()
        for hit, n in self.hits.items():
            if (under := key(*hit)) is not None:
                sums[under] += n
        return sums


def carried(connection: Connection, subject: bytes) -> Totals:
    """The totals of a message or a mailing, over all days."""
    found = Totals(hits=Counter(), people=Counter(), delivered=Counter())
    for row in connection.execute(select(carried_totals).where(carried_totals.c.subject_id == subject)):
        if row.measure == "hits":
            found.hits[row.kind, row.verdict, row.link] += row.n
        elif row.measure == "people":
            found.people[row.kind, row.link] += row.n
        elif row.measure == "delivered":
            found.delivered[row.kind] += row.n
    return found


def carried_statuses(connection: Connection, subject: bytes) -> Sequence[Any]:
    """Rows of status, mode, reason and n: the deliveries of a message or a mailing that are gone."""
    columns = (
        carried_deliveries.c.status,
        carried_deliveries.c.mode,
        carried_deliveries.c.reason,
        carried_deliveries.c.n,
    )
    return connection.execute(select(*columns).where(carried_deliveries.c.subject_id == subject)).all()
