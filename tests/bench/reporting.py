"""How long reports take over a year's mail: 10,000,000 events of 2,000,000 deliveries on SQLite, rolled up as they would
have been.

The store is seeded once, in bulk, and kept in a scratch folder, so that the next run is quick; CANDOR_REPORT_EVENTS
makes it smaller, CANDOR_REPORT_FOLDER puts it elsewhere. What the pages ask is held against 300 ms, ad-hoc uniques
over free ranges against 2 s. Beside the wall clock stands the CPU's time, which other work on the machine leaves alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from tracker.config import Config, StoreTable, TokensTable
from tracker.domain import Domain
from tracker.errors import StoreUnavailable
from tracker.events import EventKind
from tracker.reports.dimensions import Dimension, by_dimension
from tracker.reports.domains import outcomes
from tracker.reports.engagement import leads, quiet
from tracker.reports.listings import find_messages, recipients
from tracker.reports.mailing import latest_mailings, report_mailing
from tracker.reports.message import report_message
from tracker.reports.overview import overview, people_active
from tracker.reports.readings import who_has_read
from tracker.reports.sums import Scope
from tracker.reports.timeline import Unit, by_time
from tracker.reports.times import times_to
from tracker.store import rollups
from tracker.store.schema import moment_text

EVENTS = int(os.environ.get("CANDOR_REPORT_EVENTS", "10000000"))
FOLDER = Path(
    os.environ.get("CANDOR_REPORT_FOLDER", Path(tempfile.gettempdir()) / f"candor-reports-{EVENTS}")
)
PER_DELIVERY = 5
"""Events, on the average."""
END = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = max(15, 365 * EVENTS // 10_000_000)
"""As busy, whatever the size."""
PAGE_LIMIT, AD_HOC_LIMIT = 0.3, 2.0
DOMAINS = [f"d{n}.example" for n in range(1000)]
SHARES = [1 / (n + 1) for n in range(len(DOMAINS))]
GROUPS = [f"department {n}" for n in range(30)]
DEVICES = [
    (
        f"client {n}",
        ("desktop", "mobile", "tablet")[n % 3],
        ("Windows", "iOS", "Android", "macOS", "Linux")[n % 5],
    )
    for n in range(14)
]
COUNTRIES = ["DE", "FR", "IT", "AT", "CH", "NL", "ES", "PL", "US", "GB", ""]
VERDICTS = ["person"] * 70 + ["proxy"] * 15 + ["prefetch"] * 8 + ["scanner"] * 5 + ["unsure"] * 2
LINKS = json.dumps([[n, f"https://shop.example/{n}", "see"] for n in range(1, 7)])


def _inserting(table: str, columns: str) -> str:
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(columns.split(',')))})"


_MESSAGE = _inserting(
    "messages",
    "id, mailing_id, received_at, sender, from_header, subject, tags, variant, size, recipients, links",
)
_DELIVERY = _inserting(
    "deliveries",
    "id, message_id, position, recipient, domain, grp, mode, reason, opens, clicks, override, status, accepted_at,"
    " updated_at",
)
_ATTEMPT = _inserting("attempts", "delivery_id, at, status, host, code, enhanced, text")
_EVENT = _inserting(
    "events",
    "kind, at, message_id, delivery_id, link, verdict, verdict_reasons, rules, client, device, system, country",
)
_MAILING = (
    "INSERT INTO mailings (id, kind, name, sender) VALUES (?,?,?,'news@shop.example') ON CONFLICT DO NOTHING"
)


class Seed:
    """A year of mail: campaigns of many recipients each, one that came recipient by recipient, and single mails."""

    def __init__(self, file: Path) -> None:
        self.chance = random.Random(7)
        self.driver = sqlite3.connect(file, isolation_level=None)
        self.driver.execute("PRAGMA synchronous=OFF")
        self.driver.execute("PRAGMA cache_size=-400000")
        self.domains = self.chance.choices(DOMAINS, SHARES, k=1 << 16)
        self.number = 0

    def all(self) -> None:
        total = EVENTS // PER_DELIVERY
        drop = self.driver.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            " AND tbl_name IN ('events', 'deliveries', 'messages', 'attempts')"
        ).fetchall()
        for name, _ in drop:
            self.driver.execute(f"DROP INDEX {name}")
        self.driver.execute("BEGIN")
        campaigns = max(1, total * 6 // 10 // 10_000)
        for n in range(campaigns):
            mailing = self._mailing("campaign", f"campaign {n}")
            for _ in range(20):
                self._message(
                    mailing, self._when(n / campaigns, 3600), 500, self.chance.choice([None, "a", "b"])
                )
        mailing = self._mailing("campaign", "one by one")
        for n in range(total // 20):
            self._message(mailing, self._when(0.93, 7200), 1, "ab"[n % 2])
        while self.number < total:
            day = self.chance.random()
            mailing = self._mailing("sender-day", f"sender {self.chance.randrange(3)} {int(day * DAYS)}")
            self._message(mailing, self._when(day, 86400), 1, None)
        self.driver.execute("COMMIT")
        for _, sql in drop:
            self.driver.execute(sql)
        self.driver.close()

    def _mailing(self, kind: str, name: str) -> bytes:
        id_ = random.Random(name).randbytes(16)
        self.driver.execute(_MAILING, (id_, kind, name))
        return id_

    def _when(self, part: float, spread: int) -> datetime:
        return END - timedelta(days=DAYS * (1 - part), seconds=self.chance.random() * spread)

    def _message(self, mailing: bytes, at: datetime, people: int, variant: str | None) -> None:
        chance, id_, came = self.chance, self.chance.randbytes(16), moment_text(at)
        self.driver.execute(
            _MESSAGE,
            (id_, mailing, came, "news@shop.example", "The Shop", "Apples", "[]", variant, 9, people, LINKS),
        )
        sent, tries, hits = [], [], []
        for position in range(people):
            self.number += 1
            one, delivery = chance.random(), chance.randbytes(16)
            mode, reason = ("identified", "granted") if one < 0.8 else ("anonymous", "granted+do-not-track")
            status, accepted = ("accepted", moment_text(at + timedelta(seconds=30 * chance.random())))
            if one * 1000 % 10 < 0.4:
                status, accepted = "rejected", None
                code, enhanced = chance.choice([550, 551, 554]), chance.choice(["5.1.1", "5.7.1"])
                tries.append((delivery, came, status, "mx", code, enhanced, ""))
            domain = self.domains[self.number & 0xFFFF]
            person = f"p{self.number * 7919 % 400_000}@{domain}"
            sent.append(
                (
                    delivery,
                    id_,
                    position,
                    person,
                    domain,
                    chance.choice(GROUPS),
                    mode,
                    reason,
                    1,
                    1,
                    0,
                    status,
                    accepted,
                    came,
                )
            )
            if mode == "identified" and accepted and one < 0.7:
                hits += self._hits(id_, delivery, at)
        self.driver.executemany(_DELIVERY, sent)
        self.driver.executemany(_ATTEMPT, tries)
        self.driver.executemany(_EVENT, hits)

    def _hits(self, message: bytes, delivery: bytes, at: datetime) -> Iterator[tuple[Any, ...]]:
        chance = self.chance
        device, country = chance.choice(DEVICES), chance.choice(COUNTRIES)
        moment = at + timedelta(seconds=10 + chance.expovariate(1 / 20_000))
        # 0.96 of 0.7 of the deliveries have some.
        for _ in range(chance.choice((5, 6, 7, 8, 11))):
            link = chance.randrange(1, 7) if chance.random() < 0.3 else None
            kind = "opened" if link is None else "clicked"
            verdict = chance.choice(VERDICTS)
            yield kind, moment_text(moment), message, delivery, link, verdict, "", 1, *device, country
            moment += timedelta(seconds=chance.expovariate(1 / 60_000))


async def seeded() -> Domain:
    """The store, made if it is not there yet."""
    config = Config(
        store=StoreTable(url=f"sqlite:///{FOLDER}/candor.db", ask_within="60s", write_within="600s"),
        tokens=TokensTable(keys_file=str(FOLDER / "keys.toml")),
    )
    if (FOLDER / "done").exists():
        return await Domain.open(config)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    await (await Domain.open(config)).close()
    began, cpu = time.monotonic(), time.process_time()
    Seed(FOLDER / "candor.db").all()
    print(
        f"seeded in {time.monotonic() - began:.0f} s ({time.process_time() - cpu:.0f} s of CPU)", flush=True
    )
    domain = await Domain.open(config)
    began, cpu, number = time.monotonic(), time.process_time(), 0
    while done := await domain.database.change(partial(_roll_up, after=number), within=600):
        number += done
        if sys.stdout.isatty():
            print(f"\r{number} deliveries rolled up", end="", flush=True)
    spent = time.process_time() - cpu
    print(
        f"\r{number} deliveries rolled up in {time.monotonic() - began:.0f} s"
        f" ({1e6 * spent / max(1, number):.0f} µs of CPU each)"
    )
    (FOLDER / "done").touch()
    return domain


def _roll_up(connection: Connection, after: int) -> int:
    """Some in the order in which they came, as they would have been."""
    some = text("SELECT id FROM deliveries ORDER BY rowid LIMIT 20000 OFFSET :after")
    ids = list(connection.execute(some, {"after": after}).scalars())
    if ids and not rollups.put(connection, rollups.batch_of(connection, ids)):
        raise RuntimeError("somebody else is at this store")
    return len(ids)


async def main() -> None:
    domain = await seeded()
    try:
        await measure(domain)
    finally:
        await domain.close()


async def measure(domain: Domain) -> None:
    size = sum(one.stat().st_size for one in FOLDER.glob("candor.db*"))
    with sqlite3.connect(FOLDER / "candor.db") as driver:
        rows = {
            table: driver.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("events", "deliveries", "messages", "rollups")
        }
        (large,) = driver.execute("SELECT id FROM messages WHERE recipients = 500 LIMIT 1").fetchone()
        (mailing,) = driver.execute("SELECT id FROM mailings WHERE name = 'one by one'").fetchone()
    print(f"{rows}, {size / 1e9:.2f} GB on disk")
    slow = 0
    for limit, name, report in _reports(domain, large, mailing):
        times = []
        for _ in range(3):
            began, cpu = time.monotonic(), time.process_time()
            try:
                await report()
            except StoreUnavailable:  # it took longer than anybody waits
                pass
            times.append((time.monotonic() - began, time.process_time() - cpu))
        wall, cpu = min(one[0] for one in times), min(one[1] for one in times)
        late = "  LATE" if min(wall, cpu) > limit else ""
        slow += bool(late)
        print(
            f"{name:44} {1000 * wall:7.1f} ms  CPU {1000 * cpu:7.1f} ms  of {1000 * limit:.0f}{late}",
            flush=True,
        )
    print("all in time" if not slow else f"{slow} took too long")


_Report = tuple[float, str, Callable[[], Awaitable[Any]]]


def _reports(domain: Domain, large: bytes, mailing: bytes) -> Iterator[_Report]:
    month, berlin = timedelta(days=30), ZoneInfo("Europe/Berlin")
    since = (END - month).astimezone(berlin).replace(hour=0, minute=0)
    period, year = (
        Scope(since=since, until=END),
        Scope(since=END - timedelta(days=DAYS - 1, hours=7), until=END),
    )
    one, campaign = Scope(message=large), Scope(mailing=mailing)
    yield PAGE_LIMIT, "overview, 30 days", lambda: overview(domain, since=since, until=END)
    yield PAGE_LIMIT, "overview, 180 days", lambda: overview(domain, since=END - 6 * month, until=END)
    yield (
        PAGE_LIMIT,
        "timeline, 30 days by day",
        lambda: by_time(domain, Scope(), zone=berlin, since=since, until=END),
    )
    yield (
        PAGE_LIMIT,
        "timeline, 7 days by hour",
        lambda: by_time(
            domain, Scope(), unit=Unit.HOUR, zone=berlin, since=END - timedelta(days=7), until=END
        ),
    )
    yield (
        PAGE_LIMIT,
        "timeline, 180 days by day",
        lambda: by_time(domain, Scope(), zone=berlin, since=END - 6 * month, until=END),
    )
    for dimension in Dimension:
        if dimension is not Dimension.LINK:
            yield PAGE_LIMIT, f"{dimension.value}, 30 days", partial(by_dimension, domain, period, dimension)
            yield PAGE_LIMIT, f"{dimension.value}, a year", partial(by_dimension, domain, year, dimension)
        yield PAGE_LIMIT, f"{dimension.value}, a message", partial(by_dimension, domain, one, dimension)
        yield PAGE_LIMIT, f"{dimension.value}, a campaign", partial(by_dimension, domain, campaign, dimension)
    for name, scope in (("30 days", period), ("a year", year), ("a message", one), ("a campaign", campaign)):
        yield PAGE_LIMIT, f"time to first open, {name}", partial(times_to, domain, scope, EventKind.OPENED)
        yield PAGE_LIMIT, f"outcomes, {name}", partial(outcomes, domain, scope)
    yield PAGE_LIMIT, "a message", lambda: report_message(domain, large)
    yield PAGE_LIMIT, "a message by hour", lambda: by_time(domain, one, unit=Unit.HOUR)
    yield (
        PAGE_LIMIT,
        "a message's recipients",
        lambda: recipients(domain, large, sort="position", descending=False, limit=50),
    )
    yield PAGE_LIMIT, "who has read a message", lambda: who_has_read(domain, large)
    yield (
        PAGE_LIMIT,
        "campaign of 100,000 messages, two variants",
        lambda: report_mailing(domain, "one by one"),
    )
    yield PAGE_LIMIT, "campaign of 20 messages", lambda: report_mailing(domain, "campaign 1")
    yield PAGE_LIMIT, "a campaign by hour", lambda: by_time(domain, campaign, unit=Unit.HOUR)
    yield PAGE_LIMIT, "latest campaigns", lambda: latest_mailings(domain, limit=50)
    yield (
        PAGE_LIMIT,
        "latest messages",
        lambda: find_messages(domain, "", sort="received", descending=True, limit=50),
    )
    yield PAGE_LIMIT, "leads, 30 days", lambda: leads(domain, since=since, limit=50)
    yield PAGE_LIMIT, "quiet, 90 days", lambda: quiet(domain, since=END - 3 * month, least=3, limit=50)
    for name, scope in (("all mail", Scope()), ("a campaign", campaign)):
        for days in (3, 45, 300):
            began = END - timedelta(days=days, hours=5, minutes=7)
            yield (
                AD_HOC_LIMIT,
                f"active people of {name}, {days} days",
                partial(people_active, domain, scope, since=began, until=END - timedelta(hours=9, minutes=3)),
            )


if __name__ == "__main__":
    asyncio.run(main())
