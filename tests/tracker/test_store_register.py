"""The register: what holds of what people said, and a ledger that can prove it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update
from support.deliveries import a_delivery, a_message, id_of, record
from support.examples import examples
from support.stores import dump

from tracker.consent import Consent, DoNotTrack, Mode
from tracker.errors import InvalidAddress, InvalidValue
from tracker.statements import Statement, parse_statement
from tracker.store.bulk import Bulk
from tracker.store.contacts import Contacts, Person
from tracker.store.database import Database
from tracker.store.erasure import Erasure
from tracker.store.ledger import canonical
from tracker.store.newcomers import Newcomer, foresee
from tracker.store.register import MOST_CHANGES, Effect, Recorded, Register, Source, overriding
from tracker.store.schema import consent_ledger, contacts
from tracker.store.standing import Standing
from tracker.tokens import KeyRing
from tracker.weighing import Speaker

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
BOB = "bob@example.org"
PAGE, IMPORT, API = Source.PREFERENCE_PAGE, Source.IMPORT, Source.API
G, D, W, UNKNOWN = Consent.GRANTED, Consent.DENIED, Consent.WITHDRAWN, Consent.UNKNOWN
CHANGED, UNCHANGED, NOT_EFFECTIVE = Effect.CHANGED, Effect.UNCHANGED, Effect.NOT_EFFECTIVE
PROOF = {"form": "https://example.com/signup", "text": "v3"}


@pytest.fixture
def register(database: Database, ring: KeyRing) -> Register:
    return Register(database, ring)


def day(number: int) -> datetime:
    return NOW + timedelta(days=number)


async def bob(database: Database, ring: KeyRing) -> Person:
    return await Contacts(database, ring).show(BOB)


async def ledger(database: Database) -> list[dict[str, Any]]:
    rows = (await dump(database))["consent_ledger"]
    return sorted(rows, key=lambda row: row["seq"])


def verified(rows: list[dict[str, Any]]) -> int:
    """Walks the chain as somebody would who has only its description; gives the number of rows with content."""
    previous, open_rows = bytes(32), 0
    for number, row in enumerate(rows, start=1):
        at = row["recorded_at"].replace(tzinfo=UTC)
        micros = round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
        assert row["seq"] == number
        assert bytes(row["previous"]) == previous
        hashed = hashlib.sha256(struct.pack(">Q", number) + struct.pack(">q", micros) + previous)
        hashed.update(bytes(row["commitment"]))
        assert bytes(row["hash"]) == hashed.digest()
        if row["content"] is not None:
            open_rows += 1
            assert hashlib.sha256(bytes(row["salt"]) + row["content"].encode()).digest() == bytes(
                row["commitment"]
            )
            content = json.loads(row["content"])
            assert row["content"] == json.dumps(content, sort_keys=True, separators=(",", ":"))
        previous = bytes(row["hash"])
    return open_rows


# What holds

Said = tuple[Source, Consent, int, int | None, bool, Effect]
"""(through which door, what, recorded on day, as of day or None for now, with evidence, what became of it)"""

HISTORIES: dict[str, tuple[list[Said], Consent]] = {
    "the latest word holds": (
        [
            (IMPORT, G, 1, None, False, CHANGED),
            (IMPORT, D, 2, None, False, CHANGED),
            (API, G, 3, None, False, CHANGED),
        ],
        G,
    ),
    "what was said later holds, whenever it is heard": (
        [(IMPORT, D, 5, 4, False, CHANGED), (IMPORT, G, 6, 3, False, NOT_EFFECTIVE)],
        D,
    ),
    "an older refusal does not undo a newer grant": (
        [(IMPORT, G, 5, 4, False, CHANGED), (IMPORT, D, 6, 3, False, NOT_EFFECTIVE)],
        G,
    ),
    "said at the same time, the refusal wins when it comes last": (
        [(IMPORT, G, 5, 4, False, CHANGED), (IMPORT, D, 6, 4, False, CHANGED)],
        D,
    ),
    "said at the same time, the refusal wins when it comes first": (
        [(IMPORT, D, 5, 4, False, CHANGED), (IMPORT, G, 6, 4, True, NOT_EFFECTIVE)],
        D,
    ),
    "a list cannot undo the person's refusal": (
        [(PAGE, W, 1, None, False, CHANGED), (IMPORT, G, 2, None, False, NOT_EFFECTIVE)],
        W,
    ),
    "nor by saying that nothing is known": (
        [(PAGE, W, 1, None, False, CHANGED), (IMPORT, UNKNOWN, 2, None, False, NOT_EFFECTIVE)],
        W,
    ),
    "nor with evidence that nothing is known": (
        [(PAGE, W, 1, None, False, CHANGED), (IMPORT, UNKNOWN, 2, None, True, NOT_EFFECTIVE)],
        W,
    ),
    "later evidence can": ([(PAGE, W, 1, None, False, CHANGED), (API, G, 2, None, True, CHANGED)], G),
    "in a file, too": ([(PAGE, W, 1, None, False, CHANGED), (IMPORT, G, 3, 2, True, CHANGED)], G),
    "a file's evidence of no time is not later": (
        [(PAGE, W, 1, None, False, CHANGED), (IMPORT, G, 2, None, True, NOT_EFFECTIVE)],
        W,
    ),
    "older evidence cannot": (
        [(PAGE, W, 2, None, False, CHANGED), (IMPORT, G, 3, 1, True, NOT_EFFECTIVE)],
        W,
    ),
    "evidence of the same moment cannot": (
        [(PAGE, W, 2, None, False, CHANGED), (IMPORT, G, 3, 2, True, NOT_EFFECTIVE)],
        W,
    ),
    "a list's refusal is the list's to lift": (
        [(IMPORT, D, 1, None, False, CHANGED), (IMPORT, G, 2, None, False, CHANGED)],
        G,
    ),
    "a list that repeats the person's refusal does not make it its own": (
        [
            (PAGE, W, 1, None, False, CHANGED),
            (IMPORT, D, 2, None, False, CHANGED),
            (IMPORT, G, 3, None, False, NOT_EFFECTIVE),
        ],
        D,
    ),
    "the person who repeats a list's refusal makes it theirs": (
        [
            (IMPORT, W, 1, None, False, CHANGED),
            (PAGE, W, 2, None, False, CHANGED),
            (IMPORT, G, 3, None, False, NOT_EFFECTIVE),
        ],
        W,
    ),
    "a grant with evidence ends the person's protection": (
        [
            (PAGE, W, 1, None, False, CHANGED),
            (API, G, 2, None, True, CHANGED),
            (IMPORT, D, 3, None, False, CHANGED),
            (IMPORT, G, 4, None, False, CHANGED),
        ],
        G,
    ),
    "the person's refusal holds though a grant is dated later": (
        [(IMPORT, G, 5, None, False, CHANGED), (PAGE, W, 6, 4, False, CHANGED)],
        W,
    ),
    "and then a grant must be later than both": (
        [
            (IMPORT, G, 5, None, False, CHANGED),
            (PAGE, W, 6, 4, False, CHANGED),
            (IMPORT, G, 7, 5, True, NOT_EFFECTIVE),
            (IMPORT, G, 8, 6, True, CHANGED),
        ],
        G,
    ),
    "the person's own grant needs evidence too": (
        [
            (PAGE, W, 1, None, False, CHANGED),
            (PAGE, G, 2, None, False, NOT_EFFECTIVE),
            (PAGE, G, 3, None, True, CHANGED),
        ],
        G,
    ),
    "what is known goes back to unknown where nobody refused": (
        [(IMPORT, G, 1, None, False, CHANGED), (IMPORT, UNKNOWN, 2, None, False, CHANGED)],
        UNKNOWN,
    ),
    "a bare repetition says nothing": (
        [
            (IMPORT, G, 1, None, False, CHANGED),
            (IMPORT, G, 2, None, False, UNCHANGED),
            (API, D, 3, None, False, CHANGED),
        ],
        D,
    ),
    "nor does one that bears the same date": (
        [(IMPORT, G, 5, 1, False, CHANGED), (IMPORT, G, 6, 1, False, UNCHANGED)],
        G,
    ),
    "new evidence for the same is news": (
        [(IMPORT, G, 1, None, False, CHANGED), (IMPORT, G, 2, None, True, CHANGED)],
        G,
    ),
}


@pytest.mark.parametrize("case", HISTORIES)
async def test_what_holds_of_what_was_said(
    database: Database, ring: KeyRing, register: Register, case: str
) -> None:
    said, held = HISTORIES[case]
    news = 0
    for source, consent, recorded, as_of, evidence, effect in said:
        statement = Statement(
            address=BOB,
            consent=consent,
            as_of=None if as_of is None else day(as_of),
            evidence=PROOF if evidence else {},
        )
        [result] = await register.record([statement], source=source, actor="test", now=day(recorded))
        assert result.effect is effect
        assert bool(result.reason) is (effect is NOT_EFFECTIVE)
        news += effect is not UNCHANGED
    assert (await bob(database, ring)).consent is held
    rows = await ledger(database)
    assert verified(rows) == len(rows) == news
    told = [json.loads(row["content"])["effective"] for row in rows]
    assert told == [effect is CHANGED for *_, effect in said if effect is not UNCHANGED]


TRUE, FALSE, UNSET = DoNotTrack.TRUE, DoNotTrack.FALSE, DoNotTrack.UNSET


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ([(PAGE, TRUE, False), (IMPORT, FALSE, False)], TRUE),
        ([(PAGE, TRUE, False), (IMPORT, UNSET, False)], TRUE),
        ([(PAGE, TRUE, False), (IMPORT, UNSET, True)], TRUE),
        ([(PAGE, TRUE, False), (API, FALSE, True)], FALSE),
        ([(PAGE, TRUE, False), (IMPORT, FALSE, True)], TRUE),
        ([(IMPORT, TRUE, False), (IMPORT, FALSE, False)], FALSE),
        ([(IMPORT, FALSE, False), (PAGE, TRUE, False), (IMPORT, TRUE, False), (IMPORT, FALSE, False)], TRUE),
    ],
    ids=str,
)
async def test_being_cut_loose_is_protected_like_a_refusal(
    database: Database,
    ring: KeyRing,
    register: Register,
    said: list[tuple[Source, DoNotTrack, bool]],
    held: DoNotTrack,
) -> None:
    for number, (source, value, evidence) in enumerate(said):
        statement = Statement(address=BOB, do_not_track=value, evidence=PROOF if evidence else {})
        await register.record([statement], source=source, actor="test", now=day(number))
    person = await bob(database, ring)
    assert (person.do_not_track, person.consent) == (held, UNKNOWN)


async def test_one_half_of_a_statement_may_hold_without_the_other(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await register.record([Statement(address=BOB, consent=W)], source=PAGE, actor="test", now=day(1))
    both = Statement(address=BOB, consent=G, do_not_track=TRUE, group="staff")
    [result] = await register.record([both], source=IMPORT, actor="test", now=day(2))
    assert result.effect is NOT_EFFECTIVE
    assert "without later evidence" in result.reason
    person = await bob(database, ring)
    assert (person.consent, person.do_not_track, person.group) == (W, TRUE, "staff")


async def test_what_was_said_tomorrow_is_refused_and_nothing_is_written(
    database: Database, register: Register
) -> None:
    early = Statement(address="al@example.org", consent=G)
    late = Statement(address=BOB, consent=G, as_of=NOW + timedelta(hours=1))
    with pytest.raises(InvalidValue, match="lies in the future"):
        await register.record([early, late], source=IMPORT, actor="test", now=NOW)
    assert await ledger(database) == []


async def test_a_clock_that_runs_a_little_ahead_is_set_back(
    database: Database, ring: KeyRing, register: Register
) -> None:
    statement = Statement(address=BOB, consent=G, as_of=NOW + timedelta(minutes=4))
    await register.record([statement], source=API, actor="test", now=NOW)
    assert (await bob(database, ring)).consent_as_of == NOW


@pytest.mark.parametrize(
    ("statements", "error"),
    [
        ([Statement(address="bob", consent=G)], InvalidAddress),
        ([Statement(address=BOB, consent=G, as_of=datetime(2026, 1, 1))], InvalidValue),  # noqa: DTZ001
        ([Statement(address=BOB)] * (MOST_CHANGES + 1), InvalidValue),
    ],
    ids=["an address that is none", "a time without a zone", "too many at a time"],
)
async def test_what_cannot_be_taken_down_is_refused_before_anything_is(
    database: Database, register: Register, statements: list[Statement], error: type[Exception]
) -> None:
    good = Statement(address="al@example.org", consent=G)
    with pytest.raises(error):
        await register.record([good, *statements], source=API, actor="test", now=NOW)
    rows = await dump(database)
    assert rows["contacts"] == rows["consent_ledger"] == []


async def test_statements_are_answered_one_by_one_in_order(
    database: Database, ring: KeyRing, register: Register
) -> None:
    said = [
        Statement(address="Bob@Example.org", consent=G),
        Statement(address="al@example.org", group="staff"),
        Statement(address=BOB, consent=D),
        Statement(address=BOB, consent=D),
        Statement(address="al@example.org", group="staff"),
    ]
    results = await register.record(said, source=API, actor="test", now=NOW)
    assert results == [
        Recorded(address=BOB, effect=CHANGED),
        Recorded(address="al@example.org", effect=CHANGED),
        Recorded(address=BOB, effect=CHANGED),
        Recorded(address=BOB, effect=UNCHANGED),
        Recorded(address="al@example.org", effect=UNCHANGED),
    ]
    assert (await bob(database, ring)).consent is D


async def test_facts_are_kept_at_their_latest_and_not_in_the_ledger(
    database: Database, ring: KeyRing, register: Register
) -> None:
    for changes, kept in (
        (
            {"country": "fr", "group": "staff", "attributes": {"a": "1", "b": "2"}},
            ("FR", "staff", {"a": "1", "b": "2"}),
        ),
        ({"attributes": {"b": "3"}}, ("FR", "staff", {"a": "1", "b": "3"})),
        ({"country": "", "attributes": {"a": ""}}, (None, "staff", {"b": "3"})),
        ({"group": ""}, (None, None, {"b": "3"})),
    ):
        [result] = await register.record(
            [Statement(address=BOB, **changes)],  # type: ignore[arg-type]
            source=API,
            actor="test",
            now=NOW,
        )
        assert result.effect is CHANGED
        person = await bob(database, ring)
        assert (person.country, person.group, person.attributes) == kept
    assert await ledger(database) == []


async def test_a_row_tells_who_said_what_when_through_whom_and_on_what_evidence(
    database: Database, register: Register
) -> None:
    statement = Statement(address=" BOB@example.org", consent=W, as_of=day(-1), evidence=PROOF)
    await register.record([statement], source=PAGE, actor="the person", now=NOW)
    [row] = await ledger(database)
    assert row["recorded_at"].replace(tzinfo=UTC) == NOW
    assert json.loads(row["content"]) == {
        "address": BOB,
        "attribute": "tracking_consent",
        "old": "unknown",
        "new": "withdrawn",
        "as_of": "2026-04-30T12:00:00+00:00",
        "source": "preference-page",
        "actor": "the person",
        "evidence": PROOF,
        "effective": True,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"tracking_consent": "granted"}, {"consent": G}),
        ({"do_not_track": "unset"}, {"do_not_track": UNSET}),
        ({"country": "fr", "group": "staff"}, {"country": "FR", "group": "staff"}),
        ({"country": "", "group": ""}, {"country": "", "group": ""}),
        ({"as_of": "2026-05-01T14:00:00+02:00"}, {"as_of": NOW}),
        ({"as_of": "2026-05-01T12:00:00Z"}, {"as_of": NOW}),
        ({"plan": "gold", "Region": "x"}, {"attributes": {"plan": "gold", "Region": "x"}}),
    ],
    ids=str,
)
def test_words_become_a_statement(fields: dict[str, str], expected: dict[str, Any]) -> None:
    statement = parse_statement(" Bob@Example.org", fields, evidence=PROOF)
    assert statement == Statement(**({"address": BOB, "attributes": {}, "evidence": PROOF} | expected))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"tracking_consent": "Granted"},
            "tracking_consent: 'Granted' is not one of granted, denied, withdrawn, unknown",
        ),
        ({"tracking_consent": ""}, "tracking_consent: '' is not one of"),
        ({"do_not_track": "yes"}, "do_not_track: 'yes' is not one of true, false, unset"),
        ({"country": "FRA"}, "country: 'FRA' is no country code"),
        ({"country": "ÉÉ"}, "country: 'ÉÉ' is no country code"),
        ({"as_of": "yesterday"}, "as_of: 'yesterday' is no time"),
        ({"as_of": "2026-05-01T12:00:00"}, "has no time zone"),
    ],
    ids=str,
)
def test_what_is_not_one_of_the_words_is_refused_naming_key_and_value(
    fields: dict[str, str], told: str
) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_statement(BOB, fields, evidence={})
    assert told in str(caught.value)


async def test_passing_consent_over_leaves_a_row_for_each_person_but_not_for_the_erased(
    database: Database, ring: KeyRing, register: Register
) -> None:
    await register.record([Statement(address=BOB, consent=D)], source=API, actor="test", now=NOW)
    await Erasure(database, ring).erase("gone@example.org", actor="test", now=NOW)
    ground = {"lawful_basis": "contract", "user": "billing"}
    people = [BOB, "new@example.org", "gone@example.org"]
    await database.change(overriding(people, ground, now=day(1), ring=ring))
    rows = await ledger(database)
    assert verified(rows) == len(rows) == 4
    noted = [json.loads(row["content"]) for row in rows[2:]]
    assert sorted(noted, key=lambda content: content["address"]) == [
        {"attribute": "override", "address": BOB, **ground},
        {"attribute": "override", "address": "new@example.org", **ground},
    ]
    assert (await bob(database, ring)).consent is D


# Erased persons


@pytest.mark.parametrize(
    ("statement", "recorded", "effect"),
    [
        (Statement(address=BOB, consent=G), 2, NOT_EFFECTIVE),
        (Statement(address=BOB, consent=D, evidence=PROOF), 2, NOT_EFFECTIVE),
        (Statement(address=BOB, do_not_track=FALSE, evidence=PROOF), 2, NOT_EFFECTIVE),
        (Statement(address=BOB, group="staff"), 2, NOT_EFFECTIVE),
        (Statement(address=BOB, consent=G, evidence=PROOF, as_of=day(0)), 2, NOT_EFFECTIVE),
        (Statement(address=BOB, consent=G, evidence=PROOF, as_of=day(1)), 2, NOT_EFFECTIVE),
        (Statement(address=BOB, consent=G, evidence=PROOF), 2, NOT_EFFECTIVE),
        (Statement(address=BOB, consent=G, evidence=PROOF, as_of=day(2)), 3, CHANGED),
    ],
    ids=[
        "a bare grant",
        "a refusal with evidence",
        "another attribute with evidence",
        "facts",
        "evidence from before",
        "evidence of the same moment",
        "a file's evidence of no time",
        "a grant with evidence said in between",
    ],
)
async def test_only_a_grant_with_fresh_evidence_brings_an_erased_person_back(
    database: Database, ring: KeyRing, register: Register, statement: Statement, recorded: int, effect: Effect
) -> None:
    first = Statement(address=BOB, consent=W, group="sales", attributes={"a": "1"})
    await register.record([first], source=PAGE, actor="test", now=day(0))
    await Erasure(database, ring).erase(BOB, actor="test", now=day(1))
    before = len(await ledger(database))
    [result] = await register.record([statement], source=IMPORT, actor="test", now=day(recorded))
    assert result.effect is effect
    known = (await Contacts(database, ring).ask([BOB]))[BOB]
    assert known.erased is (effect is NOT_EFFECTIVE)
    rows = await dump(database)
    assert (BOB in str(rows)) is (effect is CHANGED)
    assert len(rows["contacts"]) == 1
    assert len(rows["consent_ledger"]) == before + (effect is CHANGED)
    verified(await ledger(database))
    if effect is CHANGED:
        person = await bob(database, ring)
        assert (person.consent, person.do_not_track, person.group, person.attributes) == (G, UNSET, None, {})


# The chain


async def test_the_chain_holds_after_erasures_which_empty_their_rows(
    database: Database, ring: KeyRing, register: Register
) -> None:
    people = [f"p{number}@example.org" for number in range(10)]
    for number, consent in enumerate((G, D, G)):
        said = [Statement(address=address, consent=consent) for address in people]
        await register.record(said, source=API, actor="test", now=day(number))
    before = await ledger(database)
    assert verified(before) == 30
    for number, address in enumerate(people[:3]):
        await Erasure(database, ring).erase(address, actor="test", now=day(10 + number))
    after = await ledger(database)
    assert verified(after) == 21 + 3
    assert [row["hash"] for row in after[:30]] == [row["hash"] for row in before]


async def test_equal_contents_have_different_commitments(database: Database, register: Register) -> None:
    said = [Statement(address=BOB, consent=G, evidence=PROOF)] * 2
    await register.record(said, source=API, actor="test", now=NOW)
    first, second = await ledger(database)
    assert json.loads(first["content"])["new"] == json.loads(second["content"])["new"]
    assert first["salt"] != second["salt"]


@pytest.mark.parametrize(
    "column", ["content", "salt", "commitment", "previous", "hash", "recorded_at", "seq"]
)
async def test_the_walk_finds_whatever_was_changed_behind_our_back(
    database: Database, register: Register, column: str
) -> None:
    said = [Statement(address=f"p{number}@example.org", consent=G) for number in range(3)]
    await register.record(said, source=API, actor="test", now=NOW)
    rows = await ledger(database)
    content = rows[1]["content"].replace("granted", "denied ")
    forged: dict[str, object] = {"content": content, "recorded_at": day(1), "seq": 99}
    await database.change(
        lambda connection: connection.execute(
            update(consent_ledger)
            .where(consent_ledger.c.seq == 2)
            .values(**{column: forged.get(column, rows[0][column])})
        )
    )
    with pytest.raises(AssertionError):
        verified(await ledger(database))


async def test_writers_in_two_processes_keep_one_chain(store_url: str, ring: KeyRing) -> None:
    databases = [await Database.open(store_url, ask_within=20, write_within=30) for _ in range(2)]
    try:
        work: list[Any] = []
        for number in range(40):
            database = databases[number % 2]
            said = [
                Statement(
                    address=f"p{(number * 7 + n) % 30}@example.org",
                    consent=(G, D)[number % 2],
                    evidence=PROOF,
                )
                for n in range(5)
            ]
            work.append(Register(database, ring).record(said, source=API, actor="test", now=day(number)))
            if number % 10 == 0:
                work.append(
                    Erasure(database, ring).erase(f"p{number}@example.org", actor="test", now=day(number))
                )
        await asyncio.gather(*work)
        rows = await ledger(databases[0])
        verified(rows)
        assert len(rows) > 100
        addresses = [row["address"] for row in (await dump(databases[0]))["contacts"] if row["address"]]
        assert len(addresses) == len(set(addresses))
    finally:
        for database in databases:
            await database.close()


async def test_somebody_new_may_be_spoken_of_and_written_to_in_the_same_moment(
    store_url: str, ring: KeyRing
) -> None:
    left, right = [await Database.open(store_url, ask_within=20, write_within=30) for _ in range(2)]
    try:
        for number in range(1, 15):
            address = f"p{number}@example.org"
            said = Statement(address=address, consent=G)
            delivery = a_delivery(number, address, mode=Mode.HYGIENE, message_id=id_of(number))
            results = await asyncio.gather(
                record(left, a_message(number), delivery),
                Register(right, ring).record([said], source=API, actor="test", now=NOW),
            )
            assert results[1][0].effect is CHANGED
        assert [row["tracking_consent"] for row in (await dump(left))["contacts"]] == ["granted"] * 14
    finally:
        await left.close()
        await right.close()


async def test_a_full_batch_is_taken_down_in_one_go(
    database: Database, ring: KeyRing, register: Register
) -> None:
    people = [f"p{number}@example.org" for number in range(MOST_CHANGES)]
    said = [Statement(address=address, consent=G) for address in people]
    results = await register.record(said, source=IMPORT, actor="test", now=NOW)
    assert {result.effect for result in results} == {CHANGED}
    assert verified(await ledger(database)) == MOST_CHANGES
    again = await register.record(said, source=IMPORT, actor="test", now=day(1))
    assert {result.effect for result in again} == {UNCHANGED}
    assert len(await ledger(database)) == MOST_CHANGES


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("consent", "tracking_consent"),
        ("Tracking Consent", "tracking_consent"),
        ("tracking-consent", "tracking_consent"),
        ("tracking_consnet", "tracking_consent"),
        ("opt-out", "tracking_consent"),
        ("DNT", "do_not_track"),
        ("DoNotTrack", "do_not_track"),
        ("contry", "country"),
        ("asof", "as_of"),
    ],
)
def test_what_was_surely_meant_as_ours_is_no_attribute(name: str, meant: str) -> None:
    with pytest.raises(InvalidValue, match=f"did you mean {meant}"):
        parse_statement("joe@people.example", {name: "denied"}, evidence={})


@pytest.mark.parametrize("name", ["plan", "city", "department", "lead_score", "Kundennummer"])
def test_an_attribute_of_one_s_own_may_have_any_other_name(name: str) -> None:
    assert parse_statement("joe@people.example", {name: "x"}, evidence={}).attributes == {name: "x"}


# Many at once

SAID = st.builds(
    Statement,
    address=st.sampled_from([f"p{number}@example.org" for number in (*range(4), *range(100, 160))]),
    consent=st.sampled_from([None, G, D, W, UNKNOWN]),
    do_not_track=st.sampled_from([None, *DoNotTrack]),
    country=st.sampled_from([None, "", "FR"]),
    group=st.sampled_from([None, "", "staff"]),
    attributes=st.sampled_from([{}, {"a": "1"}, {"a": "", "b": "é"}]),
    as_of=st.sampled_from([None, day(-2), day(-1), day(0)]),
    evidence=st.sampled_from([{}, PROOF]),
)


@settings(max_examples=examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(st.tuples(SAID, st.sampled_from([PAGE, API])), max_size=5),
    erased=st.sampled_from([None, "p0@example.org"]),
    said=st.lists(SAID, min_size=60, max_size=70),
)
async def test_statements_taken_down_together_come_to_the_same_as_one_by_one(
    before: list[tuple[Statement, Source]],
    erased: str | None,
    said: list[Statement],
    database: Database,
    ring: KeyRing,
) -> None:
    """Batches are weighed before their transaction and written in bulk, those of a file even before anything is known;
    single statements inside, one at a time."""
    outcomes = []
    for way in ("at once", "foreseen", "one by one"):
        await database.write(*((delete(table), [{}]) for table in (contacts, consent_ledger)))
        register = Register(database, ring)
        for statement, source in before:
            await register.record([statement], source=source, actor="test", now=day(1))
        if erased:
            await Erasure(database, ring).erase(erased, actor="test", now=day(2))
        if way == "foreseen":
            results = await foreseen(database, register, said, Speaker(source=IMPORT, actor="t", now=day(3)))
        else:
            batches = [said] if way == "at once" else [[one] for one in said]
            results = [
                one
                for some in batches
                for one in await register.record(some, source=IMPORT, actor="t", now=day(3))
            ]
        rows = await ledger(database)
        verified(rows)
        people = {row["id"]: row.pop("address") for row in (await dump(database))["contacts"]}
        kept = sorted(
            str({**row, "id": 0, "address": people[row["id"]]}) for row in (await dump(database))["contacts"]
        )
        outcomes.append((results, kept, [(people.get(row["contact_id"]), row["content"]) for row in rows]))
    assert outcomes[0] == outcomes[1] == outcomes[2]


async def foreseen(
    database: Database, register: Register, said: list[Statement], speaker: Speaker
) -> list[Recorded]:
    """What an import does with them."""
    named = [(one.address, one) for one in said]
    (engine, *_) = database.engines
    newcomers = [Newcomer(*one) for one in foresee(named, speaker, Standing(engine.dialect).row)]
    taken = await register.take_newcomers(newcomers, lambda place: (said[place], speaker), speaker.now)
    return taken.recorded


async def test_who_changes_between_weighing_and_writing_is_weighed_anew(
    database: Database, ring: KeyRing
) -> None:
    """The batch is weighed, somebody withdraws, the batch is written: the withdrawal stands."""
    register = Register(database, ring)

    class Interrupted(Bulk):
        async def read(self, work: Any, *, within: float = 30) -> Any:
            result = await super().read(work)
            await register.record([Statement(address=BOB, consent=W)], source=PAGE, actor="bob", now=day(1))
            return result

    said = [(f"p{number}@example.org", Statement(address="", consent=G)) for number in range(60)]
    async with Interrupted.of(database) as bulk:
        taken = await register.take_down(
            [*said, (BOB, Statement(address=BOB, consent=G))],
            Speaker(source=IMPORT, actor="t", now=day(2)),
            store=bulk,
        )
    assert [one.effect for one in taken.recorded] == [CHANGED] * 60 + [NOT_EFFECTIVE]
    assert (await bob(database, ring)).consent is W
    rows = await ledger(database)
    verified(rows)
    assert json.loads(rows[-1]["content"])["old"] == "withdrawn"


@given(
    content=st.dictionaries(
        st.text(max_size=8), st.one_of(st.text(), st.booleans(), st.dictionaries(st.text(), st.text()))
    )
)
def test_a_row_s_content_has_one_spelling(content: dict[str, Any]) -> None:
    assert canonical(content) == json.dumps(content, sort_keys=True, separators=(",", ":"))
    keys = ("actor", "address", "as_of", "attribute", "new", "old", "source")
    words = [one for one in content.values() if isinstance(one, str)] or [""]
    stated = {key: words[number % len(words)] for number, key in enumerate(keys)}
    stated |= {"effective": len(words) > 1, "evidence": {key: str(one) for key, one in content.items()}}
    assert canonical(stated) == json.dumps(stated, sort_keys=True, separators=(",", ":"))
