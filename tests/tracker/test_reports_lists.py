"""Lists to act on, against a count by hand: domains, leads, the quiet, and who has read."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import Installation
from support.lives import hit
from support.tracking import (
    ANONYMOUS,
    HYGIENE,
    IDENTIFIED,
    UNTRACKED,
    Copy,
    Mail,
    configuration,
    opened,
    send,
)
from support.web import serving

from tracker.config.tables import ConsentTable
from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import EventKind, VerdictKind
from tracker.reports.domains import report_domains
from tracker.reports.engagement import Lead, leads, quiet
from tracker.reports.readings import who_has_read
from tracker.statements import parse_statement
from tracker.store.register import Source

NOW = datetime.now(UTC)
SINCE = NOW - timedelta(days=30)


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


async def says(domain: Domain, address: str, **fields: str) -> None:
    said = parse_statement(address, fields, evidence={})
    await domain.register.record([said], source=Source.CLI, actor="test", now=NOW)


@pytest.mark.parametrize("seed", range(3))
async def test_domains_agree_with_a_count_by_hand(seed: int, domain: Domain) -> None:
    chance = random.Random(seed)
    seen: dict[str, Counter[str]] = {}
    for number in range(12):
        status = chance.choice(["accepted", "accepted", "rejected", "deferred"])
        people = {
            f"p{number}-{n}@{chance.choice('abc')}.example": chance.choice([IDENTIFIED, UNTRACKED])
            for n in range(chance.randint(1, 3))
        }
        for address, copy in (await send(domain, Mail(to=people, status=status))).items():
            counted = seen.setdefault(address.partition("@")[2], Counter())
            counted[status] += 1
            measured = status == "accepted" and copy.decision is IDENTIFIED
            counted["measured"] += measured
            clicks = chance.randint(0, 2) if copy.decision is IDENTIFIED else 0
            counted["clicked"] += bool(clicks) and measured
            for _ in range(clicks):
                await hit(domain, copy, NOW, link=1)
            await hit(domain, copy, NOW, verdict=VerdictKind.SCANNER)
    await send(domain, Mail(to={"old@d.example": IDENTIFIED}, received_at=SINCE - timedelta(days=1)))

    found = {one.domain: one for one in await report_domains(domain, since=SINCE, until=NOW, limit=10)}

    assert set(found) == set(seen)
    for name, counted in seen.items():
        one = found[name]
        assert {status: one.statuses[status] for status in ("accepted", "rejected", "deferred")} == {
            status: counted[status] for status in ("accepted", "rejected", "deferred")
        }
        assert (one.arrived.n, one.arrived.of) == (
            counted["accepted"],
            counted["accepted"] + counted["rejected"],
        )
        assert (one.measured, one.share(EventKind.CLICKED).n) == (counted["measured"], counted["clicked"])
        assert one.share(EventKind.OPENED).n == 0
        assert sum(answer.n for answer in one.answers) == counted["rejected"] + counted["deferred"]


async def test_leads_are_ordered_by_what_they_did(domain: Domain) -> None:
    people = dict.fromkeys(
        (f"{name}@x.example" for name in ("opens", "clicks", "both", "machine", "long-ago")), IDENTIFIED
    )
    first, second = [await send(domain, Mail(to=people)) for _ in range(2)]
    for copies in (first, second):
        await hit(domain, copies["opens@x.example"], NOW)
        await hit(domain, copies["opens@x.example"], NOW)
        await hit(domain, copies["both@x.example"], NOW)
    await hit(domain, first["clicks@x.example"], NOW - timedelta(days=2), link=1)
    await hit(domain, first["both@x.example"], NOW, link=2)
    await hit(domain, first["machine@x.example"], NOW, link=1, verdict=VerdictKind.SCANNER)
    await hit(domain, first["long-ago@x.example"], SINCE - timedelta(days=1), link=1)
    found = await leads(domain, since=SINCE, limit=10)
    assert [(one.address, one.score, one.opened, one.clicked) for one in found] == [
        ("both@x.example", 5, 2, 1),
        ("clicks@x.example", 3, 0, 1),
        ("opens@x.example", 2, 2, 0),
    ]
    assert [one.address for one in await leads(domain, since=SINCE, limit=1)] == ["both@x.example"]


@pytest.mark.parametrize(
    "since_then",
    [{"tracking_consent": "withdrawn"}, {"tracking_consent": "denied"}, {"do_not_track": "true"}, {}],
    ids=["withdrew", "denied", "without name", "erased"],
)
async def test_who_refused_since_is_in_no_list(since_then: dict[str, str], domain: Domain) -> None:
    people = dict.fromkeys(
        ("joe@x.example", "ann@x.example", "silent@x.example", "mute@x.example"), IDENTIFIED
    )
    copies = await send(domain, Mail(to=people))
    for name in ("joe", "ann"):
        await hit(domain, copies[f"{name}@x.example"], NOW, link=1)
    for name in ("joe", "silent"):
        if since_then:
            await says(domain, f"{name}@x.example", **since_then)
        else:
            await domain.erasure.erase(f"{name}@x.example", actor="test", now=NOW)
    assert [one.address for one in await leads(domain, since=SINCE, limit=10)] == ["ann@x.example"]
    assert [one.address for one in await quiet(domain, since=SINCE, least=1, limit=10)] == ["mute@x.example"]


async def test_the_quiet_got_measured_mail_and_show_no_sign(domain: Domain) -> None:
    people = {
        "silent@x.example": IDENTIFIED,
        "reader@x.example": IDENTIFIED,
        "machine@x.example": IDENTIFIED,
        "unmeasured@x.example": UNTRACKED,
        "nameless@x.example": ANONYMOUS,
    }
    copies: list[dict[str, Copy]] = [await send(domain, Mail(to=people)) for _ in range(3)]
    await send(domain, Mail(to={"newcomer@x.example": IDENTIFIED}))
    await send(domain, Mail(to={"bounces@x.example": IDENTIFIED}, status="rejected"))
    await hit(domain, copies[1]["reader@x.example"], NOW)
    await hit(domain, copies[1]["machine@x.example"], NOW, verdict=VerdictKind.PREFETCH)
    found = await quiet(domain, since=SINCE, least=2, limit=10)
    assert [(one.address, one.delivered) for one in found] == [
        ("machine@x.example", 3),
        ("silent@x.example", 3),
    ]
    assert [one.address for one in await quiet(domain, since=SINCE, least=4, limit=10)] == []


async def test_a_day_of_hygiene_is_a_sign_of_life(store_url: str, tmp_path: Path) -> None:
    config = configuration(store_url, tmp_path, consent=ConsentTable(unknown="hygiene"))
    async with opened(config) as domain:
        people = {"alive@x.example": HYGIENE, "silent@x.example": HYGIENE}
        for name in people:
            await says(domain, name, group="Sales")
        copies = await send(domain, Mail(to=people))
        async with serving(domain) as (client, _):
            await client.ask(copies["alive@x.example"].pixel)
        found = await quiet(domain, since=SINCE, least=1, limit=10)
        assert [(one.address, one.group) for one in found] == [("silent@x.example", "Sales")]


async def test_who_has_read_is_told_by_department_and_the_unmeasured_apart(domain: Domain) -> None:
    groups = {f"s{n}@x.example": "Sales" for n in range(4)} | {"i@x.example": "IT"}
    people = {
        "s0@x.example": IDENTIFIED,
        "s1@x.example": IDENTIFIED,
        "s2@x.example": UNTRACKED,
        "s3@x.example": ANONYMOUS,
        "i@x.example": IDENTIFIED,
        "nobody@x.example": IDENTIFIED,
    }
    copies = await send(domain, Mail(to=people, groups=groups))
    await hit(domain, copies["s0@x.example"], NOW)
    await hit(domain, copies["s0@x.example"], NOW, link=1)
    await hit(domain, copies["i@x.example"], NOW, verdict=VerdictKind.SCANNER)
    found = await who_has_read(domain, copies["i@x.example"].message)
    told = [
        (one.group, one.recipients, one.measured, one.read, one.not_shown, one.not_measured) for one in found
    ]
    assert told == [("", 1, 1, 0, 1, 0), ("IT", 1, 1, 0, 1, 0), ("Sales", 4, 2, 1, 1, 2)]
    with pytest.raises(NotFound):
        await who_has_read(domain, bytes(16))


def test_the_commands_tell_people_and_programs(store_url: str, tmp_path: Path) -> None:
    candor = Installation(tmp_path, store_url)

    async def some_mail(domain: Domain) -> tuple[str, list[Lead]]:
        people = {"=joe@x.example": IDENTIFIED, "ann@x.example": IDENTIFIED}
        for _ in range(3):
            copies = await send(domain, Mail(to=people, groups={"ann@x.example": "Sales"}))
        await hit(domain, copies["=joe@x.example"], NOW, link=1)
        return copies["ann@x.example"].message.hex(), await leads(domain, since=SINCE, limit=10)

    message, (lead,) = candor.prepare(some_mail)
    assert "x.example" in candor.call("report", "domains").out
    assert candor.call("report", "domains", "--json").json[0]["deliveries"] == {"accepted": 6}
    assert "=joe@x.example" in candor.call("report", "leads").out
    (row,) = csv.DictReader(io.StringIO(candor.call("report", "leads", "--csv").out))
    assert (row["address"], row["score"]) == ("'=joe@x.example", str(lead.score))
    assert [one["address"] for one in candor.call("report", "quiet", "--json").json] == ["ann@x.example"]
    rows = candor.call("report", "read", message[:8], "--json").json
    assert [(one["group"], one["read"], one["not_shown"]) for one in rows] == [
        ("(none)", 1, 0),
        ("Sales", 0, 1),
    ]
    refused = candor.call("report", "leads", "--csv", "--json")
    assert refused.code != 0
    assert "one or the other" in refused.err


def test_nothing_yet_is_said_in_words(store_url: str, tmp_path: Path) -> None:
    candor = Installation(tmp_path, store_url)
    for what in ("domains", "leads", "quiet"):
        found = candor.call("report", what)
        assert found.code == 0
        assert found.out.startswith(("no mail", "nobody"))
