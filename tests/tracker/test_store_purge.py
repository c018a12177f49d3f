"""The purge takes what has expired and nothing else, and finished reports keep their numbers."""

from __future__ import annotations

import asyncio
import random
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from support.lives import PEOPLE, hit, newsletter, numbers, read_by_all
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    IDENTIFIED,
    UNTRACKED,
    Mail,
    changed,
    configuration,
    dump,
    opened,
    say,
    send,
    to_joe,
)

from tracker.config import RetentionTable
from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import VerdictKind
from tracker.reports.message import report_message
from tracker.store.requests import RequestKind
from tracker.store.schema import contacts, deliveries, mailings

TODAY = date(2027, 5, 1)
NOW = datetime(2027, 5, 1, 12, tzinfo=UTC)
EXPIRED = datetime(2024, 5, 1, 23, 59, tzinfo=UTC)
KEPT = datetime(2024, 5, 2, 0, 0, tzinfo=UTC)


async def test_what_expired_goes_and_what_did_not_stays(domain: Domain) -> None:
    old = await newsletter(domain, EXPIRED, campaign="old")
    new = await newsletter(domain, KEPT, campaign="new")
    for copies, at in ((old, EXPIRED), (new, KEPT)):
        for copy in copies.values():
            await hit(domain, copy, at)
    due = await domain.purge.due(TODAY)
    assert asdict(due) == {"events": 6, "messages": 1, "deliveries": 6} | dict.fromkeys(
        ("open_days", "requests", "conversions", "originals"), 0
    )
    assert await domain.purge.run(TODAY) == due
    left = await dump(domain)
    names = [column.name for column in deliveries.c]
    assert {row[names.index("message_id")] for row in left["deliveries"]} == {new[PEOPLE[0]].message}
    assert len(left["events"]) == len(left["attempts"]) == 6
    assert not any(asdict(await domain.purge.due(TODAY)).values())
    before = await dump(domain)
    await domain.purge.run(TODAY)
    assert await dump(domain) == before


async def test_the_day_before_nothing_goes(domain: Domain) -> None:
    await read_by_all(domain, await newsletter(domain, EXPIRED), EXPIRED)
    before = await dump(domain)
    assert not any(asdict(await domain.purge.run(TODAY - timedelta(days=1))).values())
    assert await dump(domain) == before


async def test_a_message_s_report_is_the_same_before_and_after(domain: Domain) -> None:
    to = dict.fromkeys(PEOPLE, IDENTIFIED) | {
        "a@other.example": ANONYMOUS,
        "b@other.example": AGGREGATE,
        "c@other.example": UNTRACKED,
    }
    copies = await send(domain, Mail(to=to, received_at=EXPIRED))
    await read_by_all(domain, {person: copies[person] for person in PEOPLE}, EXPIRED)
    before = await numbers(domain, copies)
    assert before["identified"]["opened"]["unique"] == len(PEOPLE), "this would show nothing"
    await domain.purge.run(TODAY)
    assert await numbers(domain, copies) == before
    left = await dump(domain)
    assert left["deliveries"] == left["events"] == left["attempts"] == left["audience_members"] == []
    assert "people.example" not in str(left)


@pytest.mark.parametrize("seed", range(4))
async def test_reports_stay_the_same_whatever_order_events_and_people_go_in(
    store_url: str, tmp_path: Path, seed: int
) -> None:
    """Events expire by their own day, people are erased in between, and at last the message itself goes."""
    chance = random.Random(seed)
    config = configuration(store_url, tmp_path, retention=RetentionTable(events_years=1, messages_years=3))
    async with opened(config) as domain:
        at = datetime(2024, 2, 27, 12, tzinfo=UTC)
        copies = await newsletter(domain, at)
        for _ in range(60):
            copy = copies[chance.choice(PEOPLE)]
            link = chance.choice([None, None, 1, 2])
            when = at + timedelta(hours=chance.randrange(120))
            await hit(domain, copy, when, link=link, verdict=chance.choice(list(VerdictKind)))
        before = await numbers(domain, copies)
        for day in (date(2025, 2, 28), date(2025, 3, 1), date(2025, 3, 2)):
            await domain.purge.run(day)
            assert await numbers(domain, copies) == before
            await domain.erasure.erase(chance.choice(PEOPLE), actor="test", now=NOW)
            assert await numbers(domain, copies) == before
        await domain.purge.run(TODAY)
        assert await numbers(domain, copies) == before
        assert (await dump(domain))["events"] == []


async def test_messages_to_one_person_each_leave_their_mailing_s_totals_and_nothing_of_their_own(
    domain: Domain,
) -> None:
    copies = {}
    for person in PEOPLE:
        mail = Mail(to={person: IDENTIFIED}, received_at=EXPIRED, subject=f"Dear {person}")
        copies |= await send(domain, mail)
    await read_by_all(domain, copies, EXPIRED)
    await domain.purge.run(TODAY)
    with pytest.raises(NotFound):
        await report_message(domain, copies[PEOPLE[0]].message)
    left = await dump(domain)
    assert left["messages"] == left["deliveries"] == left["events"] == []
    later = await newsletter(domain, KEPT)
    assert (await numbers(domain, later))["mailing_counts"] == [
        {"scope": "carried", "group": "", "kind": "clicked", "link": 1, "count": 6},
        {"scope": "carried", "group": "", "kind": "clicked", "link": 2, "count": 3},
        {"scope": "carried", "group": "", "kind": "opened", "link": None, "count": 12},
    ]
    people = {(row[2], row[4]): row[6] for row in left["carried_totals"] if row[1] == "people"}
    assert people == {("opened", 0): 6, ("clicked", 0): 3, ("clicked", 1): 3, ("clicked", 2): 3}
    assert [row[-1] for row in left["carried_deliveries"]] == [6]


async def test_too_few_in_a_mailing_leave_only_a_total_of_the_sender_s_month(domain: Domain) -> None:
    copies = await newsletter(domain, EXPIRED, PEOPLE[:4], campaign="tiny")
    await read_by_all(domain, copies, EXPIRED)
    await domain.purge.run(TODAY)
    left = await dump(domain)
    assert {(row[1], row[4], row[5]) for row in left["carried_totals"]} == {("hits", 0, "2024-05")}
    [month] = left["mailings"]
    assert month[[column.name for column in mailings.c].index("kind")] == "sender-month"
    assert left["messages"] == []


async def test_many_recipients_of_whom_few_were_measured_keep_their_heading_and_hide_the_few(
    domain: Domain,
) -> None:
    to = {f"d{number}@people.example": UNTRACKED for number in range(150)} | {
        "only@people.example": IDENTIFIED
    }
    copies = await send(domain, Mail(to=to, received_at=EXPIRED))
    await hit(domain, copies["only@people.example"], EXPIRED)
    before = await numbers(domain, copies)
    await domain.purge.run(TODAY)
    after = await numbers(domain, copies)
    assert after["identified"]["opened"]["total"] == 0
    assert {key: after[key] for key in ("deliveries", "delivered", "not_trackable")} == {
        key: before[key] for key in ("deliveries", "delivered", "not_trackable")
    }
    assert copies["only@people.example"].message not in {
        row[0] for row in (await dump(domain))["carried_totals"]
    }


async def test_days_of_a_last_open_and_settled_requests_go_too(domain: Domain) -> None:
    for number, day in enumerate(("2024-05-01", "2024-05-02")):
        await say(domain, PEOPLE[number], "granted")
        await domain.database.change(
            lambda connection, number=number, day=day: connection.execute(
                update(contacts).where(contacts.c.address == PEOPLE[number]).values(last_open_day=day)
            )
        )
    asked = [await domain.requests.ask(person, RequestKind.EXPORT, EXPIRED) for person in PEOPLE[:3]]
    await domain.requests.done(asked[0].id, EXPIRED)
    await domain.requests.refuse(asked[1].id, KEPT, note="not you")
    due = await domain.purge.due(TODAY)
    assert (due.open_days, due.requests) == (1, 1)
    assert await domain.purge.run(TODAY) == due
    days = await domain.database.read(
        lambda connection: connection.execute(select(contacts.c.last_open_day).order_by(contacts.c.id)).all()
    )
    assert [row[0] for row in days] == [None, "2024-05-02", None]
    assert [one.id for one in await domain.requests.list(None)] == [asked[2].id, asked[1].id]


async def test_hits_on_what_was_purged_leave_nothing(domain: Domain) -> None:
    copy = await to_joe(domain, received_at=EXPIRED)
    await domain.purge.run(TODAY)
    before = await dump(domain)
    await hit(domain, copy, NOW)
    assert changed(before, await dump(domain)) == {}


async def test_purges_and_erasures_at_once_lose_and_double_nothing(store_url: str, tmp_path: Path) -> None:
    """Two nodes purge while people are erased and others read their mail."""
    config = configuration(store_url, tmp_path, retention=RetentionTable(events_years=1, messages_years=9))
    people = [f"q{number}@people.example" for number in range(30)]
    async with opened(config) as left, opened(config) as right:
        copies = await newsletter(left, EXPIRED, people)
        await asyncio.gather(
            *(hit(left, copy, EXPIRED, link=1) for copy in copies.values() for _ in range(8))
        )
        readers = people[20:]
        await asyncio.gather(
            left.purge.run(TODAY),
            right.purge.run(TODAY),
            *(right.erasure.erase(person, actor="test", now=NOW) for person in people[:10]),
            *(hit(left, copies[person], NOW) for person in readers),
        )
        found = await numbers(left, copies)
    assert found["identified"]["clicked"]["total"] == 240
    assert found["identified"]["clicked"]["unique"] == 30
    assert found["identified"]["clicked"]["delivered"] == 30
    assert [(one["unique"], one["total"]) for one in found["links"]] == [(30, 240), (0, 0)]
    assert found["identified"]["opened"]["total"] == len(readers)


async def test_a_purge_that_is_broken_off_is_gone_on_with(domain: Domain) -> None:
    """One transaction takes so many; the rest of a message's people count with them all the same."""
    people = [f"q{number}@people.example" for number in range(230)]
    copies = await newsletter(domain, EXPIRED, people)
    await asyncio.gather(*(hit(domain, copy, EXPIRED) for copy in copies.values()))
    before = await numbers(domain, copies)
    message = copies[people[0]].message
    for left in (130, 30):
        await domain.database.change(
            lambda connection: domain.purge._remove_messages(connection, 100, [message])
        )
        assert len((await dump(domain))["deliveries"]) == left
        assert await numbers(domain, copies) == before
    task = asyncio.create_task(domain.purge.run(TODAY))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await domain.purge.run(TODAY)
    assert await numbers(domain, copies) == before
    assert [row[0] for row in (await dump(domain))["messages"]] == [message]


async def test_a_new_configuration_counts_from_now_on(domain: Domain) -> None:
    await read_by_all(domain, await newsletter(domain, KEPT), KEPT)
    assert (await domain.purge.due(TODAY)).events == 0
    shorter = RetentionTable(events_years=1, messages_years=2)
    domain.reconfigure(domain.config.model_copy(update={"retention": shorter}))
    assert (await domain.purge.due(TODAY)).deliveries == len(PEOPLE)


async def test_who_is_erased_leaves_the_audience_of_mail_that_was_purged(domain: Domain) -> None:
    """The mailing goes on, so its audience stays; nothing but the person's key in it leads to them."""
    to = dict.fromkeys((*PEOPLE, "joe@people.example"), ANONYMOUS)
    await send(domain, Mail(to=to, received_at=EXPIRED, campaign="weekly"))
    await send(domain, Mail(to=dict.fromkeys(PEOPLE, ANONYMOUS), received_at=KEPT, campaign="weekly"))
    await domain.purge.run(TODAY)
    assert len((await dump(domain))["audience_members"]) == len(to)
    await domain.erasure.erase("joe@people.example", actor="test", now=NOW)
    assert len((await dump(domain))["audience_members"]) == len(PEOPLE)
