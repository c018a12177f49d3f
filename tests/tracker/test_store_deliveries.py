"""Messages and deliveries: written by the relay, asked at each hit, shown to people."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert, select, update
from support.deliveries import (
    NOW,
    RING,
    a_decision,
    a_delivery,
    a_mailing,
    a_message,
    an_attempt,
    id_of,
    record,
)
from support.stores import dump, slow

from tracker.consent import Consent, Contact, Mode
from tracker.errors import InvalidValue, NotFound
from tracker.statements import Statement
from tracker.store.contacts import Contacts
from tracker.store.database import Database, execute
from tracker.store.deliveries import Deliveries, Kept, queueing, recording, settling
from tracker.store.erasure import Erasure
from tracker.store.register import Register, Source
from tracker.store.schema import contacts, deliveries, messages
from tracker.tokens import KeyRing

BOB = "bob@example.org"


async def test_a_hit_finds_its_delivery_as_it_was_sent(database: Database) -> None:
    decision = a_decision(Mode.ANONYMOUS, override=True)
    await record(database, a_message(), a_delivery(7, decision=decision, group="staff"))
    sent = await Deliveries(database, RING).sent(id_of(7))
    assert sent is not None
    assert (sent.delivery_id, sent.message_id, sent.mailing_id) == (id_of(7), id_of(1), id_of(1))
    assert (sent.sender, sent.recipient, sent.group) == ("news@example.com", BOB, "staff")
    assert (sent.decision, sent.accepted_at, sent.contact) == (decision, None, Contact())


async def test_a_delivery_nobody_knows_is_none(database: Database) -> None:
    await record(database, a_message(), a_delivery(1))
    assert await Deliveries(database, RING).sent(id_of(2)) is None


async def test_a_hit_meets_the_recipient_of_today(database: Database, ring: KeyRing) -> None:
    await record(database, a_message(), a_delivery(1), a_delivery(2, "al@example.org"))
    register, sent = Register(database, ring), Deliveries(database, RING)

    async def today() -> list[Contact]:
        found = await asyncio.gather(sent.sent(id_of(1)), sent.sent(id_of(2)))
        return [one.contact for one in found if one is not None]

    for consent in (Consent.GRANTED, Consent.WITHDRAWN):
        statement = Statement(address=BOB, consent=consent, group="moved")
        await register.record([statement], source=Source.CLI, actor="test", now=NOW)
        bob, al = await today()
        assert (bob.consent, bob.group, al) == (consent, "moved", Contact())
    await Erasure(database, ring).erase(BOB, actor="test", now=NOW)
    assert [one.erased for one in await today()] == [True, False]


async def test_a_delivery_of_somebody_erased_stays_so_when_they_come_back(
    database: Database, ring: KeyRing
) -> None:
    await record(database, a_message(), a_delivery(1))
    await Erasure(database, ring).erase(BOB, actor="test", now=NOW)
    later = NOW + timedelta(days=1)
    grant = Statement(address=BOB, consent=Consent.GRANTED, evidence={"form": "f"})
    await Register(database, ring).record([grant], source=Source.API, actor="test", now=later)
    sent = await Deliveries(database, RING).sent(id_of(1))
    assert sent is not None
    assert sent.contact.erased
    assert (await Contacts(database, ring).ask([BOB]))[BOB].consent is Consent.GRANTED


async def test_a_decision_nobody_understands_reads_as_untracked_and_spoils_no_other(
    database: Database,
) -> None:
    await record(database, a_message(), a_delivery(1), a_delivery(2))
    await database.change(
        lambda connection: connection.execute(
            update(deliveries).where(deliveries.c.id == id_of(1)).values(mode="telepathic")
        )
    )
    reader = Deliveries(database, RING)
    strange, sound = await asyncio.gather(reader.sent(id_of(1)), reader.sent(id_of(2)))
    assert strange is not None
    assert sound is not None
    assert strange.decision.mode is Mode.UNTRACKED
    assert sound.decision.mode is Mode.IDENTIFIED


async def test_what_became_of_a_delivery_is_kept_with_each_attempt(database: Database) -> None:
    await record(database, a_message(), a_delivery(1), a_delivery(2, "al@example.org"))
    await database.write(queueing([id_of(1), id_of(2)], NOW))
    later = NOW + timedelta(minutes=5)
    await database.write(
        *settling(
            [
                an_attempt(1, status="deferred", code=451, enhanced="4.7.1", text="greylisted", tls=None),
                an_attempt(1, at=later),
            ]
        )
    )
    shown = await Deliveries(database, RING).show(id_of(1))
    bob, al = shown["deliveries"]
    assert (bob["status"], al["status"]) == ("accepted", "queued")
    assert bob["attempts"] == [
        {
            "at": "2026-05-01T12:00:00.000Z",
            "host": "mx.example.org:25",
            "tls": None,
            "status": "deferred",
            "code": 451,
            "enhanced": "4.7.1",
            "text": "greylisted",
        },
        {
            "at": "2026-05-01T12:05:00.000Z",
            "host": "mx.example.org:25",
            "tls": "TLSv1.3",
            "status": "accepted",
            "code": 250,
            "enhanced": "2.0.0",
            "text": "queued as 1",
        },
    ]
    assert al["attempts"] == []
    sent = await Deliveries(database, RING).sent(id_of(1))
    assert sent is not None
    assert sent.accepted_at == later


async def test_upstreams_words_about_somebody_erased_are_not_kept(database: Database, ring: KeyRing) -> None:
    await record(database, a_message(), a_delivery(1), a_delivery(2, "al@example.org"))
    await Erasure(database, ring).erase(BOB, actor="test", now=NOW)
    refusals = [
        an_attempt(number, status="bounced", code=550, text=f"<{BOB}> unknown") for number in (1, 2, 3)
    ]
    await database.write(*settling(refusals))
    rows = (await dump(database))["attempts"]
    assert [(row["delivery_id"], row["code"], row["text"]) for row in rows] == [
        (id_of(1), 550, ""),
        (id_of(2), 550, f"<{BOB}> unknown"),
        (id_of(3), 550, f"<{BOB}> unknown"),
    ]


async def test_a_message_is_shown_ready_for_json(database: Database) -> None:
    message = a_message(
        tags=("a", "b"),
        metadata=(("order", "4711"),),
        variant="B",
        message_class="marketing",
        links=((1, "https://example.com/?a=1", "Read"), (2, "https://example.com/2", "")),
        kept=(Kept("1.2", "opt-out", "example.com", 3), Kept("", "", "", 40)),
    )
    await record(
        database,
        message,
        a_delivery(2, "al@example.org", mode=Mode.UNTRACKED),
        a_delivery(1),
        a_delivery(3, None),
    )
    shown = await Deliveries(database, RING).show(id_of(1))
    recipients = shown.pop("deliveries")
    assert shown == {
        "id": id_of(1).hex(),
        "mailing": "mailing 1",
        "from": "News <news@example.com>",
        "sender": "news@example.com",
        "subject": "Spring",
        "tags": ["a", "b"],
        "metadata": {"order": "4711"},
        "variant": "B",
        "class": "marketing",
        "received_at": "2026-05-01T12:00:00.000Z",
        "size": 1000,
        "untouched": None,
        "kept": [{"part": "1.2", "where": "example.com", "reason": "opt-out", "count": 3}],
        "kept_more": 40,
    }
    assert [one["recipient"] for one in recipients] == [BOB, "al@example.org", None]
    links = [
        {"number": 1, "url": "https://example.com/?a=1", "text": "Read"},
        {"number": 2, "url": "https://example.com/2", "text": ""},
    ]
    assert [one["links"] for one in recipients] == [links, [], links]
    assert recipients[0] == {
        "id": id_of(1).hex(),
        "recipient": BOB,
        "erased": False,
        "mode": "identified",
        "reason": "granted",
        "opens": True,
        "clicks": True,
        "status": "returned",
        "attempts": [],
        "links": links,
    }


async def test_a_message_that_is_not_there_cannot_be_shown(database: Database) -> None:
    with pytest.raises(NotFound, match=id_of(5).hex()):
        await Deliveries(database, RING).show(id_of(5))


async def test_a_message_of_which_nothing_stayed_says_nothing_of_it(database: Database) -> None:
    await record(database, a_message(), a_delivery(1))
    shown = await Deliveries(database, RING).show(id_of(1))
    assert (shown["kept"], shown["kept_more"]) == ([], 0)

    def rows(connection: Connection) -> int:
        return len(connection.execute(select(messages).where(messages.c.kept.is_(None))).all())

    assert await database.read(rows) == 1


async def test_a_message_is_found_by_how_its_id_begins(database: Database) -> None:
    ids = [bytes.fromhex(start.ljust(32, "7")) for start in ("00", "abcdef0", "abcdef1", "abcde0", "ff")]
    for one in ids:
        await record(database, a_message(id=one))
    found = Deliveries(database, RING)
    for prefix, one in (("007777", 0), ("abcdef0", 1), ("abcdef17", 2), ("abcde0", 3), ("ff" + "7" * 30, 4)):
        assert await found.find(prefix) == ids[one]
    with pytest.raises(NotFound, match="abcde9"):
        await found.find("abcde9")
    with pytest.raises(InvalidValue, match=f"more than one.*{ids[1].hex()}, {ids[2].hex()}$"):
        await found.find("abcdef")
    for number in range(6):
        await record(database, a_message(id=bytes.fromhex(f"abcdef2{number}".ljust(32, "0"))))
    with pytest.raises(InvalidValue, match=r", …$"):
        await found.find("abcdef")


async def test_the_latest_messages_come_first_with_their_states_counted(database: Database) -> None:
    for number in range(1, 4):
        await record(
            database,
            a_message(number, received_at=NOW + timedelta(hours=number), from_header=""),
            replace(a_delivery(10 * number), message_id=id_of(number)),
            replace(a_delivery(10 * number + 1), message_id=id_of(number)),
        )
    await database.write(*settling([an_attempt(30)]))
    listed = await Deliveries(database, RING).list(limit=2)
    assert [one["id"] for one in listed] == [id_of(3).hex(), id_of(2).hex()]
    assert [one["deliveries"] for one in listed] == [{"accepted": 1, "returned": 1}, {"returned": 2}]
    assert listed[0]["from"] == "news@example.com"
    assert await Deliveries(database, RING).list(limit=0) == []


async def test_messages_of_one_mailing_share_it_and_the_persons_of_their_audience(database: Database) -> None:
    groups = [None, "staff", "staff", None, "sales"]
    for number in (1, 2):
        sent = [
            replace(
                a_delivery(10 * number + n, f"p{n}@example.org", mode=Mode.ANONYMOUS, group=group),
                message_id=id_of(number),
            )
            for n, group in enumerate(groups)
        ]
        others = [a_delivery(10 * number + 8, mode=Mode.IDENTIFIED, group="staff")]
        await record(database, a_message(number), *sent, *others)
        await database.write(*settling([an_attempt(10 * number + n) for n in (*range(5), 8)]))
    rows = await dump(database)
    assert Counter(row["grp"] for row in rows["audience_members"]) == {"": 2, "sales": 1, "staff": 2}
    assert [row["id"] for row in rows["mailings"]] == [id_of(1)]


async def test_writers_of_one_mailing_do_not_block_each_other(store_url: str) -> None:
    databases = [await Database.open(store_url, ask_within=20, write_within=30) for _ in range(3)]
    groups = [f"g{number}" for number in range(20)]

    async def send(database: Database, number: int) -> None:
        ordered = groups if number % 2 else groups[::-1]
        sent = [
            a_delivery(
                1000 * number + n,
                f"{group}@x.org",
                mode=Mode.ANONYMOUS,
                group=group,
                message_id=id_of(number),
            )
            for n, group in enumerate(ordered)
        ]
        await record(database, a_message(number), *sent)
        await database.write(*settling([an_attempt(1000 * number + n) for n in range(len(groups))]))

    try:
        await asyncio.gather(*(send(databases[number % 3], number) for number in range(1, 31)))
        rows = await dump(databases[0])
        assert sorted(row["grp"] for row in rows["audience_members"]) == sorted(groups)
        assert len(rows["deliveries"]) == 600
        assert not any(database.writes.tripped for database in databases)
    finally:
        for database in databases:
            await database.close()


async def test_hygiene_makes_its_recipients_known_and_nobody_else(database: Database, ring: KeyRing) -> None:
    await record(
        database,
        a_message(),
        a_delivery(1, mode=Mode.HYGIENE),
        a_delivery(2, "al@example.org", mode=Mode.IDENTIFIED),
        a_delivery(3, None, mode=Mode.UNTRACKED),
    )
    known = await Contacts(database, ring).ask([BOB, "al@example.org"])
    assert known[BOB].id is not None
    assert known["al@example.org"].id is None


async def test_a_message_may_have_nobody_to_deliver_to(database: Database) -> None:
    await record(database, a_message(mailing=a_mailing(3)))
    await database.write(*settling([]), queueing([], NOW))
    assert (await Deliveries(database, RING).show(id_of(1)))["deliveries"] == []
    assert await database.read(lambda connection: connection.execute(select(deliveries)).all()) == []


@pytest.mark.parametrize("mode", [Mode.IDENTIFIED, Mode.HYGIENE, Mode.ANONYMOUS])
async def test_who_was_erased_between_question_and_record_is_not_named(
    database: Database, ring: KeyRing, mode: Mode
) -> None:
    await Erasure(database, ring).erase(BOB, actor="test", now=NOW)
    sent = [
        a_delivery(1, mode=mode, group="staff"),
        a_delivery(2, "al@example.org", mode=mode, group="staff"),
    ]
    await record(database, a_message(), *sent, ring=ring)
    await database.write(*settling([an_attempt(1), an_attempt(2)]))
    rows = await dump(database)
    assert [(row["recipient"], row["domain"], row["grp"]) for row in rows["deliveries"]] == [
        (None, "", None),
        ("al@example.org", "example.org", "staff"),
    ]
    assert len(rows["audience_members"]) == (1 if mode is Mode.ANONYMOUS else 0)
    assert "bob" not in repr(rows)
    assert (await Contacts(database, ring).ask([BOB]))[BOB].erased
    reader = Deliveries(database, ring)
    bob, al = await asyncio.gather(reader.sent(id_of(1)), reader.sent(id_of(2)))
    assert bob is not None
    assert al is not None
    assert (bob.contact.erased, al.contact.erased) == (True, False)


async def test_an_erased_person_reads_as_erased_whatever_stands_beside_it(
    database: Database, ring: KeyRing
) -> None:
    await record(database, a_message(), a_delivery(1), ring=ring)
    await Erasure(database, ring).erase(BOB, actor="test", now=NOW)

    def damage(connection: Connection) -> None:
        connection.execute(update(deliveries).values(recipient=BOB))
        row = {"tracking_consent": "granted", "do_not_track": "false", "attributes": {}, "created_at": NOW}
        connection.execute(insert(contacts).values(address=BOB, **row))

    await database.change(damage)
    sent = await Deliveries(database, ring).sent(id_of(1))
    assert sent is not None
    assert sent.contact.erased
    assert (await Contacts(database, ring).ask([BOB]))[BOB].erased


async def test_an_erasure_and_a_record_at_once_leave_nobody_named(store_url: str, ring: KeyRing) -> None:
    relay, operator = [await Database.open(store_url, ask_within=20, write_within=30) for _ in range(2)]
    recorded = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow_record(connection: Connection) -> None:
        execute(connection, recording(a_message(), [a_delivery(1, mode=Mode.HYGIENE)], ring))
        loop.call_soon_threadsafe(recorded.set)
        slow(connection)  # the erasure comes now, and does not see the delivery yet

    try:
        writing = asyncio.create_task(relay.change(slow_record))
        await recorded.wait()
        await Erasure(operator, ring).erase(BOB, actor="test", now=NOW)
        await writing
        assert "bob" not in repr(await dump(operator))
    finally:
        await relay.close()
        await operator.close()
