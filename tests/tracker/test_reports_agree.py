"""Numbers agree to the last digit: on the pages, at the command line, as JSON, and counted by hand from the rows."""

from __future__ import annotations

import asyncio
import csv
import io
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from support.commands import Installation, Result
from support.lives import hit
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    IDENTIFIED,
    UNTRACKED,
    URLS,
    Mail,
    configuration,
    opened,
    say,
    send,
)
from support.web import Client

from tracker.admin.app import AdminFace
from tracker.config import AdminTable
from tracker.domain import Domain
from tracker.events import VerdictKind
from tracker.store.schema import deliveries, events, mailings, messages

NOW = datetime.now(UTC)
HUMAN = {"person", "proxy"}
DELIVERED = {"accepted", "complained"}
Row = Mapping[str, Any]
Told = Mapping[str, int]


@dataclass(frozen=True)
class Seeded:
    """A store with mail in it, and its rows."""

    candor: Installation
    client: Client
    message: str
    mail: Sequence[Row]
    sent: Sequence[Row]
    hits: Sequence[Row]

    async def command(self, *arguments: str) -> Result:
        done = await asyncio.to_thread(self.candor.call, "report", *arguments)
        assert done.code == 0, done.err
        return done

    async def page(self, path: str) -> list[dict[str, str]]:
        """What it gives as CSV."""
        path += f"{'&' if '?' in path else '?'}format=csv"
        answer = await self.client.ask(path, headers={"Host": "localhost"})
        assert answer.status == 200
        return list(csv.DictReader(io.StringIO(_dechunked(answer.body, answer.head))))


async def _seed(domain: Domain) -> None:
    chance = random.Random(7)
    people = [f"p{n}@{'abc'[n % 3]}.example" for n in range(24)]
    groups = {one: ("Sales", "IT")[n % 2] for n, one in enumerate(people) if n % 5}
    for number in range(9):
        to = {one: chance.choice([IDENTIFIED, IDENTIFIED, ANONYMOUS, AGGREGATE, UNTRACKED]) for one in people}
        status = ("accepted", "accepted", "bounced", "deferred")[number % 4]
        mail = Mail(
            to=to,
            groups=groups,
            status=status,
            campaign=f"campaign {number % 2}",
            variant=("red", "blue", None)[number % 3],
            urls=(*URLS, URLS[0]),
            received_at=NOW - timedelta(days=number, hours=1),
        )
        for copy in (await send(domain, mail)).values():
            for _ in range(chance.randint(0, 3) if copy.decision is IDENTIFIED else 0):
                at = NOW - timedelta(days=number) + timedelta(minutes=chance.randint(0, 50) - 55)
                link = chance.choice([None, None, 1, 2, 3])
                await hit(domain, copy, at, link=link, verdict=chance.choice(list(VerdictKind)))
    await say(domain, people[0], "denied")
    await say(domain, people[1], "granted", "true", evidence={"form": "x"})


@pytest.fixture
async def seeded(store_url: str, tmp_path: Path) -> AsyncIterator[Seeded]:
    candor = Installation(tmp_path, store_url)
    candor.config.write_text(f'{candor.config.read_text()}[admin]\ntime_zone = "Europe/Berlin"\n')
    admin = AdminTable(listen="127.0.0.1:0", time_zone="Europe/Berlin")
    async with opened(configuration(store_url, tmp_path, admin=admin)) as domain:
        await _seed(domain)
        joined = deliveries.join(messages, messages.c.id == deliveries.c.message_id).join(
            mailings, mailings.c.id == messages.c.mailing_id
        )
        columns = messages.c.variant, mailings.c.name, messages.c.received_at
        sent = await _rows(domain, select(deliveries, *columns).select_from(joined))
        face = AdminFace(domain)
        host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
        mail = await _rows(domain, select(messages).order_by(messages.c.received_at.desc()))
        yield Seeded(
            candor=candor,
            client=Client((host, int(port))),
            message=bytes(mail[0]["id"]).hex(),
            mail=mail,
            sent=sent,
            hits=await _rows(domain, select(events)),
        )
        await face.stop()


async def _rows(domain: Domain, query: Any) -> list[Row]:
    found = await domain.database.read(lambda connection: connection.execute(query).all(), within=20.0)
    return [
        {key: bytes(v) if isinstance(v, memoryview) else v for key, v in row._mapping.items()}
        for row in found
    ]


def _dechunked(body: bytes, head: bytes) -> str:
    if b"chunked" not in head:
        return body.decode()
    left, whole = body, b""
    while left:
        size, _, left = left.partition(b"\r\n")
        whole, left = whole + left[: int(size, 16)], left[int(size, 16) + 2 :]
    return whole.decode()


def _people(hits: Sequence[Row], kind: str, sent: Sequence[Row]) -> set[bytes]:
    """Deliveries among these with an event of the kind by somebody human."""
    mine = {one["id"] for one in sent}
    return {
        hit["delivery_id"]
        for hit in hits
        if hit["kind"] == kind and hit["verdict"] in HUMAN and hit["delivery_id"] in mine
    }


def _figures(store: Seeded, sent: Sequence[Row]) -> dict[str, int]:
    """By hand: as the rows of figures are called."""
    mine = {one["id"] for one in sent}
    measured = [one for one in sent if one["mode"] == "identified" and one["status"] in DELIVERED]
    found = Counter(f"deliveries: {one['status']}" for one in sent)
    found["delivered"] = sum(one["status"] in DELIVERED for one in sent)
    found["measured"] = len(measured)
    for one in sent:
        if one["mode"] != "identified":
            reason = one["reason"] if one["mode"] == "untracked" else f"{one['mode']}: {one['reason']}"
            found[f"not measured: {reason}"] += 1
    for kind in ("opened", "clicked"):
        found[kind] = len(_people(store.hits, kind, measured))
        theirs = [hit for hit in store.hits if hit["delivery_id"] in mine and hit["kind"] == kind]
        found[f"{kind}: in all"] = sum(hit["verdict"] in HUMAN for hit in theirs)
        found[f"{kind}: by machines"] = sum(hit["verdict"] in ("prefetch", "scanner") for hit in theirs)
        found[f"{kind}: unsure"] = sum(hit["verdict"] == "unsure" for hit in theirs)
    opens, clicks = (_people(store.hits, kind, measured) for kind in ("opened", "clicked"))
    found["opened: implied by a click"] = len(clicks - opens)
    found["click-to-open"] = len(clicks)
    return dict(found)


def _told(rows: Sequence[Row], about: str | None = None) -> dict[str, int]:
    """Rows of figures, but for the links' and views."""
    return {
        row["figure"]: int(row["n"])
        for row in rows
        if about in (None, row["about"]) and not row["figure"].startswith(("link ", "opened: views"))
    }


def _of_json(found: Row) -> dict[str, int]:
    """The same figures in JSON."""
    told = {f"deliveries: {status}": n for status, n in found["deliveries"].items()}
    told |= {"delivered": found["delivered"], "measured": found["trackable_delivered"]}
    told |= {f"not measured: {reason}": n for reason, n in found["not_trackable"].items()}
    for kind, one in found["identified"].items():
        told[kind] = min(one["delivered"], found["trackable_delivered"])
        told |= {f"{kind}: in all": one["total"], f"{kind}: by machines": one["machines"]}
        told[f"{kind}: unsure"] = one["unsure"]
    return told


async def test_figures_of_messages_campaigns_and_periods(seeded: Seeded) -> None:
    message = bytes.fromhex(seeded.message)
    cases: list[tuple[list[Row], str | None, tuple[str, ...]]] = [
        (
            [one for one in seeded.sent if one["message_id"] == message],
            f"/messages/{seeded.message}/figures",
            ("message", seeded.message),
        ),
        (
            [one for one in seeded.sent if one["name"] == "campaign 0"],
            "/campaign?name=campaign%200",
            ("campaign", "campaign 0"),
        ),
        (list(seeded.sent), None, ("overview",)),
    ]
    for sent, path, command in cases:
        by_hand = _figures(seeded, sent)
        about = {"message": "", "campaign": "campaign 0", "overview": "now"}[command[0]]
        rows = list(csv.DictReader(io.StringIO((await seeded.command(*command, "--csv")).out)))
        assert _told(rows, about) == by_hand, command
        if path is not None:
            assert await seeded.page(path) == rows
        found = (await seeded.command(*command, "--json")).json
        told = _of_json(found["now"] if command[0] == "overview" else found)
        assert told == {key: n for key, n in by_hand.items() if "click" not in key or "clicked" in key}, (
            command
        )
    variants = {one["variant"] or "" for one in seeded.sent if one["name"] == "campaign 0"}
    found = (await seeded.command("campaign", "campaign 0", "--json")).json["variants"]
    assert found.keys() == variants
    rows = await seeded.page("/campaign?name=campaign%200")
    for name in variants:
        sent = [one for one in seeded.sent if one["name"] == "campaign 0" and (one["variant"] or "") == name]
        assert _told(rows, f"variant {name or '(none)'}") == _figures(seeded, sent)


def _link_counts(store: Seeded) -> dict[str, tuple[int, int]]:
    """People and clicks by address, by hand: who followed two links to one is one."""
    urls = {(one["id"], number): url for one in store.mail for number, url, _ in one["links"]}
    people: dict[str, set[bytes]] = {}
    clicks: Counter[str] = Counter()
    for hit_ in store.hits:
        if hit_["kind"] == "clicked" and hit_["verdict"] in HUMAN:
            url = urls[hit_["message_id"], hit_["link"]]
            people.setdefault(url, set()).add(hit_["delivery_id"])
            clicks[url] += 1
    return {url: (len(found), clicks[url]) for url, found in people.items()}


def _domain_counts(store: Seeded) -> dict[str, tuple[int, ...]]:
    found = {}
    for name in {one["domain"] for one in store.sent}:
        sent = [one for one in store.sent if one["domain"] == name]
        measured = [one for one in sent if one["mode"] == "identified" and one["status"] in DELIVERED]
        found[name] = (
            len(sent),
            sum(one["status"] in DELIVERED for one in sent),
            len(measured),
            *(len(_people(store.hits, kind, measured)) for kind in ("opened", "clicked")),
        )
    return found


def _lead_counts(store: Seeded) -> dict[str, tuple[int, int]]:
    """Of those who may be measured by name today."""
    recipients = {one["id"]: one["recipient"] for one in store.sent}
    found: dict[str, dict[str, set[bytes]]] = {}
    for hit_ in store.hits:
        who = recipients[hit_["delivery_id"]]
        if hit_["verdict"] in HUMAN and who not in ("p0@a.example", "p1@b.example"):
            found.setdefault(who, {"opened": set(), "clicked": set()})[hit_["kind"]].add(hit_["message_id"])
    return {who: (len(of["opened"]), len(of["clicked"])) for who, of in found.items()}


def _reading_counts(store: Seeded) -> dict[str, tuple[int, ...]]:
    mine = [one for one in store.sent if one["message_id"] == bytes.fromhex(store.message)]
    found = {}
    for group in {one["grp"] for one in mine}:
        sent = [one for one in mine if one["grp"] == group]
        measured = [one for one in sent if one["mode"] == "identified" and one["status"] in DELIVERED]
        read = _people(store.hits, "opened", measured) | _people(store.hits, "clicked", measured)
        delivered = sum(one["status"] in DELIVERED for one in sent)
        found[group or "(none)"] = len(sent), delivered, len(read), delivered - len(measured)
    return found


def _numbers(*keys: str) -> Callable[[Row], tuple[int, ...]]:
    return lambda row: tuple(int(row[key]) for key in keys)


LISTS: tuple[tuple[str, tuple[str, ...], str, Callable[[Row], Any], Callable[[Seeded], Any]], ...] = (
    ("/links", ("links",), "url", _numbers("unique", "total"), _link_counts),
    (
        "/domains",
        ("domains",),
        "domain",
        _numbers("deliveries", "delivered", "measured", "opened", "clicked"),
        _domain_counts,
    ),
    ("/leads", ("leads",), "address", _numbers("opened", "clicked"), _lead_counts),
    (
        "/quiet?least=1",
        ("quiet", "--least", "1", "--days", "180"),
        "address",
        _numbers("delivered"),
        lambda _: None,
    ),
    (
        "/departments/MESSAGE",
        ("read", "MESSAGE"),
        "group",
        _numbers("recipients", "delivered", "read", "not_measured"),
        _reading_counts,
    ),
)


async def test_lists(seeded: Seeded) -> None:
    for path, command, key, numbers, by_hand in LISTS:
        command = tuple(seeded.message if one == "MESSAGE" else one for one in command)
        told = list(csv.DictReader(io.StringIO((await seeded.command(*command, "--csv")).out)))
        page = await seeded.page(path.replace("MESSAGE", seeded.message))
        assert sorted(map(str, page)) == sorted(map(str, told)), path
        assert told, path
        counted = by_hand(seeded)
        if counted is not None:
            assert {row[key]: numbers(row) for row in told} == counted, path
        found = (await seeded.command(*command, "--json")).json
        assert [row[key] for row in found] == [row[key] for row in told], path


async def test_a_message_s_links_are_the_same_everywhere(seeded: Seeded) -> None:
    page = await seeded.page(f"/messages/{seeded.message}/links")
    found = (await seeded.command("message", seeded.message, "--json")).json
    assert [(row["number"], row["url"], row["unique"], row["total"]) for row in page] == [
        (str(one["number"]), one["url"], str(one["unique"]), str(one["total"])) for one in found["links"]
    ]
    mine = [hit_ for hit_ in seeded.hits if hit_["message_id"] == bytes.fromhex(seeded.message)]
    human = [hit_ for hit_ in mine if hit_["kind"] == "clicked" and hit_["verdict"] in HUMAN]
    assert [one["total"] for one in found["links"]] == [
        sum(hit_["link"] == number for hit_ in human) for number in (1, 2, 3)
    ]
    opens = [hit_ for hit_ in mine if hit_["kind"] == "opened" and hit_["verdict"] in HUMAN]
    assert sum(one["opened"]["total"] for one in found["timeline"]["buckets"]) == len(opens)
    assert [one["n"] for one in found["times_to"]] == [
        found["identified"][kind]["delivered"] for kind in ("opened", "clicked")
    ]
