"""Events: kept as they happened, and never of somebody who has been erased."""

from __future__ import annotations

import asyncio
from datetime import timedelta, timezone

import pytest
from sqlalchemy import Connection, select, update
from support.deliveries import NOW, a_delivery, a_message, an_event, id_of, record
from support.stores import dump, slow

from tracker.events import Device, EventKind, Verdict, VerdictKind
from tracker.store import events as store_events
from tracker.store.database import Database, execute
from tracker.store.erasure import Erasure
from tracker.store.events import Events, recording
from tracker.store.schema import deliveries, events
from tracker.tokens import KeyRing

BOB = "bob@example.org"


async def test_an_event_is_listed_with_everything_that_is_kept_of_it(database: Database) -> None:
    await record(database, a_message(links=((2, "https://example.com/?a=1&b=2", "Read"),)), a_delivery(7))
    event = an_event(
        7,
        kind=EventKind.CLICKED,
        link=2,
        verdict=Verdict(kind=VerdictKind.SCANNER, reasons=("empty-agent", "burst"), rules=3),
        device=Device(client="Firefox", kind="desktop", system="Linux"),
    )
    await database.write(recording(event))
    [listed] = await Events(database).list()
    assert listed.pop("id").isdigit()
    assert listed == {
        "kind": "clicked",
        "at": "2026-05-01T12:00:00.000Z",
        "message": id_of(1).hex(),
        "delivery": id_of(7).hex(),
        "link": 2,
        "url": "https://example.com/?a=1&b=2",
        "verdict": "scanner",
        "verdict_reasons": ["empty-agent", "burst"],
        "client": "Firefox",
        "device": "desktop",
        "system": "Linux",
        "country": "",
        "recipient": BOB,
        "tags": [],
        "metadata": {},
    }


async def test_events_come_in_the_order_they_happened_and_the_latest_are_kept_when_cut(
    database: Database,
) -> None:
    await record(database, a_message(1), a_delivery(1))
    await record(database, a_message(2), a_delivery(2, message_id=id_of(2)))
    minutes = [5, 1, 3, 2, 4]
    await asyncio.gather(
        *(
            database.write(
                recording(an_event(1 + m % 2, message=id_of(1 + m % 2), at=NOW + timedelta(minutes=m)))
            )
            for m in minutes
        )
    )
    events = Events(database)

    def minute(listed: list[dict[str, str]]) -> list[int]:
        return [int(one["at"][14:16]) for one in listed]

    assert minute(await events.list()) == [1, 2, 3, 4, 5]
    assert minute(await events.list(limit=2)) == [4, 5]
    assert minute(await events.list(message=id_of(2))) == [1, 3, 5]
    assert minute(await events.list(message=id_of(2), limit=1)) == [5]
    assert await events.list(message=id_of(3)) == []


async def test_hits_that_come_together_are_all_kept(database: Database) -> None:
    await record(database, a_message(), *(a_delivery(number) for number in range(20)))
    await asyncio.gather(*(database.write(recording(an_event(number % 20))) for number in range(200)))
    listed = await Events(database).list()
    assert len(listed) == len({one["id"] for one in listed}) == 200


async def test_an_event_of_a_delivery_nobody_knows_is_not_kept(database: Database) -> None:
    await record(database, a_message(), a_delivery(1), a_delivery(3, None))
    for number in (2, 3):
        await database.write(recording(an_event(number)))
    assert (await dump(database))["events"] == []


@pytest.mark.parametrize("first", ["event", "erasure"])
async def test_an_event_and_an_erasure_in_the_same_breath_leave_no_event(
    database: Database, ring: KeyRing, first: str
) -> None:
    await record(database, a_message(), a_delivery(1), a_delivery(2, "al@example.org"))
    work = [
        *(database.write(recording(an_event(number))) for number in (1, 2)),
        Erasure(database, ring).erase(BOB, actor="test", now=NOW),
        *(database.write(recording(an_event(number))) for number in (1, 2)),
    ]
    await asyncio.gather(*(work if first == "event" else work[::-1]))
    assert [row["delivery_id"] for row in (await dump(database))["events"]] == [id_of(2)] * 2


async def test_an_event_on_its_way_is_found_by_the_erasure_that_comes_meanwhile(
    store_url: str, ring: KeyRing
) -> None:
    """Two processes: the event is written but not committed when the erasure begins."""
    web = await Database.open(store_url, ask_within=20, write_within=30)
    admin = await Database.open(store_url, ask_within=20, write_within=30)
    try:
        await record(web, a_message(), a_delivery(1))
        under_way = asyncio.Event()

        def keep(connection: Connection) -> None:
            execute(connection, [recording(an_event(1))])
            under_way.set()
            slow(connection)

        writing = asyncio.create_task(web.change(keep))
        await under_way.wait()
        await Erasure(admin, ring).erase(BOB, actor="test", now=NOW)
        await writing
        assert (await dump(web))["events"] == []
    finally:
        await web.close()
        await admin.close()


async def test_an_erasure_on_its_way_is_waited_for_by_the_event_that_comes_meanwhile(store_url: str) -> None:
    """Two processes: the delivery is cut loose but that is not committed when the event comes."""
    web = await Database.open(store_url, ask_within=20, write_within=30)
    admin = await Database.open(store_url, ask_within=20, write_within=30)
    try:
        await record(web, a_message(), a_delivery(1))
        under_way = asyncio.Event()

        def cut_loose(connection: Connection) -> None:
            connection.execute(update(deliveries).values(recipient=None))
            under_way.set()
            slow(connection)

        erasing = asyncio.create_task(admin.change(cut_loose))
        await under_way.wait()
        await web.write(recording(an_event(1)))
        await erasing
        assert (await dump(web))["events"] == []
    finally:
        await web.close()
        await admin.close()


async def test_a_hits_way_and_the_long_way_keep_an_event_alike(database: Database) -> None:
    await record(database, a_message(), a_delivery(1), a_delivery(2), a_delivery(3, None))
    verdict = Verdict(kind=VerdictKind.PREFETCH, reasons=("apple-mpp", "too-soon"), rules=2)
    device = Device(client="Apple Mail", kind="mobile", system="iOS")
    happened = [
        an_event(
            1, at=NOW.astimezone(timezone(timedelta(hours=2))), verdict=verdict, device=device, country="DE"
        ),
        an_event(2, kind=EventKind.CLICKED, link=7, at=NOW + timedelta(microseconds=1)),
        an_event(3),
    ]
    await database.together(store_events.record, happened[:2])
    await database.together(store_events.record, happened[2:])
    await database.write(recording(*happened))
    columns = [column for column in events.c if column.name != "id"]
    query = select(*columns).order_by(events.c.id)
    rows = await database.read(lambda connection: [tuple(row) for row in connection.execute(query)])
    assert len(rows) == 4
    assert rows[:2] == rows[2:]


async def test_of_many_hits_together_each_is_kept_once_and_in_order(database: Database) -> None:
    await record(database, a_message(), *(a_delivery(n) for n in range(1, 8)), a_delivery(8, None))
    numbers = [1 + n % 8 for n in range(150)]
    happened = [an_event(number, at=NOW + timedelta(seconds=n)) for n, number in enumerate(numbers)]
    await database.together(store_events.record, happened)
    query = select(events.c.delivery_id).order_by(events.c.id)
    kept = await database.read(lambda connection: connection.execute(query).scalars().all())
    assert [bytes(one) for one in kept] == [id_of(number) for number in numbers if number != 8]
