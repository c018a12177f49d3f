"""Verdicts over stored events: several nodes agree, later hits turn earlier ones, and kept events are judged anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select
from support.deliveries import NOW, a_delivery, a_message, an_attempt, an_event, id_of, record
from support.tracking import ANONYMOUS, changed, dump, erase, say, to_joe
from support.web import Client

from tracker.config.machines import shipped
from tracker.domain import Domain
from tracker.events import EventKind, Verdict, VerdictKind
from tracker.reports.message import report_message
from tracker.store import events as store_events
from tracker.store import histories
from tracker.store.database import Database
from tracker.store.deliveries import settling
from tracker.store.events import recording
from tracker.store.register import Source
from tracker.store.schema import events, page_visits
from tracker.store.verdicts import Recomputed, Verdicts
from tracker.verdict import RULES, Hit
from tracker.web.app import PublicFace

CHROME = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LATER = NOW + timedelta(hours=1)


class Node:
    """One process of several."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.verdicts = Verdicts(database, shipped(), gather=0.01)

    async def hit(self, at: float, link: int | None = None, *, delivery: int = 1, address: str = "") -> None:
        kind = EventKind.CLICKED if link else EventKind.OPENED
        moment = LATER + timedelta(seconds=at)
        one = Hit(kind=kind, user_agent=CHROME, since_accepted=3600.0, address=address)
        verdict = self.verdicts.of(one, id_of(delivery), moment)
        await self.database.write(
            recording(an_event(delivery, kind=kind, at=moment, link=link, verdict=verdict))
        )
        self.verdicts.stored(kind, id_of(delivery), moment, verdict)


async def sent(database: Database, *deliveries: int, accepted: bool = True) -> None:
    people = [a_delivery(number, f"p{number}@example.org") for number in deliveries or (1,)]
    await record(database, a_message(), *people)
    if accepted:
        await database.write(*settling([an_attempt(number) for number in deliveries or (1,)]))


async def verdicts(database: Database, delivery: int = 1) -> list[tuple[str, str]]:
    query = (
        select(events.c.verdict, events.c.verdict_reasons)
        .where(events.c.delivery_id == id_of(delivery))
        .order_by(events.c.at, events.c.id)
    )
    rows = await database.read(lambda connection: connection.execute(query).all())
    return [(row.verdict, row.verdict_reasons) for row in rows]


PERSON, BURST = ("person", ""), ("scanner", "link-burst")


async def test_what_several_nodes_saw_is_judged_together_and_backwards(database: Database) -> None:
    await sent(database, 1, 2)
    first, second = Node(database), Node(database)
    await first.hit(-100)
    await first.hit(0, 1)
    await second.hit(1, 2)
    await second.hit(1.5, 7, delivery=2)
    await first.hit(2, 3)
    await first.verdicts.close()
    await second.verdicts.close()
    assert await verdicts(database) == [PERSON, BURST, BURST, BURST]
    assert await verdicts(database, 2) == [PERSON]


async def test_a_pixel_after_the_links_belongs_to_the_burst(database: Database) -> None:
    await sent(database)
    node = Node(database)
    for at, link in ((0, 1), (1, 2), (2, 3), (5, None), (90, None)):
        await node.hit(at, link)
    await node.verdicts.close()
    assert await verdicts(database) == [BURST] * 4 + [PERSON]


async def test_networks_turn_the_earlier_hits_too(database: Database) -> None:
    await sent(database)
    node = Node(database)
    for at, address in ((0, "10.0.1.1"), (50, "10.0.2.1"), (60, "10.0.2.9"), (110, "10.0.3.1")):
        await node.hit(at, address=address)
    await node.verdicts.close()
    assert await verdicts(database) == [("scanner", "many-networks")] * 4


async def test_what_no_process_lived_to_look_at_is_put_right_later(database: Database) -> None:
    await sent(database, 1, 2)
    node = Node(database)
    for at, link in ((0, 1), (1, 2), (2, 3)):
        one = an_event(kind=EventKind.CLICKED, at=LATER + timedelta(seconds=at), link=link)
        await database.write(recording(one))
    await database.write(recording(an_event(2, at=LATER)))
    assert await node.verdicts.catch_up(LATER + timedelta(minutes=5), since=LATER) == 3
    assert await verdicts(database) == [BURST] * 3
    assert await node.verdicts.catch_up(LATER + timedelta(minutes=5), since=LATER) == 0
    assert await verdicts(database, 2) == [PERSON]


async def test_upstreams_word_on_record_after_the_hit_makes_a_person_of_it(database: Database) -> None:
    await sent(database, accepted=False)
    soon = Verdict(kind=VerdictKind.SCANNER, reasons=("too-soon",), rules=RULES)
    await database.write(recording(an_event(at=LATER, verdict=soon)))
    node = Node(database)
    assert await node.verdicts.catch_up(LATER, since=LATER - timedelta(minutes=5)) == 0
    await database.write(*settling([an_attempt()]))
    assert await node.verdicts.catch_up(LATER, since=LATER - timedelta(minutes=5)) == 1
    assert await verdicts(database) == [PERSON]


async def test_looks_at_the_preference_page_are_kept_for_minutes_only(database: Database) -> None:
    await sent(database)
    node = Node(database)
    node.verdicts.visited(id_of(1), LATER)
    await node.verdicts.close()
    assert await rows_of(database, page_visits) == 1
    await node.verdicts.catch_up(LATER + timedelta(minutes=9), since=LATER)
    assert await rows_of(database, page_visits) == 1
    await node.verdicts.catch_up(LATER + timedelta(minutes=11), since=LATER)
    assert await rows_of(database, page_visits) == 0


async def rows_of(database: Database, table: Any) -> int:
    query = select(func.count()).select_from(table)
    return int(await database.read(lambda connection: connection.execute(query).scalar_one()))


# --- judged anew ---


async def judged_by_older_rules(
    database: Database, *hits: tuple[float, int | None], delivery: int = 1
) -> None:
    old = Verdict(kind=VerdictKind.PERSON, rules=RULES - 1)
    statement, rows = store_events.recording(an_event())
    rows = []
    for at, link in hits:
        kind = EventKind.CLICKED if link else EventKind.OPENED
        moment = LATER + timedelta(seconds=at)
        rows += recording(an_event(delivery, kind=kind, at=moment, link=link, verdict=old))[1]
    await database.write((statement, rows), within=60)


async def test_kept_events_are_judged_anew_once(database: Database) -> None:
    await sent(database, 1, 2)
    await judged_by_older_rules(database, (0, 1), (1, 2), (2, 3))
    await judged_by_older_rules(database, (0, None), delivery=2)
    node = Node(database)
    done = await node.verdicts.recompute()
    assert (done.judged, done.changed) == (4, 3)
    assert await verdicts(database) == [BURST] * 3
    again = await node.verdicts.recompute()
    assert (again.judged, again.changed) == (0, 0)
    everything = await node.verdicts.recompute(every=True)
    assert (everything.judged, everything.changed) == (4, 0)


class BrokenOff(Exception):
    pass


async def test_a_recomputation_goes_on_where_it_was_broken_off(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.store.verdicts._PAGE", 2)
    await sent(database, 1, 2, 3, 4)
    for delivery in (1, 2, 3, 4):
        await judged_by_older_rules(database, (0, 1), (1, 2), (2, 3), delivery=delivery)
    node, told = Node(database), list[Recomputed]()

    def tell(so_far: Recomputed) -> None:
        told.append(so_far)
        raise BrokenOff

    with pytest.raises(BrokenOff):
        await node.verdicts.recompute(tell=tell)
    assert await verdicts(database, 4) == [PERSON] * 3
    done = await node.verdicts.recompute(after=told[0].after)
    assert told[0].judged + done.judged == 12
    assert [await verdicts(database, delivery) for delivery in (1, 2, 3, 4)] == [[BURST] * 3] * 4


async def test_a_flooded_delivery_is_judged_slice_by_slice_to_the_same_verdicts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(database, 1, 2)
    hits = [(float(at), at % 40 // 10 or None) for at in range(0, 1500, 7)] + [
        (700.2, 4),
        (701.0, 5),
        (702.0, 6),
    ]
    for delivery in (1, 2):
        await judged_by_older_rules(database, *sorted(hits), delivery=delivery)
    kinds = shipped().kinds
    whole = await database.change(lambda one: histories.judge_whole(one, id_of(1), None, kinds))
    assert whole.until is None
    monkeypatch.setattr(histories, "MOST", 40)
    until, slices, judged = None, 0, 0
    while True:
        part = await database.change(
            lambda one, until=until: histories.judge_whole(one, id_of(2), until, kinds)  # type: ignore[misc]
        )
        until, slices, judged = part.until, slices + 1, judged + part.judged
        if until is None:
            break
    assert slices > 5
    assert judged == len(hits)
    assert await verdicts(database, 2) == await verdicts(database, 1)
    assert BURST in await verdicts(database, 1)


async def test_more_hits_at_once_than_are_looked_at_end_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "MOST", 10)
    await sent(database)
    await judged_by_older_rules(database, *((n / 100, None) for n in range(100)), (500.0, None))
    done = await Node(database).verdicts.recompute()
    assert (done.judged, done.changed) == (101, 0)
    query = select(func.count()).select_from(events).where(events.c.rules != RULES)
    assert await database.read(lambda connection: connection.execute(query).scalar_one()) == 0


# --- as seen from outside ---


async def test_reports_follow_when_a_burst_is_seen(domain: Domain, served: tuple[Client, PublicFace]) -> None:
    client, _ = served
    copy = await to_joe(domain)
    for number in (1, 2):
        await client.ask(copy.link(number))
    await client.ask(copy.link(3, url="https://shop.example/third"))
    await domain.verdicts.close()
    report = await report_message(domain, copy.message)
    clicked = report.figures.identified[EventKind.CLICKED]
    assert (clicked.unique, clicked.total, clicked.machines) == (0, 0, 3)


async def test_the_preference_page_and_a_link_together_are_a_machines_unless_a_choice_is_made(
    domain: Domain, served: tuple[Client, PublicFace]
) -> None:
    client, _ = served
    machine, person = await to_joe(domain), await to_joe(domain)
    for copy in (machine, person):
        await client.ask(copy.page)
        await client.ask(copy.link(1))
    await client.choose(person.page, "allow")
    await domain.verdicts.close()
    said = {one["delivery"]: one["verdict"] for one in await domain.events.list()}
    assert said == {machine.delivery.hex(): "scanner", person.delivery.hex(): "person"}


async def test_a_look_at_the_page_of_one_who_is_not_measured_by_name_leaves_nothing(
    domain: Domain, served: tuple[Client, PublicFace]
) -> None:
    client, _ = served
    anonymous = await to_joe(domain, ANONYMOUS)
    by_name = await to_joe(domain)
    await say(domain, "joe@people.example", "denied")
    before = await dump(domain)
    for copy in (anonymous, by_name):
        await client.ask(copy.page)
    await domain.verdicts.close()
    assert changed(before, await dump(domain)) == {}


@pytest.mark.parametrize("way", ["erase", "anonymize"])
async def test_whoever_is_to_be_nobody_leaves_no_look_at_the_page_either(
    way: str, domain: Domain, served: tuple[Client, PublicFace]
) -> None:
    client, _ = served
    copy = await to_joe(domain)
    await client.ask(copy.page)
    await domain.verdicts.close()
    assert len((await dump(domain))["page_visits"]) == 1
    if way == "erase":
        await erase(domain, "joe@people.example")
    else:
        await domain.rights.anonymize(
            "joe@people.example", source=Source.API, actor="test", now=datetime.now(UTC)
        )
    assert (await dump(domain))["page_visits"] == []


def a_story(chance: Random) -> list[tuple[float, int | None, Verdict]]:
    """Hits of one delivery as they are on record when somebody looks: second, link, what each told by itself."""
    told = [
        ("person", ()),
        ("person", ()),
        ("scanner", ("too-soon",)),
        ("scanner", ("program",)),
        ("unsure", ("two-at-once",)),
    ]
    story = []
    for _ in range(chance.randint(1, 4)):
        kind, reasons = chance.choice(told) if chance.random() < 0.3 else told[0]
        verdict = Verdict(kind=VerdictKind(kind), reasons=reasons, rules=RULES)
        story.append((chance.uniform(0, 12), chance.choice((None, 1, 1, 2, 3)), verdict))
    return story


async def test_whose_hits_tell_nothing_together_is_known_without_judging_them(database: Database) -> None:
    chance, numbers = Random(7), range(1, 401)
    await sent(database, *numbers)
    happened, visited = [], []
    for number in numbers:
        for second, link, verdict in a_story(chance):
            kind = EventKind.CLICKED if link else EventKind.OPENED
            at = LATER + timedelta(seconds=second)
            happened.append(an_event(number, kind=kind, at=at, link=link, verdict=verdict))
        if chance.random() < 0.1:
            visited.append((id_of(number), LATER + timedelta(seconds=chance.uniform(0, 12))))
    await database.write(recording(*happened))
    await database.change(lambda connection: histories.note_visits(connection, visited))
    wanted = histories.Wanted(
        since=LATER,
        now=LATER + timedelta(seconds=20),
        spreads={id_of(number): [(LATER.timestamp(), LATER.timestamp() + 12)] for number in (5, 6, 7)},
    )
    ids, kinds = [id_of(number) for number in numbers], shipped().kinds
    doubtful = await database.read(lambda connection: histories.doubtful(connection, ids, wanted))
    judged = await database.read(lambda connection: histories._judged(connection, ids, wanted, kinds))
    would_change = {id_ for id_, changes in judged.items() if changes}
    assert would_change <= doubtful
    assert len(would_change) > 50
    assert len(doubtful) < 300
