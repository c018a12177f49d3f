"""Reports are exact at every moment, whatever was rolled up: against a count by hand, and a rebuild."""

from __future__ import annotations

import asyncio
import json
import os
import random
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, delete, insert, update
from support.counting import (
    Count,
    check_times,
    engaged,
    said,
    said_days,
    said_outcomes,
    said_parts,
    silent,
    tables_of,
)
from support.stores import dump
from support.tracking import (
    ANONYMOUS,
    HYGIENE,
    IDENTIFIED,
    UNTRACKED,
    Copy,
    Mail,
    configuration,
    erase,
    opened,
    send,
)

from relay.store.returns import record as record_return
from tracker.cli.reports import report
from tracker.consent import Consent
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.events import Device, Event, EventKind, Verdict, VerdictKind
from tracker.measurable import by_name
from tracker.reports.dimensions import Dimension, by_dimension
from tracker.reports.domains import outcomes
from tracker.reports.engagement import leads, quiet
from tracker.reports.figures import scope_figures
from tracker.reports.mailing import report_mailing
from tracker.reports.overview import overview, people_active
from tracker.reports.sums import Scope
from tracker.reports.timeline import Unit, by_time
from tracker.reports.times import times_to
from tracker.rolling import Rolling
from tracker.statements import Statement
from tracker.store import rollups as rolling
from tracker.store.deliveries import Attempt, narrowing, settling
from tracker.store.events import recording
from tracker.store.register import Source
from tracker.store.rollups_rebuild import rebuild
from tracker.store.schema import deliveries, events, rollups

BEGIN = datetime(2026, 3, 27, 21, 40, tzinfo=UTC)
"""Two days before Berlin's clocks change."""
ZONES = (UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/St_Johns"))
PEOPLE = [f"p{n}@{'abc'[n % 3]}.example" for n in range(14)]
DECISIONS = (IDENTIFIED,) * 6 + (ANONYMOUS, HYGIENE, UNTRACKED)
DEVICES = (
    Device(),
    Device(client="Thunderbird", kind="desktop", system="Linux"),
    Device(client="Mail", kind="mobile", system="iOS"),
)


class World:
    """What may happen to a store with mail in it."""

    def __init__(self, domain: Domain, chance: random.Random) -> None:
        self.domain = domain
        self.chance = chance
        self.copies: list[Copy] = []
        self.erased: set[str] = set()

    async def send(self) -> None:
        chance = self.chance
        people = chance.sample(PEOPLE, chance.choice([1, 3, 12, 14]))
        mail = Mail(
            to={one: chance.choice(DECISIONS) for one in people},
            campaign=chance.choice(["apples", "pears"]),
            variant=chance.choice([None, "red", "blue"]),
            received_at=BEGIN + timedelta(minutes=chance.randrange(4 * 1440)),
            status=chance.choice(["accepted", "accepted", "new", "deferred", "rejected"]),
            groups={one: chance.choice(["sales", "it"]) for one in people if chance.random() < 0.7},
        )
        self.copies += (await send(self.domain, mail)).values()

    async def hit(self) -> None:
        measured = [one for one in self.copies if one.decision is IDENTIFIED]
        some = []
        for _ in range(self.chance.randint(1, 12) if measured else 0):
            copy = self.chance.choice(measured)
            kind = self.chance.choice(list(EventKind))
            at = copy.sent_at + timedelta(seconds=self.chance.choice([3, 20, 45, 900, 90_000, 260_000]))
            some.append(
                Event(
                    kind=kind,
                    at=at + timedelta(seconds=self.chance.randrange(40), microseconds=7),
                    message=copy.message,
                    delivery=copy.delivery,
                    link=self.chance.randint(1, 2) if kind is EventKind.CLICKED else None,
                    verdict=Verdict(kind=self.chance.choice(list(VerdictKind)), rules=1),
                    device=self.chance.choice(DEVICES),
                    country=self.chance.choice(["", "DE"]),
                )
            )
        for event in some:
            await self.domain.database.write(recording(event))

    async def settle(self) -> None:
        if self.copies:
            status = self.chance.choice(["accepted", "deferred", "rejected", "queued"])
            await self.domain.database.write(*settling([self._attempt(status)]))

    async def come_back(self) -> None:
        if self.copies:
            status = self.chance.choice(["bounced", "complained", None])
            told = self._attempt(status or "delayed")
            await self.domain.database.change(
                lambda connection: record_return(connection, told.delivery_id, [told], status, told.at)
            )

    async def narrow(self) -> None:
        if self.copies:
            copy = self.chance.choice(self.copies)
            await self.domain.database.write(narrowing([(copy.delivery, UNTRACKED)]))

    async def judge(self) -> None:
        verdict, every = self.chance.choice(list(VerdictKind)).value, self.chance.randint(2, 5)
        await self.domain.database.change(
            lambda connection: connection.execute(
                update(events).where(events.c.id % every == 0).values(verdict=verdict)
            ).close()
        )

    async def erase(self) -> None:
        await erase(self.domain, self.chance.choice(PEOPLE))

    async def anonymize(self) -> None:
        address = self.chance.choice(PEOPLE)
        if address not in self.erased:
            try:
                await self.domain.rights.anonymize(
                    address, source=Source.CLI, actor="test", now=datetime.now(UTC)
                )
            except ValueError:
                self.erased.add(address)

    async def purge(self) -> None:
        await self.domain.purge.run(date(2029, 3, 27) + timedelta(days=self.chance.randrange(3)))

    async def roll_up(self) -> None:
        def work(connection: Connection) -> None:
            batch = rolling.take(connection, self.chance.choice([1, 5, 500]))
            if batch is not None:
                rolling.put(connection, batch)

        await self.domain.database.change(work)

    async def roll_up_late(self) -> None:
        """What was read has changed when it comes to writing it."""
        batch = await self.domain.database.read(lambda connection: rolling.take(connection, 500))
        await self.chance.choice(
            [self.hit, self.settle, self.judge, self.erase, self.roll_up, self.come_back]
        )()
        if batch is not None:
            await self.domain.database.change(lambda connection: rolling.put(connection, batch))

    def _attempt(self, status: str) -> Attempt:
        copy = self.chance.choice(self.copies)
        return Attempt(
            delivery_id=copy.delivery,
            at=copy.sent_at + timedelta(seconds=self.chance.randrange(3000)),
            status=status,
            host="mx",
            tls=None,
            code=250 if status == "accepted" else self.chance.choice([451, 550]),
            enhanced="" if status == "accepted" else self.chance.choice(["5.1.1", "4.2.2"]),
            text="",
        )


SEEDS = int(os.environ.get("CANDOR_ROLLUPS_SEEDS", "4"))
STEPS = [name for name in vars(World) if not name.startswith("_")]
OFTEN = ["send", "hit", "hit", "hit", "roll_up", "roll_up", "roll_up_late", "settle"]


async def check(domain: Domain, chance: random.Random) -> None:
    """Every report of some scopes, against a count by hand."""
    tables = await tables_of(domain)
    if not tables["messages"]:
        return
    await check_people(domain, tables, BEGIN + timedelta(minutes=chance.randrange(4 * 1440)))
    one = chance.choice(tables["messages"])
    since = BEGIN + timedelta(minutes=15 * chance.randrange(200))
    until = since + timedelta(minutes=15 * chance.randrange(1, 300))
    scopes: list[tuple[Scope, Any, bytes | None]] = [
        (Scope(), lambda row: True, None),
        (Scope(message=bytes(one.id)), lambda row: row.id == one.id, None),
        (
            Scope(mailing=bytes(one.mailing_id)),
            lambda row: row.mailing_id == one.mailing_id,
            bytes(one.mailing_id),
        ),
        (
            Scope(mailing=bytes(one.mailing_id), variant=one.variant or ""),
            lambda row: row.mailing_id == one.mailing_id and row.variant == one.variant,
            None,
        ),
        (
            Scope(since=_quarter(since), until=_quarter(until)),
            lambda row: _quarter(since) <= row.received_at < _quarter(until),
            None,
        ),
    ]
    for scope, fits, also in scopes:
        count = Count(tables, fits, also)
        found = await domain.database.view(lambda connection, scope=scope: scope_figures(connection, scope))
        assert said(found) == count.figures()
        if scope.is_period:  # splits go by whole days
            first, behind = (at.replace(hour=0, minute=0) for at in (since, until))
            behind += timedelta(days=_quarter(until) != behind)
            count = Count(tables, lambda row, a=first, b=behind: a <= row.received_at < b)
        for dimension in Dimension:
            if dimension is Dimension.LINK and scope.message is None and scope.mailing is None:
                continue
            parts = said_parts(await by_dimension(domain, scope, dimension))
            assert _without_nothing(parts) == _without_nothing(count.split(dimension.value)), dimension
        for kind in EventKind:
            check_times(await times_to(domain, scope, kind), count.waited(kind.value))
        assert said_outcomes(await outcomes(domain, scope)) == count.outcomes()
        if scope.is_period:
            continue
        zone = chance.choice(ZONES)
        assert said_days(await by_time(domain, scope, zone=zone)) == count.days(zone)
        first, behind = (at.astimezone(zone).date() for at in (since, until + timedelta(days=1)))
        part = await by_time(
            domain, scope, zone=zone, since=_midnight(first, zone), until=_midnight(behind, zone)
        )
        whole = count.days(zone)
        assert said_days(part) == {day: n for day, n in whole.items() if first <= day < behind}
        began, ended = (
            since - timedelta(seconds=chance.randrange(900)),
            until + timedelta(days=chance.randrange(4)),
        )
        active = await people_active(domain, scope, since=began, until=ended)
        assert {kind.value: n for kind, n in active.items()} == {
            kind.value: count.active(kind.value, began, ended) for kind in EventKind
        }


async def check_people(domain: Domain, tables: dict[str, list[Any]], since: datetime) -> None:
    """Who engages, and who is quiet; everybody here may be measured unless they were erased or cut loose."""
    may = await domain.database.read(lambda connection: by_name(domain, connection, PEOPLE))
    found = await leads(domain, since=since, limit=100)
    assert [(one.score, one.last, one.address, one.opened, one.clicked) for one in found] == [
        one for one in engaged(tables, since) if one[2] in may
    ]
    for least in (1, 2):
        still = await quiet(domain, since=since, least=least, limit=100)
        assert [(one.delivered, one.address, one.last_mail) for one in still] == [
            one for one in silent(tables, since, least) if one[1] in may
        ]


async def agree(domain: Domain) -> None:
    wishes = [Statement(address=one, consent=Consent.GRANTED) for one in PEOPLE]
    await domain.register.record(wishes, source=Source.CLI, actor="test", now=datetime.now(UTC))


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _quarter(at: datetime) -> datetime:
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def _without_nothing(parts: Any) -> Any:
    cleaned = {
        value: {name: +one if isinstance(one, dict) else one for name, one in part.items()}
        for value, part in parts.items()
    }
    return {value: part for value, part in cleaned.items() if any(part.values())}


async def sums(domain: Domain) -> list[Any]:
    return sorted(tuple(one.values()) for one in (await dump(domain.database))["rollups"])


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_reports_agree_with_a_count_by_hand_whatever_was_rolled_up(domain: Domain, seed: int) -> None:
    chance = random.Random(seed)
    world = World(domain, chance)
    await agree(domain)
    for number in range(36):
        name = "send" if number < 3 else chance.choice(STEPS + OFTEN)
        await getattr(world, name)()
        if number % 6 == 5:
            await check(domain, chance)
    assert (await rebuild(domain.database)).corrected == 0
    await Rolling(domain.database).all()
    assert await domain.database.read(rolling.waiting) == 0
    await check(domain, chance)
    before = await sums(domain)
    await domain.database.change(lambda connection: connection.execute(delete(rollups)).close())
    rebuilt = await rebuild(domain.database)
    assert rebuilt.corrected == rebuilt.sums == len(before)
    assert await sums(domain) == before


async def test_no_sum_knows_what_only_an_erased_person_stood_for(domain: Domain) -> None:
    chance = random.Random(1)
    world = World(domain, chance)
    await world.send()
    to = {"ann@ann-smith.example": IDENTIFIED, **dict.fromkeys(PEOPLE, IDENTIFIED)}
    mail = Mail(to=to, groups={"ann@ann-smith.example": "Ann's own"}, received_at=BEGIN)
    ann = (await send(domain, mail))["ann@ann-smith.example"]
    device = Device(client="Annmail", kind="desktop", system="AnnOS")
    await domain.database.write(
        recording(
            Event(
                kind=EventKind.OPENED,
                at=BEGIN,
                message=ann.message,
                delivery=ann.delivery,
                verdict=Verdict(kind=VerdictKind.PERSON, rules=1),
                device=device,
                country="LI",
            )
        )
    )
    rolling_up = Rolling(domain.database)
    await rolling_up.all()
    kept = await sums(domain)
    named = ("ann-smith.example", "Ann's own", "Annmail", "AnnOS", "\x1fLI")
    assert all(any(word in row[3] for row in kept) for word in named)
    await erase(domain, "ann@ann-smith.example")
    assert not [row for row in await sums(domain) if any(word in row[3] for word in named)]
    await rolling_up.all()
    await check(domain, chance)


async def test_two_processes_roll_up_in_turns_and_nothing_twice(domain: Domain) -> None:
    world = World(domain, random.Random(3))
    for _ in range(3):
        await world.send()
        await world.hit()
    first, second = Rolling(domain.database), Rolling(domain.database)
    assert (await first.turn()).is_ours
    await world.hit()
    await world.send()
    assert not (await second.turn()).is_ours
    await first.all()
    assert (await second.turn()).waited == 0
    assert (await rebuild(domain.database)).corrected == 0
    await check(domain, random.Random(3))


async def test_what_waits_is_rolled_up_by_itself(domain: Domain) -> None:
    world = World(domain, random.Random(4))
    await world.send()
    rolling_up = Rolling(domain.database, every=0.01)
    rolling_up.start()
    try:
        async with asyncio.timeout(20):
            while await domain.database.read(rolling.waiting):
                await asyncio.sleep(0.01)
    finally:
        await rolling_up.stop()
    assert await sums(domain)


async def test_sums_that_are_wrong_are_made_anew_while_what_is_new_goes_on_being_added(
    domain: Domain,
) -> None:
    world = World(domain, random.Random(5))
    for _ in range(4):
        await world.send()
        await world.hit()
    await Rolling(domain.database).all()
    right = await sums(domain)

    def spoil(connection: Connection) -> None:
        connection.execute(update(rollups).where(rollups.c.measure == "hits").values(n=rollups.c.n + 3))
        connection.execute(delete(rollups).where(rollups.c.measure == "people"))
        connection.execute(update(deliveries).values(alive_at=None, silent_at=5))
        gone = {"subject": b"d", "measure": "group:hits", "slot": 7, "key": "nobody's", "n": 9}
        connection.execute(insert(rollups), [gone])

    await agree(domain)
    await domain.database.change(spoil)
    await world.hit()
    assert (await rebuild(domain.database)).corrected
    assert await sums(domain) == right
    await check(domain, random.Random(5))


def test_the_command_says_what_it_made_anew(tmp_path: Path) -> None:
    async def make() -> None:
        async with opened(configuration(f"sqlite:///{tmp_path}/candor.db", tmp_path)) as domain:
            await send(domain, Mail(to={"a@a.example": UNTRACKED}, received_at=BEGIN))

    asyncio.run(make())
    config = tmp_path / "candor.toml"
    config.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/candor.db"\n[tokens]\nkeys_file = "{tmp_path}/keys.toml"\n'
    )
    found = CliRunner().invoke(report, ["rebuild", "--json", "--config", str(config)])
    assert json.loads(found.stdout) == {"deliveries": 0, "sums": 0, "corrected": 0}


async def test_too_many_hours_and_a_period_of_a_scope_are_refused(domain: Domain) -> None:
    with pytest.raises(InvalidValue, match="at most"):
        await by_time(domain, Scope(), unit=Unit.HOUR, since=BEGIN, until=BEGIN + timedelta(days=1000))
    with pytest.raises(InvalidValue, match="when things happened"):
        await by_time(domain, Scope(since=BEGIN))


async def test_an_hour_that_the_clock_strikes_twice_stands_twice(domain: Domain) -> None:
    since = datetime(2026, 10, 24, 23, tzinfo=UTC)
    found = await by_time(
        domain,
        Scope(),
        unit=Unit.HOUR,
        zone=ZoneInfo("Europe/Berlin"),
        since=since,
        until=since + timedelta(hours=4),
    )
    assert [bucket.begins.isoformat() for bucket in found.buckets] == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


async def test_a_period_stands_beside_the_one_before(domain: Domain) -> None:
    for days in (1, 1, 3):
        await send(domain, Mail(to={"a@a.example": IDENTIFIED}, received_at=BEGIN - timedelta(days=days)))
    found = await overview(domain, since=BEGIN - timedelta(days=2), until=BEGIN)
    assert (found.now.messages, found.before.messages) == (2, 1)
    assert (found.now.figures.delivered, found.before.figures.delivered) == (2, 1)
    assert (await report_mailing(domain, "apples")).figures.delivered == 3
