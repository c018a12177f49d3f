"""The conditions of a segment as SQL, in three values: what holds of a person, what surely does not, and what nobody
knows since it was not measured.

"Has not clicked" is said only of somebody who got mail, in that time and of that campaign, whose clicks are measured by
name. So `not` swaps what holds and what fails, and leaves alone what is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    and_,
    cast,
    distinct,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from tracker.consent import Consent, DoNotTrack, Mode
from tracker.segments.terms import (
    All,
    Any_,
    AnyNode,
    Apart,
    Attribute,
    Converted,
    Group,
    InCountry,
    InDomain,
    Leaf,
    Mail,
    Not,
    Quiet,
    Said,
)
from tracker.store.carried import DELIVERED, HUMAN
from tracker.store.schema import (
    contacts,
    conversion_touches,
    conversions,
    deliveries,
    events,
    mailings,
    messages,
)
from tracker.urlpattern import ESCAPE, like

Condition = ColumnElement[bool]
_KINDS = {"opened": ("opened", deliveries.c.opens.name), "clicked": ("clicked", deliveries.c.clicks.name)}


class Truth(NamedTuple):
    """Of a condition: where nobody knows, neither is so."""

    holds: Condition
    fails: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Whom the conditions are about: the contacts, or `is_known` False those who only ever got mail. `address` is the
    column that names each."""

    address: ColumnElement[Any]
    is_known: bool
    now: datetime
    dialect: str

    def since(self, days: int) -> datetime:
        return self.now - timedelta(days=days)


def truth_of(node: AnyNode, people: People) -> Truth:
    """What holds of these people."""
    if isinstance(node, Not):
        found = truth_of(node.of, people)
        return Truth(found.fails, found.holds)
    if isinstance(node, All | Any_):
        parts = [truth_of(one, people) for one in node.of]
        holds, fails = [one.holds for one in parts], [one.fails for one in parts]
        if isinstance(node, All):
            return Truth(and_(*holds), or_(*fails))
        return Truth(or_(*holds), and_(*fails))
    return _leaf(node, people)


def _leaf(node: Leaf, people: People) -> Truth:
    if isinstance(node, Mail):
        return _received(node, people) if node.kind == "received" else _engaged(node, people)
    if isinstance(node, Quiet):
        return _quiet(node, people)
    if isinstance(node, Converted):
        return _converted(node, people)
    if isinstance(node, InDomain):
        return _sure(or_(*(_in_domain(people.address, one) for one in node.values)))
    return _of_contact(node, people)


def _sure(holds: Condition) -> Truth:
    """What is known of everybody."""
    return Truth(holds, not_(holds))


def _of_contact(node: Group | InCountry | Attribute | Said | Apart, people: People) -> Truth:
    """Of those who only got mail nothing is known, and they said nothing."""
    if isinstance(node, Said | Apart):
        said, silent = (
            (contacts.c.tracking_consent, Consent.UNKNOWN)
            if isinstance(node, Said)
            else (contacts.c.do_not_track, DoNotTrack.UNSET)
        )
        if not people.is_known:
            return _constant(silent in node.values)
        return _sure(said.in_([one.value for one in node.values]))
    if not people.is_known:
        return _constant(not node.values)
    column: ColumnElement[Any]
    if isinstance(node, Attribute):
        column = contacts.c.attributes[node.name].as_string()
    else:
        column = contacts.c.grp if isinstance(node, Group) else contacts.c.country
    return _sure(func.coalesce(column, "").in_(list(node.values) or [""]))


def _constant(holds: bool) -> Truth:
    return Truth(true(), false()) if holds else Truth(false(), true())


def _in_domain(address: ColumnElement[Any], pattern: str) -> Condition:
    ending = pattern.removeprefix("*") if pattern.startswith("*.") else f"@{pattern}"
    return address.endswith(ending, autoescape=True)


# --- mail, and what was done with it ---


def _received(node: Mail, people: People) -> Truth:
    d, m = deliveries.alias(), messages.alias()
    query = select(1).select_from(d.join(m, m.c.id == d.c.message_id))
    query = query.where(d.c.recipient == people.address, d.c.status.in_(DELIVERED), *_scope(node, m))
    if node.days is not None:
        query = query.where(m.c.received_at >= people.since(node.days))
    return _sure(_at_least(node.times, query, m.c.id))


def _engaged(node: Mail, people: People) -> Truth:
    """So many mails opened or clicked by a person. It surely is not so of whoever could have been seen doing it."""
    kind, switch = _KINDS[node.kind]
    d, e = deliveries.alias(), events.alias()
    tables = d.join(e, e.c.delivery_id == d.c.id)
    scoped = _is_scoped(node)
    m = messages.alias()
    query = select(1).select_from(tables.join(m, m.c.id == d.c.message_id) if scoped else tables)
    query = query.where(
        d.c.recipient == people.address,
        d.c.mode == Mode.IDENTIFIED.value,
        e.c.kind == kind,
        e.c.verdict.in_(HUMAN),
        *(_scope(node, m) if scoped else ()),
    )
    if node.days is not None:
        query = query.where(e.c.at >= people.since(node.days))
    if node.link is not None:
        query = query.where(_leads_to(m.c.links, node.link, people.dialect, e.c.link))
    holds = _at_least(node.times, query, e.c.message_id)
    return Truth(holds, and_(not_(holds), _measured(node, people, switch)))


def _measured(node: Mail, people: People, switch: str) -> Condition:
    """Mail of that time and kind arrived, by name, with what is asked about switched on."""
    d, m = deliveries.alias(), messages.alias()
    query = select(1).select_from(d.join(m, m.c.id == d.c.message_id))
    query = query.where(*_arrived_by_name(d, m, people, node.days), d.c[switch].is_(True), *_scope(node, m))
    if node.link is not None:
        query = query.where(_leads_to(m.c.links, node.link, people.dialect))
    return query.exists()


def _arrived_by_name(d: Any, m: Any, people: People, days: int | None) -> list[Condition]:
    found = [
        d.c.recipient == people.address,
        d.c.mode == Mode.IDENTIFIED.value,
        d.c.status.in_(DELIVERED),
    ]
    return found + ([m.c.received_at >= people.since(days)] if days is not None else [])


def _quiet(node: Quiet, people: People) -> Truth:
    """Got mail by name in that time, and nothing shows that they are there: no open or click, no day of an open."""
    since = people.since(node.days)
    d, m, theirs, e = deliveries.alias(), messages.alias(), deliveries.alias(), events.alias()
    got = select(1).select_from(d.join(m, m.c.id == d.c.message_id))
    got = got.where(
        *_arrived_by_name(d, m, people, node.days), or_(d.c.opens.is_(True), d.c.clicks.is_(True))
    )
    shown = select(1).select_from(theirs.join(e, e.c.delivery_id == theirs.c.id))
    shown = shown.where(
        theirs.c.recipient == people.address,
        theirs.c.mode == Mode.IDENTIFIED.value,
        e.c.at >= since,
        e.c.verdict.in_(HUMAN),
    )
    alive: Condition = shown.exists()
    if people.is_known:
        alive = or_(alive, func.coalesce(contacts.c.last_open_day, "") >= f"{since:%Y-%m-%d}")
    return Truth(and_(got.exists(), not_(alive)), alive)


def _converted(node: Converted, people: People) -> Truth:
    """By way of mail: what a conversion keeps of its person is the opens and clicks that may have earned it."""
    d, t, c, m = deliveries.alias(), conversion_touches.alias(), conversions.alias(), messages.alias()
    tables = d.join(t, t.c.delivery_id == d.c.id).join(c, c.c.id == t.c.conversion_id)
    query = select(1).select_from(tables)
    query = query.where(d.c.recipient == people.address, d.c.mode == Mode.IDENTIFIED.value)
    if node.goal is not None:
        query = query.where(c.c.goal == node.goal)
    if node.days is not None:
        query = query.where(c.c.at >= people.since(node.days))
    holds = _at_least(node.times, query, c.c.id)
    d = deliveries.alias()
    got = select(1).select_from(d.join(m, m.c.id == d.c.message_id))
    got = got.where(
        *_arrived_by_name(d, m, people, node.days), or_(d.c.opens.is_(True), d.c.clicks.is_(True))
    )
    return Truth(holds, and_(not_(holds), got.exists()))


def _at_least(times: int, query: Any, of: ColumnElement[Any]) -> Condition:
    """So many different ones at least."""
    if times == 1:
        found: Condition = query.exists()
        return found
    counted = query.with_only_columns(func.count(distinct(of)), maintain_column_froms=True)
    enough: Condition = counted.scalar_subquery() >= times
    return enough


def _is_scoped(node: Mail) -> bool:
    return node.campaign is not None or node.message is not None or node.link is not None


def _scope(node: Mail, m: Any) -> Sequence[Condition]:
    if node.campaign is not None:
        return [m.c.mailing_id.in_(select(mailings.c.id).where(mailings.c.name == node.campaign))]
    if node.message is not None:
        first, last = (bytes.fromhex(node.message.ljust(32, filling)) for filling in "0f")
        return [m.c.id.between(first, last)]
    return []


def _leads_to(
    links: ColumnElement[Any], pattern: str, dialect: str, number: ColumnElement[Any] | None = None
) -> Condition:
    """Whether one of a message's links, or that of this number, leads to where the pattern says."""
    url: ColumnElement[Any]
    which: ColumnElement[Any]
    if dialect == "sqlite":
        each = func.json_each(links).table_valued("value", name="link_of")
        url, which = func.json_extract(each.c.value, "$[1]"), func.json_extract(each.c.value, "$[0]")
    else:
        each = func.json_array_elements(links).table_valued("value").render_derived(name="link_of")
        url = literal_column("(link_of.value ->> 1)")
        which = cast(literal_column("(link_of.value ->> 0)"), Integer)
    found = exists().select_from(each).where(func.lower(url).like(like(pattern), escape=ESCAPE))
    return found if number is None else found.where(which == number)
