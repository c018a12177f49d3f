"""Counts that name nobody: a cell is as fine as its people are many, and nothing beside it is kept."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.deliveries import NOW, RING, a_delivery, a_message, an_attempt, id_of, record
from support.stores import Stores, dump

from tracker.consent import Mode
from tracker.events import EventKind
from tracker.statements import Statement
from tracker.store.contacts import Contacts
from tracker.store.counts import counting_aggregate, counting_anonymous, month_of, noting_hygiene, totals
from tracker.store.database import Database
from tracker.store.deliveries import Deliveries, Sent, settling
from tracker.store.erasure import Erasure
from tracker.store.register import Register, Source
from tracker.tokens import KeyRing

LEAST = 5


async def audience(database: Database, **sizes: int) -> dict[str, list[Sent]]:
    """Sends a message to so many people of each group (`nobody`: of none), anonymously; gives their deliveries."""
    groups = [group for group, size in sizes.items() for _ in range(size)]
    sent = [
        a_delivery(
            number, f"p{number}@example.org", mode=Mode.ANONYMOUS, group=None if group == "nobody" else group
        )
        for number, group in enumerate(groups)
    ]
    await record(database, a_message(), *sent)
    await database.write(*settling([an_attempt(number) for number in range(len(sent))]))
    found: dict[str, list[Sent]] = {}
    for delivery, group in zip(sent, groups, strict=True):
        known = await Deliveries(database, RING).sent(delivery.id)
        assert known is not None
        found.setdefault(group, []).append(known)
    return found


async def hit(
    database: Database,
    ring: KeyRing,
    sent: Sent,
    kind: EventKind = EventKind.OPENED,
    link: int = 0,
    at: datetime = NOW,
) -> None:
    await database.change(counting_anonymous(sent, kind, link, at, ring, LEAST))


CELLS: dict[str, tuple[dict[str, int], str, tuple[str, str]]] = {
    # audience, the group of who opens, (scope, group) of the cell
    "a group that is large enough": ({"staff": 5}, "staff", ("group", "staff")),
    "people of no group, enough of them": ({"nobody": 5}, "nobody", ("group", "")),
    "a group one too small, alone": ({"staff": 4}, "staff", ("month", "")),
    "a small group beside a large one": ({"staff": 5, "sales": 4}, "sales", ("month", "")),
    "the large one beside it": ({"staff": 5, "sales": 4}, "staff", ("group", "staff")),
    "small groups that are enough together": ({"staff": 3, "sales": 2}, "sales", ("other", "")),
    "small groups that are not": ({"staff": 2, "sales": 2}, "sales", ("month", "")),
    "small groups beside a large one, enough": ({"it": 9, "staff": 3, "sales": 2}, "staff", ("other", "")),
    "nobody's group small, with others enough": ({"nobody": 3, "sales": 2}, "nobody", ("other", "")),
    "one person alone": ({"nobody": 1}, "nobody", ("month", "")),
}


@pytest.mark.parametrize("case", CELLS)
async def test_a_hit_is_counted_in_the_finest_cell_that_hides_its_person(
    database: Database, ring: KeyRing, case: str
) -> None:
    sizes, group, cell = CELLS[case]
    people = await audience(database, **sizes)
    await hit(database, ring, people[group][0], EventKind.CLICKED, 3)
    month = month_of("news@example.com", NOW, ring)
    fine = cell[0] != "month"
    [row] = (await dump(database))["counts"]
    assert row == {
        "mailing_id": id_of(1) if fine else month.id,
        "scope": cell[0],
        "grp": cell[1],
        "kind": "clicked",
        "position": 3 if fine else 0,
        "day": "2026-05-01" if fine else "2026-05",
        "n": 1,
    }


async def test_a_hit_of_a_group_the_mailing_does_not_know_hides_among_the_small(
    database: Database, ring: KeyRing
) -> None:
    people = await audience(database, staff=4)
    stranger = Sent(
        **{name: getattr(people["staff"][0], name) for name in Sent.__slots__} | {"group": "moved"}
    )
    await hit(database, ring, stranger)
    assert [row["scope"] for row in (await dump(database))["counts"]] == ["month"]


async def test_equal_hits_add_up_and_different_ones_stand_apart(database: Database, ring: KeyRing) -> None:
    people = (await audience(database, staff=6))["staff"]
    tomorrow = NOW + timedelta(days=1)
    await asyncio.gather(
        *(hit(database, ring, one) for one in people),
        *(hit(database, ring, one, EventKind.CLICKED, 1) for one in people[:2]),
        *(hit(database, ring, one, EventKind.CLICKED, 2) for one in people[:3]),
        *(hit(database, ring, one, at=tomorrow) for one in people[:4]),
    )
    summed = await database.read(lambda connection: totals(connection, id_of(1)))
    assert [(row["scope"], row["grp"], row["kind"], row["position"], row["n"]) for row in summed] == [
        ("group", "staff", "clicked", 1, 2),
        ("group", "staff", "clicked", 2, 3),
        ("group", "staff", "opened", 0, 10),
    ]
    days = {row["day"]: row["n"] for row in (await dump(database))["counts"] if row["kind"] == "opened"}
    assert days == {"2026-05-01": 6, "2026-05-02": 4}


async def test_a_senders_month_gathers_its_small_mailings(database: Database, ring: KeyRing) -> None:
    [one] = (await audience(database, nobody=1))["nobody"]
    for at in (NOW, NOW + timedelta(days=9), NOW + timedelta(days=40)):
        await hit(database, ring, one, EventKind.CLICKED, 2, at)
    may = month_of("news@example.com", NOW, ring)
    summed = await database.read(lambda connection: totals(connection, may.id))
    assert summed == [{"scope": "month", "grp": "", "kind": "clicked", "position": 0, "n": 2}]
    named = {row["name"]: row["kind"] for row in (await dump(database))["mailings"]}
    assert named["news@example.com 2026-05"] == named["news@example.com 2026-06"] == "sender-month"


async def everything(
    stores: Stores, kind: str, folder: Path, ring: KeyRing, sizes: dict[str, int], who: int
) -> Any:
    """The dump of a store in which, of all who got a mailing, number `who` opened and clicked."""
    folder.mkdir()
    async with stores.fresh(kind, folder) as url:
        database = await Database.open(url, ask_within=20, write_within=30)
        people = [sent for group in (await audience(database, **sizes)).values() for sent in group]
        at = NOW + timedelta(minutes=who, microseconds=who)
        await hit(database, ring, people[who], at=at)
        await hit(database, ring, people[who], EventKind.CLICKED, 1, at)
        dumped = await dump(database)
        await database.close()
        return dumped


@pytest.mark.parametrize("sizes", [{"staff": 5}, {"staff": 3, "sales": 3}, {"staff": 2}], ids=str)
async def test_who_of_a_cell_it_was_leaves_no_trace(
    stores: Stores, store_kind: str, tmp_path: Path, ring: KeyRing, sizes: dict[str, int]
) -> None:
    people = range(sum(sizes.values()))
    dumps = [await everything(stores, store_kind, tmp_path / str(who), ring, sizes, who) for who in people]
    assert all(one == dumps[0] for one in dumps)
    assert sum(row["n"] for row in dumps[0]["counts"]) == 2
    assert dumps[0]["events"] == []


async def cells(database: Database) -> list[tuple[str, str, int]]:
    return sorted((row["scope"], row["grp"], row["n"]) for row in (await dump(database))["counts"])


@pytest.mark.parametrize("mode", [Mode.ANONYMOUS, Mode.AGGREGATE])
async def test_many_messages_of_a_mailing_to_one_person_are_an_audience_of_one(
    database: Database, ring: KeyRing, mode: Mode
) -> None:
    for number in range(LEAST):
        await record(database, a_message(number), a_delivery(number, mode=mode, message_id=id_of(number)))
    await database.write(*settling([an_attempt(number) for number in range(LEAST)]))
    sent = await Deliveries(database, RING).sent(id_of(1))
    assert sent is not None
    if mode is Mode.ANONYMOUS:
        await hit(database, ring, sent)
    else:
        await database.change(counting_aggregate(id_of(1), NOW, ring, LEAST))
    assert await cells(database) == [("month", "", 1)]
    [member] = (await dump(database))["audience_members"]
    assert "bob" not in repr(member)


@pytest.mark.parametrize("status", ["deferred", "bounced", "returned"])
async def test_who_got_no_copy_hides_nobody(database: Database, ring: KeyRing, status: str) -> None:
    people = [a_delivery(number, f"p{number}@example.org", mode=Mode.ANONYMOUS) for number in range(LEAST)]
    await record(database, a_message(), *people)
    # One of them three times over: upstream put him off, twice.
    tries = [an_attempt(0, status="deferred"), an_attempt(0, status="deferred")]
    await database.write(*settling(tries))
    rest = [an_attempt(number) for number in range(LEAST - 1)]
    await database.write(*settling([*rest, an_attempt(LEAST - 1, status=status)]))
    sent = await Deliveries(database, RING).sent(id_of(0))
    assert sent is not None
    await hit(database, ring, sent)
    assert await cells(database) == [("month", "", 1)]
    await database.write(*settling([an_attempt(LEAST - 1)]))
    await hit(database, ring, sent)
    assert await cells(database) == [("group", "", 1), ("month", "", 1)]


async def test_an_erased_person_is_of_no_audience_any_more(database: Database, ring: KeyRing) -> None:
    people = (await audience(database, staff=LEAST))["staff"]
    await Erasure(database, ring).erase("p0@example.org", actor="test", now=NOW)
    assert len((await dump(database))["audience_members"]) == LEAST - 1
    await database.write(*settling([an_attempt(0)]))  # written late
    assert len((await dump(database))["audience_members"]) == LEAST - 1
    await hit(database, ring, people[1])
    assert await cells(database) == [("month", "", 1)]


@pytest.mark.parametrize(("size", "cell"), [(LEAST - 1, "month"), (LEAST, "aggregate")])
async def test_an_aggregate_pixel_of_too_few_counts_for_the_month(
    database: Database, ring: KeyRing, size: int, cell: str
) -> None:
    people = [a_delivery(number, f"p{number}@example.org", mode=Mode.AGGREGATE) for number in range(size)]
    await record(database, a_message(), *people)
    await database.write(*settling([an_attempt(number) for number in range(size)]))
    await database.change(counting_aggregate(id_of(1), NOW, ring, LEAST))
    assert await cells(database) == [(cell, "", 1)]


async def test_an_aggregate_pixel_of_a_mailing_nobody_knows_counts_nothing(
    database: Database, ring: KeyRing
) -> None:
    await database.change(counting_aggregate(id_of(9), NOW, ring, LEAST))
    assert await cells(database) == []


async def test_an_aggregate_pixel_counts_for_its_mailing_and_nothing_else(
    database: Database, ring: KeyRing
) -> None:
    people = [a_delivery(number, f"p{number}@example.org", mode=Mode.AGGREGATE) for number in range(LEAST)]
    await record(database, a_message(), *people)
    await database.write(*settling([an_attempt(number) for number in range(LEAST)]))
    before = await dump(database)
    pixel = counting_aggregate(id_of(1), NOW, ring, LEAST)
    await asyncio.gather(*(database.change(pixel) for _ in range(10)))
    after = await dump(database)
    [row] = after["counts"]
    assert row == {
        "mailing_id": id_of(1),
        "scope": "aggregate",
        "grp": "",
        "kind": "opened",
        "position": 0,
        "day": "",
        "n": 10,
    }
    assert after | {"counts": []} == before


async def day_of(database: Database, ring: KeyRing, address: str) -> str | None:
    return (await Contacts(database, ring).show(address)).last_open_day


async def test_hygiene_keeps_the_latest_day_and_nothing_else(database: Database, ring: KeyRing) -> None:
    await record(database, a_message(), a_delivery(1, mode=Mode.HYGIENE))
    known = (await Contacts(database, ring).ask(["bob@example.org"]))["bob@example.org"]
    assert known.id is not None
    before = await dump(database)
    for days, kept in ((1, "2026-05-02"), (3, "2026-05-04"), (2, "2026-05-04")):
        await database.write(noting_hygiene(known.id, NOW + timedelta(days=days)))
        assert await day_of(database, ring, "bob@example.org") == kept
    after = await dump(database)
    assert [row | {"last_open_day": None} for row in after.pop("contacts")] == before.pop("contacts")
    assert after == before


async def test_a_day_is_not_kept_of_somebody_erased_meanwhile(database: Database, ring: KeyRing) -> None:
    statement = Statement(address="bob@example.org", group="staff")
    await Register(database, ring).record([statement], source=Source.CLI, actor="test", now=NOW)
    known = (await Contacts(database, ring).ask(["bob@example.org"]))["bob@example.org"]
    assert known.id is not None
    await Erasure(database, ring).erase("bob@example.org", actor="test", now=NOW)
    await database.write(noting_hygiene(known.id, NOW))
    assert await day_of(database, ring, "bob@example.org") is None
