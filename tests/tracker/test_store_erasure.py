"""Erasure: nothing that named the person is left anywhere, and nobody else loses anything."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.deliveries import NOW, a_delivery, a_message, an_attempt, an_event, id_of, record
from support.stores import dump

from tracker.address import erased_key
from tracker.consent import Consent, DoNotTrack
from tracker.errors import InvalidAddress, StoreUnavailable
from tracker.statements import Statement
from tracker.store.contacts import Contacts
from tracker.store.database import Database
from tracker.store.deliveries import settling
from tracker.store.erasure import Erasure
from tracker.store.events import recording
from tracker.store.register import Register, Source
from tracker.tokens import KeyRing

PEOPLE = [f"person.{number:03}@example.org" for number in range(120)]
GONE = PEOPLE[60]


async def lived_in(database: Database, ring: KeyRing) -> None:
    """A store in which everybody has said, been sent and done something, in several rounds."""
    register = Register(database, ring)
    for days, consent in enumerate((Consent.GRANTED, Consent.DENIED, Consent.GRANTED)):
        statements = [
            Statement(
                address=address,
                consent=consent,
                do_not_track=DoNotTrack.FALSE,
                country="FR",
                group=f"group of {address}",
                attributes={"mail": address},
                evidence={"form": f"https://example.com/{address}"},
            )
            for address in PEOPLE
        ]
        await register.record(statements, source=Source.API, actor="test", now=NOW + timedelta(days=days))
    await record(
        database, a_message(), *(a_delivery(number, address) for number, address in enumerate(PEOPLE))
    )
    tries = [
        an_attempt(number, status="deferred", code=451, text=f"<{address}> greylisted")
        for number, address in enumerate(PEOPLE)
    ]
    await database.write(*settling(tries))
    await asyncio.gather(*(database.write(recording(an_event(number % 120))) for number in range(240)))


def mentions(rows: dict[str, list[dict[str, Any]]], word: str) -> list[str]:
    """The tables that hold `word`."""
    return [name for name, table in rows.items() if word in str(table).lower()]


def without(rows: list[dict[str, Any]], **values: object) -> list[dict[str, Any]]:
    return [row for row in rows if any(row[name] != value for name, value in values.items())]


async def test_what_named_the_person_is_gone_and_what_named_others_is_not(
    database: Database, ring: KeyRing
) -> None:
    await lived_in(database, ring)
    before = await dump(database)
    assert set(mentions(before, GONE)) == {"contacts", "consent_ledger", "deliveries", "attempts"}
    removed = await Erasure(database, ring).erase(f" {GONE.upper()} ", actor="operator", now=NOW)
    assert removed == 2
    after = await dump(database)
    assert mentions(after, GONE) == []
    assert mentions(after, PEOPLE[61]) == mentions(before, PEOPLE[61])

    [person] = [row for row in after["contacts"] if row["erased_key"] is not None]
    assert person["erased_key"] == erased_key(GONE, ring.permanent)
    assert (person["country"], person["grp"], person["attributes"]) == (None, None, {})
    assert without(before["contacts"], id=person["id"]) == without(after["contacts"], id=person["id"])

    [mine] = [row for row in after["deliveries"] if row["recipient"] is None]
    assert (mine["id"], mine["domain"], mine["grp"]) == (id_of(60), "", None)
    assert len(after["deliveries"]) == 120
    assert sorted(map(str, without(before["deliveries"], id=id_of(60)))) == sorted(
        map(str, without(after["deliveries"], id=id_of(60)))
    )
    assert without(before["events"], delivery_id=id_of(60)) == after["events"]
    assert [row["code"] for row in after["attempts"] if row["text"] == ""] == [451]

    empty = [row for row in after["consent_ledger"] if row["content"] is None]
    assert len(empty) == 6  # of consent and of do_not_track, said with evidence three times
    assert all((row["salt"], row["contact_id"]) == (None, None) for row in empty)
    last = after["consent_ledger"][-1]
    assert '"new":"erased"' in last["content"]
    assert '"actor":"operator"' in last["content"]


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_no_byte_on_disk_names_the_person(database: Database, ring: KeyRing, tmp_path: Path) -> None:
    await lived_in(database, ring)
    word, other = GONE.partition("@")[0].encode(), PEOPLE[61].partition("@")[0].encode()
    on_disk = [tmp_path / "candor.db", tmp_path / "candor.db-wal"]
    assert word in b"".join(file.read_bytes() for file in on_disk)
    await Erasure(database, ring).erase(GONE, actor="operator", now=NOW)
    left = b"".join(file.read_bytes() for file in on_disk)
    assert word not in left.lower()
    assert other in left


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_log_that_others_hold_on_to_is_not_called_erased(
    store_url: str, ring: KeyRing, tmp_path: Path
) -> None:
    database = await Database.open(store_url, ask_within=1, write_within=2)
    try:
        await lived_in(database, ring)
        reader = sqlite3.connect(tmp_path / "candor.db", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM contacts").fetchone()
        with pytest.raises(StoreUnavailable, match="erase again"):
            await Erasure(database, ring).erase(GONE, actor="operator", now=NOW)
        reader.close()
        await Erasure(database, ring).erase(GONE, actor="operator", now=NOW)
        files = [tmp_path / "candor.db", tmp_path / "candor.db-wal"]
        assert GONE.encode() not in b"".join(file.read_bytes() for file in files)
    finally:
        await database.close()


async def test_somebody_never_heard_of_is_erased_too_and_stays_so(database: Database, ring: KeyRing) -> None:
    assert await Erasure(database, ring).erase("new@example.org", actor="operator", now=NOW) == 0
    assert (await Contacts(database, ring).ask(["new@example.org"]))["new@example.org"].erased
    assert mentions(await dump(database), "new@example.org") == []


async def test_erasing_twice_is_erasing_once(database: Database, ring: KeyRing) -> None:
    await lived_in(database, ring)
    assert await Erasure(database, ring).erase(GONE, actor="operator", now=NOW) == 2
    assert await Erasure(database, ring).erase(GONE, actor="operator", now=NOW) == 0
    rows = await dump(database)
    assert len([row for row in rows["contacts"] if row["erased_key"] is not None]) == 1
    assert len(rows["contacts"]) == len(PEOPLE)


async def test_what_is_no_address_cannot_be_erased(database: Database, ring: KeyRing) -> None:
    with pytest.raises(InvalidAddress):
        await Erasure(database, ring).erase("nobody", actor="operator", now=NOW)


async def test_an_erasure_and_what_the_person_says_meanwhile_do_not_block_each_other(
    store_url: str, ring: KeyRing
) -> None:
    """Two processes; whoever comes first, the person is there once."""
    left, right = [await Database.open(store_url, ask_within=20, write_within=30) for _ in range(2)]
    statement = Statement(address="new@example.org", consent=Consent.GRANTED)
    try:
        for _ in range(5):
            await asyncio.gather(
                *(Erasure(left, ring).erase("new@example.org", actor="operator", now=NOW) for _ in range(3)),
                *(
                    Register(right, ring).record([statement], source=Source.API, actor="x", now=NOW)
                    for _ in range(3)
                ),
            )
            [row] = (await dump(left))["contacts"]
            assert row["erased_key"] is not None
    finally:
        await left.close()
        await right.close()
