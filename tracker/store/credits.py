"""What conversions earned for whom: computed from the touches that were kept of each, and carried on without them.

A conversion that goes (its person is erased or made anonymous, its time is up) leaves totals: how many there were on a
day, and what each model gave to whom. Credit goes where the totals of opens and clicks go (`tracker.store.carried`): to
the message, to the mailing where the message went to too few, to the sender's month where that did too; so finished
reports do not change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from tracker.attribution import WHOLE, Credit, Model, Touch, attribute, distribute
from tracker.consent import Mode
from tracker.events import EventKind, VerdictKind
from tracker.store.audience import in_small_groups, reaches
from tracker.store.carried import Place, Places, make_months
from tracker.store.counts import Cell, month_of
from tracker.store.schema import Id, conversion_touches, conversions, events
from tracker.tokens import KeyRing

NO_TOUCH = "no-touch"
"""Why nobody earned a conversion: nothing of what came before does."""
NO_CLICK = "no-click"
"""Why nobody earned it under `first-click`; in totals, that it is so, and that somebody did under the other models."""
_AT_ONCE = 500
_ADD = text(
    "INSERT INTO carried_conversions (goal, day, reason, currency, n, value)"
    " VALUES (:goal, :day, :reason, :currency, :n, :value)"
    " ON CONFLICT (goal, day, reason, currency)"
    " DO UPDATE SET n = carried_conversions.n + excluded.n, value = carried_conversions.value + excluded.value"
)
_ADD_CREDITS = text(
    "INSERT INTO carried_credits (subject_id, goal, model, day, link, grp, currency, credit, value)"
    " VALUES (:subject_id, :goal, :model, :day, :link, :grp, :currency, :credit, :value)"
    " ON CONFLICT (subject_id, goal, model, day, link, grp, currency) DO UPDATE"
    " SET credit = carried_credits.credit + excluded.credit, value = carried_credits.value + excluded.value"
).bindparams(bindparam("subject_id", type_=Id))
_KEY = ("subject_id", "goal", "model", "day", "link", "grp", "currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One that is on record, with what may earn it as it is judged today."""

    id: int
    goal: str
    at: datetime
    reason: str
    window_days: int
    currency: str
    value: int
    """Minor units."""
    touches: tuple[Touch, ...] = ()

    def earned(self, model: Model) -> list[Earned]:
        """What each credit comes to: in all one conversion and its value, to the last cent; nothing where nothing
        earns."""
        found = attribute(self.touches, self.at, model, timedelta(days=self.window_days))
        shares = [one.share for one in found]
        parts = zip(found, distribute(WHOLE, shares), distribute(self.value, shares), strict=True)
        return [Earned(credit, millionths, value) for credit, millionths, value in parts]


@dataclass(frozen=True, slots=True)
class Earned:
    """A credit in millionths of a conversion, and in minor units of its currency."""

    credit: Credit
    millionths: int
    value: int


def living(connection: Connection, which: ColumnElement[bool]) -> Iterator[Conversion]:
    """Conversions on record, oldest first."""
    rows = connection.execute(
        select(conversions).where(which).order_by(conversions.c.at, conversions.c.id)
    ).all()
    for start in range(0, len(rows), _AT_ONCE):
        yield from _with_touches(connection, rows[start : start + _AT_ONCE])


def _with_touches(connection: Connection, rows: Sequence[Any]) -> Iterator[Conversion]:
    touched = touches_of(connection, [row.id for row in rows])
    for row in rows:
        yield Conversion(
            id=row.id,
            goal=row.goal,
            at=row.at,
            reason=row.reason,
            window_days=row.window_days,
            currency=row.currency,
            value=row.value,
            touches=tuple(touched.get(row.id, ())),
        )


def touches_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Touch]]:
    """By conversion. What has turned out to be a machine's since says so."""
    query = (
        select(conversion_touches, events.c.verdict)
        .outerjoin(events, events.c.id == conversion_touches.c.event_id)
        .where(conversion_touches.c.conversion_id.in_(ids))
        .order_by(conversion_touches.c.conversion_id, conversion_touches.c.position)
    )
    found: dict[int, list[Touch]] = {}
    for row in connection.execute(query):
        touch = Touch(
            kind=EventKind(row.kind),
            at=row.at,
            message=bytes(row.message_id),
            group=row.grp,
            link=row.link,
            delivery=bytes(row.delivery_id),
            verdict=VerdictKind(row.verdict or VerdictKind.PERSON),
            mode=Mode.IDENTIFIED,
        )
        found.setdefault(row.conversion_id, []).append(touch)
    return found


def expired_conversions(before: datetime) -> Select[Any]:
    """The numbers of those that happened before then, or look back at something that did."""
    old = select(conversion_touches.c.conversion_id).where(conversion_touches.c.at < before)
    query = select(conversions.c.id).where(or_(conversions.c.at < before, conversions.c.id.in_(old)))
    return query.order_by(conversions.c.at)


def looking_back_at(held: Collection[bytes]) -> Select[Any]:
    """The numbers of those that one of these deliveries may have earned."""
    return select(conversion_touches.c.conversion_id).where(conversion_touches.c.delivery_id.in_(held))


# --- carried on ---


def carry_conversions(connection: Connection, which: ColumnElement[bool], places: Places) -> int:
    """Removes conversions with their touches and adds them to the totals; gives their number."""
    gone = connection.execute(delete(conversions).where(which).returning(*conversions.c)).all()
    totals: Counter[tuple[str, ...]] = Counter()
    values: Counter[tuple[str, ...]] = Counter()
    credits: list[tuple[Place, str, Conversion, Model, Earned]] = []
    for start in range(0, len(gone), _AT_ONCE):
        some = gone[start : start + _AT_ONCE]
        for one in _with_touches(connection, some):
            earned = [(model, part) for model in Model for part in one.earned(model)]
            reason = one.reason or in_totals(earned)
            key = one.goal, f"{one.at:%Y-%m-%d}", reason, one.currency
            totals[key] += 1
            values[key] += one.value
            credits += [(places.of_hits(part.credit.message), "", one, model, part) for model, part in earned]
        ids = [row.id for row in some]
        connection.execute(delete(conversion_touches).where(conversion_touches.c.conversion_id.in_(ids)))
    if totals:
        names = ("goal", "day", "reason", "currency")
        rows = [
            dict(zip(names, key, strict=True), n=n, value=values[key]) for key, n in sorted(totals.items())
        ]
        connection.execute(_ADD, rows)
    _add_credits(connection, credits)
    return len(gone)


def in_totals(earned: Sequence[tuple[Model, Earned]]) -> str:
    """The reason under which a conversion stands in the totals, by what it earned under all models."""
    if not earned:
        return NO_TOUCH
    return "" if any(model is Model.FIRST_CLICK for model, _ in earned) else NO_CLICK


def count_without_name(
    connection: Connection, one: Conversion, cells: Mapping[bytes, Cell], ring: KeyRing, min_group: int
) -> None:
    """Adds what a conversion earned whose touches may name nobody: for mailing and group where those are large enough
    to hide them, else for the sender's month. `cells`: of each message."""
    credits = []
    for model in Model:
        for part in one.earned(model):
            place, group = _hiding(connection, cells[part.credit.message], one.at, ring, min_group)
            credits.append((place, group, one, model, part))
    _add_credits(connection, credits)


def _hiding(
    connection: Connection, cell: Cell, at: datetime, ring: KeyRing, min_group: int
) -> tuple[Place, str]:
    """The finest place that is large enough, as for a hit without a name."""
    if reaches(connection, cell.mailing, Mode.ANONYMOUS, min_group, cell.group):
        return Place(subject=cell.mailing), cell.group
    if in_small_groups(connection, cell.mailing, min_group) >= min_group:
        return Place(subject=cell.mailing), ""
    month = month_of(cell.sender, at, ring)
    return Place(subject=month.id, month=f"{at:%Y-%m}", mailing=month), ""


def _add_credits(
    connection: Connection, credits: Iterable[tuple[Place, str, Conversion, Model, Earned]]
) -> None:
    """In one order, so that two transactions never wait for each other."""
    totals: Counter[tuple[Any, ...]] = Counter()
    values: Counter[tuple[Any, ...]] = Counter()
    used: set[Place] = set()
    for place, group, one, model, part in credits:
        used.add(place)
        day = place.month if place.month is not None else f"{one.at:%Y-%m-%d}"
        # The numbers of links are a message's own.
        link = part.credit.link if place.subject == part.credit.message else 0
        key = place.subject, one.goal, model.value, day, link, group, one.currency
        totals[key] += part.millionths
        values[key] += part.value
    make_months(connection, used)
    if totals:
        rows = [
            dict(zip(_KEY, key, strict=True), credit=n, value=values[key])
            for key, n in sorted(totals.items())
        ]
        connection.execute(_ADD_CREDITS, rows)
