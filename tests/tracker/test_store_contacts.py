"""Who is known, asked in the way of mail and shown to the operator."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from tracker.consent import Consent, Contact, DoNotTrack
from tracker.errors import InvalidAddress, NotFound
from tracker.statements import Statement
from tracker.store.contacts import Contacts, knowing
from tracker.store.database import Database
from tracker.store.erasure import Erasure
from tracker.store.register import Register, Source
from tracker.store.schema import contacts
from tracker.tokens import KeyRing

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
BOB = "bob@example.org"


@pytest.fixture
def register(database: Database, ring: KeyRing) -> Register:
    return Register(database, ring)


async def say(register: Register, *statements: Statement) -> None:
    await register.record(statements, source=Source.CLI, actor="test", now=NOW)


async def test_of_whom_nothing_is_known_is_unknown(database: Database, ring: KeyRing) -> None:
    assert await Contacts(database, ring).ask([BOB, "al@example.org"]) == {
        BOB: Contact(),
        "al@example.org": Contact(),
    }
    assert await Contacts(database, ring).ask([]) == {}


async def test_each_address_gets_its_own_answer(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await say(
        register,
        Statement(address=BOB, consent=Consent.GRANTED, country="fr", group="staff"),
        Statement(address="al@example.org", consent=Consent.DENIED, do_not_track=DoNotTrack.TRUE),
    )
    known = Contacts(database, ring)
    answers = await asyncio.gather(known.ask([BOB]), known.ask(["al@example.org", "x@example.org"]))
    assert answers[0][BOB] == Contact(
        id=answers[0][BOB].id, consent=Consent.GRANTED, country="FR", group="staff"
    )
    assert answers[0][BOB].id is not None
    assert answers[1]["al@example.org"].consent is Consent.DENIED
    assert answers[1]["al@example.org"].do_not_track is DoNotTrack.TRUE
    assert answers[1]["x@example.org"] == Contact()


async def test_an_erased_person_is_recognised_by_the_address(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await say(register, Statement(address=BOB, consent=Consent.GRANTED, group="staff"))
    await Erasure(database, ring).erase(BOB, actor="test", now=NOW)
    await Erasure(database, ring).erase("never-seen@example.org", actor="test", now=NOW)
    known = await Contacts(database, ring).ask([BOB, "never-seen@example.org", "al@example.org"])
    assert [known[address].erased for address in known] == [True, True, False]
    assert known[BOB].group is None


async def test_a_word_nobody_understands_reads_as_a_refusal(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await say(register, Statement(address=BOB, consent=Consent.GRANTED))
    await database.change(
        lambda connection: connection.execute(update(contacts).values(tracking_consent="perhaps"))
    )
    known = (await Contacts(database, ring).ask([BOB]))[BOB]
    assert (known.consent, known.do_not_track) == (Consent.DENIED, DoNotTrack.TRUE)


async def test_a_thousand_people_are_asked_at_once(
    database: Database, ring: KeyRing, register: Register
) -> None:
    people = [f"p{number}@example.org" for number in range(2000)]
    await say(register, *(Statement(address=address, consent=Consent.GRANTED) for address in people[::2]))
    await Erasure(database, ring).erase(people[1], actor="test", now=NOW)
    known = await Contacts(database, ring).ask(people)
    assert [known[address].consent for address in people[::2]] == [Consent.GRANTED] * 1000
    assert [address for address in people if known[address].erased] == [people[1]]


async def test_a_person_is_shown_whole_under_any_spelling(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await say(
        register,
        Statement(address=BOB, consent=Consent.GRANTED, group="staff", attributes={"plan": "gold"}),
    )
    person = await Contacts(database, ring).show(" Bob@EXAMPLE.org ")
    assert (person.address, person.consent, person.consent_as_of) == (BOB, Consent.GRANTED, NOW)
    assert (person.consent_source, person.group, person.attributes) == ("cli", "staff", {"plan": "gold"})
    assert (person.country, person.last_open_day, person.erased) == (None, None, False)
    assert person.created_at == NOW


async def test_an_erased_person_is_shown_without_an_address(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await say(
        register, Statement(address=BOB, consent=Consent.GRANTED, country="FR", attributes={"plan": "gold"})
    )
    await Erasure(database, ring).erase(BOB, actor="test", now=NOW)
    person = await Contacts(database, ring).show(BOB)
    assert person.erased
    assert (person.address, person.country, person.attributes) == (None, None, {})


async def test_who_is_not_there_cannot_be_shown(database: Database, ring: KeyRing) -> None:
    with pytest.raises(NotFound, match=BOB):
        await Contacts(database, ring).show(BOB)
    with pytest.raises(InvalidAddress):
        await Contacts(database, ring).show("bob")


async def test_making_somebody_known_changes_nobody_who_is(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await say(register, Statement(address=BOB, consent=Consent.GRANTED))
    await database.write(knowing({BOB, "al@example.org"}, NOW, ring), knowing([BOB], NOW, ring))
    known = await Contacts(database, ring).ask([BOB, "al@example.org"])
    assert known[BOB].consent is Consent.GRANTED
    assert known["al@example.org"].id is not None
    assert known["al@example.org"].consent is Consent.UNKNOWN
