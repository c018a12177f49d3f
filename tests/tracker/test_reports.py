"""A message in numbers, against a count by hand over whatever may have happened."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    IDENTIFIED,
    UNTRACKED,
    URLS,
    Copy,
    Mail,
    configuration,
    opened,
    send,
)
from support.web import serving

from tracker.consent import Decision, Mode
from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import Event, EventKind, Verdict, VerdictKind
from tracker.reports.message import MessageReport, report_message
from tracker.store.deliveries import Attempt, settling
from tracker.store.events import recording

DECISIONS = (IDENTIFIED, IDENTIFIED, IDENTIFIED, ANONYMOUS, AGGREGATE, UNTRACKED)
STATUSES = ("accepted", "accepted", "rejected", "deferred", "new")


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


async def a_random_message(
    domain: Domain, chance: random.Random, variant: str | None = None
) -> tuple[list[Copy], dict[bytes, str]]:
    """One message whose deliveries ended in every way; the status of each."""
    copies: list[Copy] = []
    statuses: dict[bytes, str] = {}
    people: dict[str, Decision] = {
        f"p{n}@people.example": chance.choice(DECISIONS) for n in range(chance.randint(1, 12))
    }
    sent = await send(domain, Mail(to=people, status="new", variant=variant))
    for copy in sent.values():
        status = chance.choice(STATUSES)
        copies.append(copy)
        statuses[copy.delivery] = status
        if status != "new":
            attempt = Attempt(
                delivery_id=copy.delivery,
                at=datetime.now(UTC),
                status=status,
                host="mx",
                tls=None,
                code=250,
                enhanced="",
                text="",
            )
            await domain.database.write(*settling([attempt]))
    return copies, statuses


def a_random_event(copy: Copy, chance: random.Random) -> Event:
    kind = chance.choice(list(EventKind))
    return Event(
        kind=kind,
        at=datetime.now(UTC),
        message=copy.message,
        delivery=copy.delivery,
        link=chance.randint(1, len(URLS)) if kind is EventKind.CLICKED else None,
        verdict=Verdict(kind=chance.choice(list(VerdictKind)), rules=1),
    )


COUNTED = (VerdictKind.PERSON, VerdictKind.PROXY)
MACHINES = (VerdictKind.PREFETCH, VerdictKind.SCANNER)


def check(report: MessageReport, copies: list[Copy], statuses: dict[bytes, str], events: list[Event]) -> None:
    """The report against a count over the lists it was made from."""
    assert report.figures.statuses == Counter(statuses.values())
    assert report.figures.delivered == sum(status == "accepted" for status in statuses.values())
    named = [one for one in copies if one.decision.mode is Mode.IDENTIFIED]
    assert report.figures.trackable_delivered == sum(statuses[one.delivery] == "accepted" for one in named)
    assert sum(report.figures.not_trackable.values()) == len(copies) - len(named)
    for kind in EventKind:
        theirs = [one for one in events if one.kind is kind]
        human = [one for one in theirs if one.verdict.kind in COUNTED]
        found = report.figures.identified[kind]
        assert found.unique == len({one.delivery for one in human})
        counted = {one.delivery for one in human if statuses[one.delivery] == "accepted"}
        assert found.delivered == len(counted)
        if report.figures.trackable_delivered:
            assert report.figures.share(kind).rate == len(counted) / report.figures.trackable_delivered
        assert found.total == len(human)
        assert found.machines == sum(one.verdict.kind in MACHINES for one in theirs)
        assert found.unsure == sum(one.verdict.kind is VerdictKind.UNSURE for one in theirs)
        assert found.total + found.machines + found.unsure == len(theirs)
    for link in report.links:
        clicks = [one for one in events if one.link == link.number and one.verdict.kind in COUNTED]
        assert (link.unique, link.total) == (len({one.delivery for one in clicks}), len(clicks))
        assert link.url == URLS[link.number - 1]


@pytest.mark.parametrize("seed", range(6))
async def test_a_report_agrees_with_a_count_by_hand(seed: int, domain: Domain) -> None:
    chance = random.Random(seed)
    messages = [await a_random_message(domain, chance) for _ in range(3)]
    happened: dict[bytes, list[Event]] = {copies[0].message: [] for copies, _ in messages}
    for copies, _ in messages:
        measured = [one for one in copies if one.decision is IDENTIFIED]
        for _ in range(chance.randint(0, 30) if measured else 0):
            event = a_random_event(chance.choice(measured), chance)
            happened[event.message].append(event)
            await domain.database.write(recording(event))
    for copies, statuses in messages:
        message = copies[0].message
        report = await report_message(domain, message)
        assert (report.id, report.subject, report.mailing) == (message, "Apples are here", "apples")
        check(report, copies, statuses, happened[message])


async def test_a_rate_is_a_share_of_what_was_delivered_and_measured_by_name(domain: Domain) -> None:
    people = {
        "a@x.example": IDENTIFIED,
        "b@x.example": IDENTIFIED,
        "c@x.example": ANONYMOUS,
        "d@x.example": UNTRACKED,
    }
    copies = await send(domain, Mail(to=people))
    message = copies["a@x.example"].message
    async with serving(domain) as (client, _):
        for _ in range(3):
            await client.ask(copies["a@x.example"].pixel)
    report = await report_message(domain, message)
    assert report.figures.share(EventKind.OPENED).rate == 0.5
    assert report.figures.share(EventKind.CLICKED).rate == 0.0
    assert report.figures.identified[EventKind.OPENED].total == 3


async def test_where_nobody_was_measured_there_is_no_rate(domain: Domain) -> None:
    copies = await send(domain, Mail(to={"d@x.example": UNTRACKED}))
    report = await report_message(domain, copies["d@x.example"].message)
    assert report.figures.share(EventKind.OPENED).rate is None
    assert report.as_json()["identified"]["opened"]["rate"] is None
    assert report.figures.not_trackable == {"denied": 1}


async def test_counts_without_names_stand_beside_and_belong_to_the_mailing(domain: Domain) -> None:
    people = {f"p{n}@x.example": ANONYMOUS for n in range(5)} | {
        f"q{n}@x.example": AGGREGATE for n in range(5)
    }
    first, second = [await send(domain, Mail(to=people)) for _ in range(2)]
    async with serving(domain) as (client, _):
        for copies in (first, second):
            await client.ask(copies["p0@x.example"].link(2))
            await client.ask(copies["q0@x.example"].pixel)
    report = await report_message(domain, first["q0@x.example"].message)
    counted = {(one["scope"], one["kind"], one["link"]): one["count"] for one in report.mailing_counts}
    assert counted == {("group", "clicked", 2): 2, ("aggregate", "opened", None): 2}
    assert report.figures.identified[EventKind.CLICKED].total == 0


async def test_a_message_there_is_not_has_no_report(domain: Domain) -> None:
    with pytest.raises(NotFound):
        await report_message(domain, bytes(16))
