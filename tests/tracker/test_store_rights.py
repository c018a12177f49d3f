"""What a person may ask for: everything that is kept of them, and a past that names nobody."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from support.lives import PEOPLE, hit, newsletter, numbers, read_by_all
from support.stores import dump as dump_all
from support.tracking import (
    ANONYMOUS,
    HYGIENE,
    IDENTIFIED,
    JOE,
    UNTRACKED,
    Mail,
    dump,
    erase,
    say,
    send,
    to_joe,
)

from tracker.consent import Consent
from tracker.domain import Domain
from tracker.errors import InvalidAddress, InvalidValue, NotFound
from tracker.events import VerdictKind
from tracker.statements import Statement
from tracker.store.counts import noting_hygiene
from tracker.store.register import Effect, Source
from tracker.store.requests import RequestKind, RequestState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def anonymize(domain: Domain, address: str = JOE) -> tuple[int, int]:
    """Events and deliveries that were made anonymous."""
    found = await domain.rights.anonymize(address, source=Source.CLI, actor="test", now=datetime.now(UTC))
    return found.events, found.deliveries


# --- export ---


async def test_an_export_holds_everything(domain: Domain) -> None:
    await say(
        domain,
        JOE,
        "granted",
        group="sales",
        country="FR",
        attributes={"size": "44"},
        evidence={"form": "f1"},
    )
    copies = await send(
        domain, Mail(to={JOE: IDENTIFIED, "ann@people.example": IDENTIFIED}, groups={JOE: "sales"})
    )
    await hit(domain, copies[JOE], NOW)
    await hit(domain, copies[JOE], NOW, link=2)
    await hit(domain, copies["ann@people.example"], NOW, link=1)
    await send(domain, Mail(to={JOE: ANONYMOUS}, campaign="pears", status="deferred"))
    await send(domain, Mail(to={JOE: ANONYMOUS}, campaign="plums"))
    await domain.requests.ask(JOE, RequestKind.EXPORT, NOW)
    found = await domain.rights.export(f" {JOE.upper()} ", NOW)
    assert json.loads(json.dumps(found)) == found
    assert (found["format"], found["status"], found["address"]) == ("candor export 1", "active", JOE)
    assert (found["contact"]["group"], found["contact"]["attributes"]) == ("sales", {"size": "44"})
    [row] = found["ledger"]
    assert row["holds"]
    assert (row["said"]["new"], row["said"]["evidence"]) == ("granted", {"form": "f1"})
    assert len(found["deliveries"]) == 3
    by_mailing = {one["message"]["mailing"]: one for one in found["deliveries"]}
    apples = by_mailing["apples"]
    assert apples["message"]["subject"] == "Apples are here"
    assert (apples["mode"], apples["reason"], apples["status"]) == ("identified", "granted", "accepted")
    assert [(one["kind"], one["link"], one["url"]) for one in apples["events"]] == [
        ("opened", None, None),
        ("clicked", 2, "https://shop.example/stories"),
    ]
    assert [one["code"] for one in by_mailing["pears"]["attempts"]] == [451]
    assert found["audiences"] == [{"mailing": "plums", "mode": "anonymous", "group": ""}]
    assert [(one["kind"], one["state"]) for one in found["requests"]] == [("export", "open")]
    assert "ann@people.example" not in json.dumps(found)


async def test_of_more_deliveries_than_one_question_takes_none_is_missing(domain: Domain) -> None:
    copies = [await to_joe(domain, campaign=f"c{number}") for number in range(210)]
    await asyncio.gather(*(hit(domain, copy, NOW) for copy in copies))
    found = await domain.rights.export(JOE, NOW)
    assert {one["id"] for one in found["deliveries"]} == {copy.delivery.hex() for copy in copies}
    assert all(len(one["events"]) == len(one["attempts"]) == 1 for one in found["deliveries"])


async def test_who_got_mail_and_never_said_anything_is_exported_too(domain: Domain) -> None:
    await to_joe(domain, UNTRACKED)
    found = await domain.rights.export(JOE, NOW)
    assert (found["status"], found["contact"], len(found["deliveries"])) == ("unknown", None, 1)


async def test_of_an_erased_person_it_says_so(domain: Domain) -> None:
    await say(domain, JOE, "granted")
    await to_joe(domain)
    await erase(domain, JOE)
    found = await domain.rights.export(JOE, NOW)
    assert found["status"] == "erased"
    assert "keyed hash" in found["note"]
    assert JOE not in json.dumps(found)


async def test_of_whom_nothing_is_kept_nothing_is_exported(domain: Domain) -> None:
    with pytest.raises(NotFound, match="nothing is kept of nobody@"):
        await domain.rights.export("nobody@people.example", NOW)
    with pytest.raises(InvalidAddress):
        await domain.rights.export("nobody", NOW)


async def test_who_comes_back_with_fresh_evidence_has_a_new_life_and_nothing_of_the_old(
    domain: Domain,
) -> None:
    await say(domain, JOE, "granted", group="sales", evidence={"form": "old"})
    await hit(domain, await to_joe(domain), NOW)
    await domain.requests.ask(JOE, RequestKind.ERASE, NOW)
    await erase(domain, JOE)
    await domain.requests.ask(JOE, RequestKind.EXPORT, NOW)
    erased_at = datetime.now(UTC)
    grant = Statement(address=JOE, consent=Consent.GRANTED, evidence={"form": "new"})
    [said] = await domain.register.record([grant], source=Source.API, actor="test", now=datetime.now(UTC))
    assert said.effect is Effect.CHANGED
    await hit(domain, await to_joe(domain, subject="Welcome back"), NOW)
    found = await domain.rights.export(JOE, NOW)
    assert (found["status"], found["address"], found["contact"]["group"]) == ("active", JOE, None)
    # What the ledger keeps of the old life is that it ended.
    assert [row["said"].get("evidence") for row in found["ledger"]] == [None, {"form": "new"}]
    [delivery] = found["deliveries"]
    assert (delivery["message"]["subject"], len(delivery["events"])) == ("Welcome back", 1)
    assert (await domain.contacts.show(JOE)).created_at >= erased_at
    assert [(one["kind"], one["state"]) for one in found["requests"]] == [("export", "open")]
    listed = {one.kind: one.address for one in await domain.requests.list(None)}
    assert listed == {RequestKind.ERASE: None, RequestKind.EXPORT: JOE}, "what was settled stays as nobody's"
    assert (await domain.proof.verify()).broken is None


# --- erasure, as reports and the next reader see it ---


async def test_erasure_changes_no_number_of_a_message_to_many(domain: Domain) -> None:
    copies = await newsletter(domain, NOW)
    await read_by_all(domain, copies, NOW)
    before = await numbers(domain, copies)
    for person in PEOPLE[:-1]:
        await erase(domain, person)
        assert await numbers(domain, copies) == before
    await erase(domain, PEOPLE[-1])
    # Nobody with a name got it any more: what was written for them is gone, what it added up to is not.
    unnamed = [{**one, "url": "", "text": ""} for one in before["links"]]
    assert await numbers(domain, copies) == {**before, "subject": "", "links": unnamed}


async def test_what_was_written_for_one_person_goes_with_them(domain: Domain) -> None:
    customer = (("customer", "joe"),)
    mine = await to_joe(
        domain, subject="Dear Joe", urls=("https://shop.example/?customer=joe",), metadata=customer
    )
    both = await send(
        domain,
        Mail(
            to={JOE: IDENTIFIED, "ann@people.example": IDENTIFIED}, subject="Dear all", urls=("https://all",)
        ),
    )
    await hit(domain, mine, NOW, link=1)
    await erase(domain, JOE)
    left = str(await dump(domain))
    assert "joe" not in left.lower().replace("joe@shop", "")
    assert "Dear all" in left
    assert "https://all" in left
    shown = await domain.deliveries.show(mine.message)
    assert (shown["subject"], shown["from"], shown["deliveries"][0]["recipient"]) == (
        "",
        "news@shop.example",
        None,
    )
    await erase(domain, "ann@people.example")
    assert "Dear all" not in str(await dump(domain))
    assert (await domain.deliveries.show(both[JOE].message))["deliveries"][0]["status"] == "accepted"


async def test_a_single_person_s_hits_are_carried_where_they_point_to_nobody(domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW, link=1)
    await erase(domain, JOE)
    totals = (await dump(domain))["carried_totals"]
    assert [(row[1], row[4], len(row[5]), row[6]) for row in totals] == [("hits", 0, 7, 1)]


async def test_who_has_more_mail_than_one_transaction_takes_is_erased_whole(domain: Domain) -> None:
    await say(domain, JOE, "granted")
    copies = [
        await to_joe(domain, decision, campaign=f"c{n % 3}")
        for n in range(60)
        for decision in (IDENTIFIED, ANONYMOUS)
    ]
    await asyncio.gather(*(hit(domain, copy, NOW) for copy in copies[::2]))
    assert await domain.erasure.erase(JOE, actor="test", now=NOW) == 60
    left = await dump(domain)
    assert JOE not in str(left)
    assert left["audience_members"] == left["events"] == []
    assert len(left["deliveries"]) == 120


async def test_hits_and_mail_that_come_while_somebody_is_erased_leave_nothing(
    domain: Domain, store_url: str
) -> None:
    for _ in range(3):
        await say(domain, JOE, "granted", evidence={"form": "again"})
        copies = [await to_joe(domain, campaign="apples") for _ in range(55)]
        await asyncio.gather(
            *(hit(domain, copy, NOW) for copy in copies),
            erase(domain, JOE),
            *(to_joe(domain, decision) for decision in (IDENTIFIED, ANONYMOUS, HYGIENE) * 5),
            *(hit(domain, copy, NOW) for copy in copies),
        )
        left = await dump_all(domain.database)
        assert JOE not in str(left)
        assert left["events"] == left["audience_members"] == []


# --- anonymise ---


async def test_past_events_become_counts_that_name_nobody(domain: Domain) -> None:
    await say(domain, JOE, "granted")
    others = [f"d{number}@people.example" for number in range(4)]
    copies = await send(domain, Mail(to={JOE: IDENTIFIED} | dict.fromkeys(others, ANONYMOUS)))
    await hit(domain, copies[JOE], NOW)
    await hit(domain, copies[JOE], NOW + timedelta(days=1), link=2)
    await hit(domain, copies[JOE], NOW, verdict=VerdictKind.PREFETCH)
    assert await anonymize(domain) == (3, 1)
    left = await dump(domain)
    assert left["events"] == []
    assert sorted((row[3], row[4], row[5], row[6]) for row in left["counts"]) == [
        ("clicked", 2, "2026-05-02", 1),
        ("opened", 0, "2026-05-01", 1),
    ]
    assert {row[1] for row in left["counts"]} == {"group"}, "with Joe they are five"
    found = await domain.rights.export(JOE, NOW)
    assert (found["contact"]["do_not_track"], found["contact"]["do_not_track_source"]) == ("true", "cli")
    assert found["ledger"][-1]["said"]["new"] == "true"
    [delivery] = found["deliveries"]
    assert (delivery["mode"], delivery["reason"], delivery["events"]) == ("anonymous", "anonymized", [])
    report = await numbers(domain, copies)
    assert report["not_trackable"]["anonymous: anonymized"] == 1
    assert await anonymize(domain) == (0, 0)


async def test_of_a_mail_that_was_opened_a_thousand_times_nothing_is_missed(domain: Domain) -> None:
    """More than one transaction takes, whichever right is exercised, and the numbers come to the same."""
    copies = await newsletter(domain, NOW)
    anna, bert, *_ = copies
    for person in (anna, bert):
        await asyncio.gather(*(hit(domain, copies[person], NOW + timedelta(seconds=n)) for n in range(350)))
    before = await numbers(domain, copies)
    assert await domain.erasure.erase(anna, actor="test", now=NOW) == 350
    assert await numbers(domain, copies) == before
    assert await anonymize(domain, bert) == (350, 1)
    left = await dump(domain)
    assert (left["events"], sum(row[-1] for row in left["counts"])) == ([], 350)
    assert await anonymize(domain, bert) == (0, 0)


async def test_where_too_few_would_hide_them_only_the_month_is_kept(domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW, link=1)
    await anonymize(domain)
    assert [(row[1], row[4], row[5]) for row in (await dump(domain))["counts"]] == [("month", 0, "2026-05")]


async def test_a_hit_that_was_decided_before_leaves_no_event_after(domain: Domain) -> None:
    copy = await to_joe(domain)
    await anonymize(domain)
    await hit(domain, copy, NOW)
    assert (await dump(domain))["events"] == []


async def test_hits_while_somebody_is_made_anonymous_leave_no_event(domain: Domain) -> None:
    copies = [await to_joe(domain) for _ in range(110)]
    await asyncio.gather(*(hit(domain, copy, NOW) for copy in copies), anonymize(domain))
    await anonymize(domain)
    assert (await dump(domain))["events"] == []


async def test_the_day_of_the_last_open_goes(domain: Domain) -> None:
    await say(domain, JOE, group="sales")
    person = await domain.contacts.show(JOE)
    await domain.database.write(noting_hygiene(person.id, NOW))
    await anonymize(domain)
    assert (await domain.contacts.show(JOE)).last_open_day is None


async def test_an_erased_person_has_no_past_to_be_made_anonymous(domain: Domain) -> None:
    await erase(domain, JOE)
    with pytest.raises(InvalidValue, match="was erased"):
        await anonymize(domain)


# --- requests ---


async def test_asking_again_is_the_same_request_until_it_is_settled(domain: Domain) -> None:
    asked = await asyncio.gather(*(domain.requests.ask(JOE, RequestKind.EXPORT, NOW) for _ in range(5)))
    first = asked[0]
    assert {one.id for one in asked} == {first.id}
    assert (first.address, first.state, first.asked_at) == (JOE, RequestState.OPEN, NOW)
    other = await domain.requests.ask(JOE, RequestKind.ERASE, NOW)
    assert [one.id for one in await domain.requests.list()] == [first.id, other.id]
    settled = await domain.requests.done(first.id, NOW, note="sent by post")
    assert (settled.state, settled.settled_at, settled.note) == (RequestState.DONE, NOW, "sent by post")
    again = await domain.requests.ask(JOE, RequestKind.EXPORT, NOW)
    assert again.id not in (first.id, other.id)
    assert [one.id for one in await domain.requests.list(None)] == [again.id, other.id, first.id]


async def test_a_request_is_settled_once(domain: Domain) -> None:
    asked = await domain.requests.ask(JOE, RequestKind.EXPORT, NOW)
    refused = await domain.requests.refuse(asked.id, NOW, note="asked twice this week")
    assert (refused.state, refused.note) == (RequestState.REFUSED, "asked twice this week")
    for settle in (domain.requests.done(asked.id, NOW), domain.requests.refuse(asked.id, NOW, note="x")):
        with pytest.raises(InvalidValue, match=f"request {asked.id} is refused already"):
            await settle
    with pytest.raises(NotFound, match="no request 99"):
        await domain.requests.done(99, NOW)


async def test_a_request_for_erasure_is_done_when_the_person_is_erased_and_not_before(domain: Domain) -> None:
    wish = await domain.requests.ask(JOE, RequestKind.ERASE, NOW)
    data = await domain.requests.ask(JOE, RequestKind.EXPORT, NOW)
    with pytest.raises(InvalidValue, match="candor contact erase"):
        await domain.requests.done(wish.id, NOW)
    await erase(domain, JOE)
    states = {one.id: (one.state, one.address) for one in await domain.requests.list(None)}
    assert states == {wish.id: (RequestState.DONE, None), data.id: (RequestState.REFUSED, None)}
