"""What the API keeps and reads in the store, on both databases: keys, answers, and lists that miss nothing."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, text
from support.tracking import (
    IDENTIFIED,
    JOE,
    LONG_AGO,
    Copy,
    Mail,
    dump,
    erase,
    say,
    send,
    to_joe,
)

from tracker.apikeys import PREFIX, SCOPES, digest, fresh, id_in
from tracker.domain import Domain
from tracker.errors import InvalidValue, NotFound
from tracker.reports.lists import (
    Mail as WhichMail,
)
from tracker.reports.lists import (
    People,
    Place,
    deliveries_before,
    events_after,
    messages_before,
    people_after,
)
from tracker.store.api_keys import ApiKeys
from tracker.store.database import Database
from tracker.store.once import KEPT, Kept, Once, Taken
from tracker.store.schema import events
from tracker.store.settled import settled_until

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


# --- keys ---


def test_a_key_is_told_from_what_is_none() -> None:
    made = fresh()
    assert re.fullmatch(r"candor_[0-9a-f]{12}[0-9A-Za-z]{49}", made.token)
    assert id_in(made.token) == made.id
    assert made.token not in repr(made)
    for wrong in ("", PREFIX, made.token[:-1], made.token + "0", made.token.upper(), f" {made.token}"):
        assert id_in(wrong) is None


@given(place=st.integers(7, 67), other=st.sampled_from("0aZ9f"))
def test_a_mistyped_key_is_known_as_such(place: int, other: str) -> None:
    token = fresh().token
    changed = token[:place] + other + token[place + 1 :]
    assert (id_in(changed) is None) == (changed != token)


async def test_keys_open_what_they_are_for_until_they_are_revoked(database: Database) -> None:
    keys = ApiKeys(database)
    made, secret = await keys.create("shop", ["events:read", "contacts:read"], by="ann", now=NOW)
    assert made.scopes == ("contacts:read", "events:read")
    assert made.last_used is None
    assert await keys.of(secret.token, NOW) is not None
    assert await keys.of(fresh().token, NOW) is None
    await keys.of(secret.token, NOW + timedelta(hours=3))
    (listed,) = await keys.list()
    assert listed.last_used == "2026-05-04"
    with pytest.raises(InvalidValue, match="there is a key 'shop' already"):
        await keys.create("shop", ["health:read"], by="ann", now=NOW)
    assert (await keys.revoke("shop", now=NOW)).revoked_at == NOW
    assert await keys.of(secret.token, NOW) is None
    with pytest.raises(NotFound):
        await keys.revoke(made.id, now=NOW)
    again, _ = await keys.create("shop", list(SCOPES), by="ann", now=NOW)
    assert again.id != made.id


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["health:read"]), ("a b", ["health:read"]), ("a", []), ("a", ["everything"])]
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_key_that_cannot_be_is_not_made(name: str, scopes: list[str], database: Database) -> None:
    with pytest.raises(InvalidValue):
        await ApiKeys(database).create(name, scopes, by="ann", now=NOW)
    assert await ApiKeys(database).list() == []


async def test_the_secret_stands_nowhere(domain: Domain) -> None:
    _, secret = await ApiKeys(domain.database).create("shop", list(SCOPES), by="ann", now=NOW)
    kept = str((await dump(domain))["api_keys"])
    assert secret.token not in kept
    assert secret.token[len(PREFIX) + 12 :] not in kept
    assert str(digest(secret.token)) in kept


# --- once ---


async def test_what_was_answered_is_answered_again(database: Database) -> None:
    once, answer = Once(database), Kept(status=201, body=b"{}", location="/x")
    mark = await once.begin("k", "a", b"1" * 32, NOW)
    assert isinstance(mark, bytes)
    assert await once.begin("k", "a", b"1" * 32, NOW) is Taken.RUNNING
    assert await once.begin("k", "a", b"2" * 32, NOW) is Taken.OTHER
    assert isinstance(await once.begin("other", "a", b"1" * 32, NOW), bytes)
    await once.keep(mark, answer)
    assert await once.begin("k", "a", b"1" * 32, NOW + KEPT) == answer
    assert await once.begin("k", "a", b"2" * 32, NOW) is Taken.OTHER
    later = NOW + KEPT + timedelta(seconds=1)
    assert isinstance(await once.begin("k", "a", b"2" * 32, later), bytes)


async def test_what_was_given_up_or_died_may_be_asked_again(database: Database) -> None:
    once = Once(database)
    mark = await once.begin("k", "a", b"1" * 32, NOW)
    assert isinstance(mark, bytes)
    await once.give_up(mark)
    assert isinstance(await once.begin("k", "a", b"1" * 32, NOW), bytes)
    assert isinstance(await once.begin("k", "a", b"1" * 32, NOW + timedelta(minutes=6)), bytes)


async def test_what_was_kept_for_a_day_goes(domain: Domain) -> None:
    once = Once(domain.database)
    await once.begin("k", "a", b"1" * 32, NOW)
    await once.forget(NOW + KEPT)
    assert len((await dump(domain))["api_answers"]) == 1
    await once.forget(NOW + KEPT + timedelta(seconds=1))
    assert (await dump(domain))["api_answers"] == []


async def test_of_many_at_once_one_is_carried_out(database: Database) -> None:
    once = Once(database)
    found = await asyncio.gather(*(once.begin("k", "a", b"1" * 32, NOW) for _ in range(8)))
    assert sorted(isinstance(one, bytes) for one in found) == [False] * 7 + [True]


# --- lists ---


async def test_contacts_come_part_by_part_and_the_erased_not_at_all(domain: Domain) -> None:
    names = [f"p{number}@people.example" for number in range(5)]
    for name in names:
        await say(domain, name, "granted" if name != names[1] else "denied", country="FR")
    await erase(domain, names[3])
    found, after = [], 0
    while some := await people_after(domain, People(country="FR"), after=after, limit=2):
        found += [one.address for one in some]
        after = some[-1].id
    assert found == [names[0], names[1], names[2], names[4]]
    (refused,) = await people_after(domain, People(consent="denied"), after=0, limit=9)
    assert refused.address == names[1]


async def test_mail_comes_part_by_part_though_much_came_at_once(domain: Domain) -> None:
    at = datetime.now(UTC) - LONG_AGO
    for number in range(4):
        to = {f"p{place}@people.example": IDENTIFIED for place in range(3)}
        await send(domain, Mail(to=to, subject=f"s{number}", received_at=at, campaign="a" if number else "b"))
    found: list[tuple[bytes, int]] = []
    place: Place | None = None
    while rows := await deliveries_before(domain, WhichMail(), before=place, limit=5):
        found += [(bytes(row.message_id), row.position) for row in rows]
        last = rows[-1]
        place = Place(received_at=last.received_at, message=bytes(last.message_id), position=last.position)
    assert len(set(found)) == len(found) == 12
    assert found == sorted(found, key=lambda one: (tuple(-octet for octet in one[0]), one[1]))
    theirs = await deliveries_before(
        domain, WhichMail(contact="p1@people.example", campaign="a"), before=None, limit=9
    )
    assert {row.recipient for row in theirs} == {"p1@people.example"}
    assert len(theirs) == 3
    first = await messages_before(domain, WhichMail(), before=None, limit=3)
    behind = Place(received_at=first[-1].received_at, message=bytes(first[-1].id))
    (rest,) = await messages_before(domain, WhichMail(), before=behind, limit=3)
    assert bytes(rest.id) not in {bytes(row.id) for row in first}
    assert await messages_before(domain, WhichMail(until=at), before=None, limit=3) == []


async def opened(
    domain: Domain, copy: Copy, *, ago: timedelta = timedelta(minutes=10), kind: str = "opened"
) -> None:
    """An event on record, as a hit would leave it."""
    row = {
        "kind": kind,
        "at": datetime.now(UTC) - ago,
        "message_id": copy.message,
        "delivery_id": copy.delivery,
        "link": 1 if kind == "clicked" else None,
        "verdict": "person",
        "verdict_reasons": "",
        "rules": 1,
        "client": "",
        "device": "",
        "system": "",
        "country": "",
    }
    await domain.database.write((insert(events), [row]))


async def test_events_go_on_where_the_last_part_ended_and_name_only_who_may_be_named(domain: Domain) -> None:
    people = {name: f"{name}@people.example" for name in ("ann", "bob", "cy", "di")}
    copies = await send(domain, Mail(to=dict.fromkeys(people.values(), IDENTIFIED)))
    for address in people.values():
        await say(domain, address, "granted")
        await opened(domain, copies[address])
        await opened(domain, copies[address], kind="clicked")
    await say(domain, people["bob"], "withdrawn")
    await say(domain, people["cy"], dnt="true")
    await erase(domain, people["di"])
    found, after = [], 0
    while True:
        part = await events_after(domain, after=after, limit=3, now=datetime.now(UTC))
        found += [(row.recipient, row.kind, url) for row, url in part.rows]
        after = part.until
        if part.is_all:
            break
    assert [(who, kind) for who, kind, _ in found] == [(people["ann"], "opened"), (people["ann"], "clicked")]
    assert found[1][2] == "https://shop.example/apples?kind=russet&box=2"
    await opened(domain, copies[people["ann"]], ago=timedelta(0))
    part = await events_after(domain, after=after, limit=3, now=datetime.now(UTC), final=True)
    assert list(part.rows) == []
    after = part.until
    part = await events_after(domain, after=after, limit=3, now=datetime.now(UTC))
    assert len(part.rows) == 1
    assert part.until > after


@pytest.mark.parametrize("store_kind", ["postgresql"])
async def test_an_event_committed_after_a_later_one_is_not_passed_by(domain: Domain) -> None:
    copy = await to_joe(domain)
    await say(domain, JOE, "granted")
    slow = await domain.database.session()
    try:
        await slow.execute(text("BEGIN"))  # its session commits each statement else
        values = "'opened', now() - interval '1 hour', :m, :d, 'person', '', 1, '', '', '', ''"
        columns = "kind, at, message_id, delivery_id, verdict, verdict_reasons, rules, client, device, system, country"
        await slow.execute(
            text(f"INSERT INTO events ({columns}) VALUES ({values})"), {"m": copy.message, "d": copy.delivery}
        )
        await opened(domain, copy)
        assert await settled_until(domain.database, after=0, patience=0.05) == 0
        reading = asyncio.create_task(events_after(domain, after=0, limit=9, now=datetime.now(UTC)))
        await asyncio.sleep(0.1)
        assert not reading.done()
        await slow.execute(text("COMMIT"))
        part = await reading
    finally:
        await domain.database.end_session(slow)
    ids = [row.id for row, _ in part.rows]
    assert ids == sorted(ids)
    assert len(ids) == 2
