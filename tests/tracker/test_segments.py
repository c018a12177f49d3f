"""Segments: who is in them by a count of our own, and that nobody who may not be measured by name
is found by what they did or did not do."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.lives import hit
from support.tracking import (
    ANONYMOUS,
    IDENTIFIED,
    UNTRACKED,
    URLS,
    Copy,
    Mail,
    configuration,
    erase,
    opened,
    send,
)

from tracker.config import GoalTable
from tracker.config.tables import ConsentTable
from tracker.domain import Domain
from tracker.errors import InvalidValue, NotFound
from tracker.events import VerdictKind
from tracker.segments import selection, terms
from tracker.segments.selection import Selection, saved
from tracker.segments.terms import AnyNode, asks_for_behaviour, definition, from_definition
from tracker.segments.wording import parse, shown
from tracker.statements import parse_statement
from tracker.store.conversions import Told
from tracker.store.register import Source
from tracker.urlpattern import fits

NOW = datetime.now(UTC)


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    config = configuration(
        store_url, tmp_path, consent=ConsentTable(unknown="track"), goal=(GoalTable(name="order"),)
    )
    async with opened(config) as domain:
        yield domain


# --- who is in them ---


@dataclass
class Person:
    """What the count by hand knows of somebody."""

    address: str
    consent: str = "unknown"
    do_not_track: str = "unset"
    group: str = ""
    country: str = ""
    plan: str = ""
    said: bool = False
    got: list[Got] = field(default_factory=list)
    orders: list[datetime] = field(default_factory=list)

    @property
    def may_be_measured(self) -> bool:
        return self.consent in ("granted", "unknown") and self.do_not_track != "true"


@dataclass
class Got:
    """A mail of theirs, and what was done with it."""

    campaign: str
    at: datetime
    by_name: bool
    arrived: bool
    copy: Copy
    hits: list[tuple[datetime, int | None, bool]] = field(default_factory=list)
    """When, which link (None: an open), whether by a person."""


def holds(node: AnyNode, one: Person) -> bool | None:
    """None: nobody knows."""
    if isinstance(node, terms.Not):
        found = holds(node.of, one)
        return None if found is None else not found
    if isinstance(node, terms.All | terms.Any_):
        parts = [holds(part, one) for part in node.of]
        settles = isinstance(node, terms.Any_)
        return settles if settles in parts else None if None in parts else not settles
    since = NOW - timedelta(days=getattr(node, "days", None) or 100_000)
    if isinstance(node, terms.Mail):
        mine = [got for got in one.got if node.campaign in (None, got.campaign)]
        if node.kind == "received":
            return sum(got.arrived and got.at >= since for got in mine) >= node.times

        def counts(at: datetime, link: int | None, human: bool) -> bool:
            fitting = link is None or node.link is None or fits(node.link, URLS[link - 1])
            return human and at >= since and (link is None) == (node.kind == "opened") and fitting

        n = sum(got.by_name and any(counts(*each) for each in got.hits) for got in mine)
        seen = any(got.by_name and got.arrived and got.at >= since for got in mine)
        if node.link is not None:
            seen = seen and any(fits(node.link, url) for url in URLS)
        return True if n >= node.times else False if seen else None
    if isinstance(node, terms.Quiet | terms.Converted):
        seen = any(got.by_name and got.arrived and got.at >= since for got in one.got)
        if isinstance(node, terms.Converted):
            n = sum(at >= since for at in one.orders) if node.goal in (None, "order") else 0
            return True if n >= node.times else False if seen else None
        alive = any(human and at >= since for got in one.got for at, _, human in got.hits)
        return False if alive else True if seen else None
    if isinstance(node, terms.InDomain):
        at = one.address.partition("@")[2]
        return any(at.endswith(v[1:]) if v.startswith("*.") else at == v for v in node.values)
    has = {"group": one.group, "country": one.country, "attribute": one.plan, "consent": one.consent}
    value = has.get(node.kind, one.do_not_track)
    return value in (node.values or ("",))


def expected(node: AnyNode, people: Collection[Person]) -> set[str]:
    return {
        one.address
        for one in people
        if holds(node, one) and (one.may_be_measured or not asks_for_behaviour(node))
    }


async def found(domain: Domain, node: AnyNode) -> set[str]:
    got = [one.address async for some in Selection(domain, node, NOW).people() for one in some]
    assert len(set(got)) == len(got)
    return set(got)


async def a_world(domain: Domain, chance: random.Random) -> list[Person]:
    people = [Person(address=f"p{n}@{chance.choice(['x', 'y', 'a.x'])}.example") for n in range(16)]
    for one in people[:12]:
        one.said = True
        one.consent = chance.choice(["granted", "granted", "unknown", "denied", "withdrawn"])
        one.do_not_track = chance.choice(["false", "false", "unset", "true"])
        one.group, one.country = chance.choice(["", "Sales", "100%_"]), chance.choice(["", "FR", "DE"])
        one.plan = chance.choice(["", "gold", 'a "b"'])
    for number in range(8):
        at = NOW - timedelta(days=chance.choice([2, 2, 20, 200]))
        to = {
            one.address: chance.choice([IDENTIFIED, IDENTIFIED, ANONYMOUS, UNTRACKED])
            for one in people
            if chance.random() < 0.6
        }
        arrived, campaign = chance.random() < 0.8, f"c{number % 3}"
        copies = await send(
            domain,
            Mail(to=to, campaign=campaign, received_at=at, status="accepted" if arrived else "bounced"),
        )
        for one in people:
            if one.address in copies:
                await _read(domain, chance, one, campaign, arrived, copies[one.address])
    for one in people:
        await _say(domain, one)
    return people


async def _read(
    domain: Domain, chance: random.Random, one: Person, campaign: str, arrived: bool, copy: Copy
) -> None:
    got = Got(
        campaign=campaign, at=copy.sent_at, by_name=copy.decision is IDENTIFIED, arrived=arrived, copy=copy
    )
    one.got.append(got)
    for _ in range(chance.randint(0, 3) if got.by_name else 0):
        at = min(copy.sent_at + timedelta(days=chance.choice([0, 1, 15])), NOW - timedelta(minutes=5))
        link, human = chance.choice([None, 1, 2]), chance.random() < 0.7
        await hit(domain, copy, at, link=link, verdict=VerdictKind.PROXY if human else VerdictKind.SCANNER)
        got.hits.append((at, link, human))
    clicked = [at for at, link, human in got.hits if human]
    if clicked and chance.random() < 0.4:
        at = max(clicked) + timedelta(seconds=30)
        told = Told(goal="order", window_days=30, at=at, address=one.address, order=copy.delivery.hex())
        made = await domain.conversions.record(told, policy=domain.policy, min_group=5, now=NOW)
        if made.is_new and not made.reason:
            one.orders.append(at)


async def _say(domain: Domain, one: Person) -> None:
    fields: dict[str, str] = {}
    if one.said:
        fields = {"do_not_track": one.do_not_track, "group": one.group, "country": one.country}
        fields |= {"tracking_consent": one.consent} if one.consent != "unknown" else {}
        fields |= {"plan": one.plan} if one.plan else {}
        said = parse_statement(one.address, fields, evidence={})
        await domain.register.record([said], source=Source.CLI, actor="test", now=NOW)


def a_tree(chance: random.Random, depth: int = 0) -> AnyNode:
    if depth < 3 and chance.random() < 0.55:
        kind: Any = chance.choice([terms.All, terms.Any_, terms.Not])
        if kind is terms.Not:
            return terms.Not(of=a_tree(chance, depth + 1))
        made: AnyNode = kind(of=tuple(a_tree(chance, depth + 1) for _ in range(chance.choice([2, 2, 3]))))
        return made
    text = chance.choice(
        [
            'group is Sales, "100%_"',
            "group is none",
            "country is FR",
            "domain is x.example",
            "domain is *.x.example, y.example",
            "attribute plan is gold",
            'attribute plan is "a \\"b\\""',
            "attribute plan is none",
            "consent is granted, unknown",
            "do_not_track is unset",
            "received 2 times in 30 days",
            "received campaign c1",
            "opened",
            "opened 2 times",
            "opened campaign c0 in 30 days",
            "clicked in 10 days",
            "clicked link */apples*",
            "clicked link */STORIES in 100 days",
            "clicked 2 times link https://*",
            "quiet for 30 days",
            "converted",
            "converted goal order in 10 days",
            "converted goal other",
        ]
    )
    return parse(text)


@pytest.mark.parametrize("seed", range(1))
async def test_who_is_in_a_segment_agrees_with_a_count_by_hand_and_nobody_by_what_is_not_measured(
    seed: int, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_WINDOW", 5)
    monkeypatch.setattr(selection, "_AT_ONCE", 2)
    chance = random.Random(seed)
    people = await a_world(domain, chance)
    trees = [a_tree(chance) for _ in range(40)]
    several = 0
    for node in trees:
        wanted = expected(node, people)
        several += 0 < len(wanted) < len(people)
        assert await found(domain, node) == wanted, shown(node)
        assert await among(domain, node, people[::2]) == wanted & {one.address for one in people[::2]}
    assert several > 12
    unmeasured = {one.address for one in people if not one.may_be_measured}
    for one in people:
        for got in one.got:
            if one.address in unmeasured or not got.by_name:
                await hit(domain, got.copy, NOW - timedelta(minutes=5))
                await hit(domain, got.copy, NOW - timedelta(minutes=5), link=1)
    for node in filter(asks_for_behaviour, trees):
        again = await found(domain, node)
        assert again == expected(node, people), shown(node)
        assert not again & unmeasured


async def among(domain: Domain, node: AnyNode, people: Collection[Person]) -> set[str]:
    chosen = Selection(domain, node, NOW)
    asked = [one.address for one in people]
    return await domain.database.read(lambda connection: chosen.among(connection, asked))


BEHAVIOUR = [
    "opened",
    "not opened",
    "not clicked campaign apples in 30 days",
    "quiet for 30 days",
    "not quiet for 30 days",
    "not converted",
    "group is Sales or opened",
    "not (opened and clicked)",
]


@pytest.mark.parametrize(
    "since_then",
    [{"tracking_consent": "withdrawn"}, {"tracking_consent": "denied"}, {"do_not_track": "true"}, {}],
    ids=["withdrew", "denied", "without name", "erased"],
)
async def test_who_refused_since_is_in_no_segment_by_behaviour(
    since_then: dict[str, str], domain: Domain
) -> None:
    copies = await send(domain, Mail(to={"joe@x.example": IDENTIFIED, "ann@x.example": IDENTIFIED}))
    await hit(domain, copies["joe@x.example"], NOW)
    seen = [await found(domain, parse(text)) for text in BEHAVIOUR]
    assert all("joe@x.example" in one or "ann@x.example" in one for one in seen)
    if since_then:
        said = parse_statement("joe@x.example", {"group": "Sales", **since_then}, evidence={})
        await domain.register.record([said], source=Source.CLI, actor="test", now=NOW)
        assert await found(domain, parse("group is Sales")) == {"joe@x.example"}
    else:
        await erase(domain, "joe@x.example")
    for text in BEHAVIOUR:
        assert "joe@x.example" not in await found(domain, parse(text))


async def test_the_policy_of_today_decides_for_who_said_nothing(store_url: str, tmp_path: Path) -> None:
    for unknown, names in (
        ("track", {"joe@x.example"}),
        ("deny", set()),
        ("anonymous", set()),
        ("hygiene", set()),
    ):
        config = configuration(store_url, tmp_path, consent=ConsentTable(unknown=unknown))
        async with opened(config) as domain:
            if unknown == "track":
                await send(domain, Mail(to={"joe@x.example": IDENTIFIED}))
            assert await found(domain, parse("not opened")) == names
            assert await found(domain, parse("received")) == {"joe@x.example"}


async def test_a_count_that_takes_too_long_says_how_far_it_came(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_WINDOW", 2)
    await send(domain, Mail(to={f"p{n}@x.example": UNTRACKED for n in range(5)}))
    chosen = Selection(domain, parse("received"), NOW)
    whole = await chosen.size(first=3)
    assert (whole.people, whole.is_all, len(whole.first)) == (5, True, 3)
    part = await chosen.size(within=-1.0)
    assert (part.people, part.is_all) == (0, False)  # no window of contacts had anybody


# --- kept ---


async def test_a_segment_is_kept_replaced_and_deleted(domain: Domain) -> None:
    node = parse("group is Sales and not opened in 30 days")
    await domain.segments.save("Late readers", definition(node), by="ann", now=NOW, replace=False)
    with pytest.raises(InvalidValue, match="already"):
        await domain.segments.save("Late readers", definition(node), by="joe", now=NOW, replace=False)
    other, later = parse("group is none"), NOW + timedelta(days=1)
    await domain.segments.save("Late readers", definition(other), by="joe", now=later, replace=True)
    (kept,) = await domain.segments.list()
    assert from_definition(kept.definition) == other
    assert (kept.created_by, kept.created_at, kept.changed_by, kept.changed_at) == ("ann", NOW, "joe", later)
    assert isinstance(await saved(domain, "Late readers", NOW), Selection)
    await domain.segments.delete("Late readers")
    for work in (domain.segments.delete, domain.segments.get):
        with pytest.raises(NotFound):
            await work("Late readers")


@pytest.mark.parametrize("name", ["", " x", "x\n", "x" * 65, "\u202ex"])
async def test_a_name_nobody_could_type_is_refused(name: str, domain: Domain) -> None:
    with pytest.raises(InvalidValue, match="cannot be a segment's name"):
        await domain.segments.save(name, {}, by="", now=NOW, replace=False)
