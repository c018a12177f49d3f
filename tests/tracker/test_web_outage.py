"""Hits while the store is slow, locked, gone or damaged: the answer leaves all the same, and what is lost is counted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.outages import away
from support.stores import PostgresServer
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    HYGIENE,
    JOE,
    PERSON,
    SUFFIX,
    UNTRACKED,
    URLS,
    Copy,
    changed,
    configuration,
    dump,
    erase,
    opened,
    say,
    to_joe,
    tracker_table,
)
from support.web import Answer, Client, serving

from tracker.config import StoreTable
from tracker.consent import Decision
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.journal import Entry, Journal, waiting
from tracker.store.register import Source
from tracker.web.app import PublicFace
from tracker.web.hits import PIXEL
from tracker.web.keeping import Heard, Keeping

# --- the store slow or away ---


@asynccontextmanager
async def impatient(store_url: str, folder: Path) -> AsyncIterator[tuple[Domain, Client, PublicFace]]:
    """A face whose store has little time."""
    quick = {
        "tracker": tracker_table(folder, answer_within="50ms"),
        "store": StoreTable(url=store_url, ask_within="1s", write_within="1s"),
    }
    async with opened(configuration(store_url, folder, **quick)) as domain, serving(domain) as (client, face):
        yield domain, client, face


def file_of(store_url: str) -> Path:
    return Path(store_url.removeprefix("sqlite:///"))


async def until_nothing_runs(face: PublicFace) -> None:
    await asyncio.wait_for(face.hits.close(), 20)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_an_answer_leaves_before_a_slow_commit_and_the_event_still_lands(
    store_url: str, tmp_path: Path
) -> None:
    table = tracker_table(tmp_path, answer_within="50ms")
    config = configuration(store_url, tmp_path, tracker=table)  # the store has all the time it wants
    async with opened(config) as domain, serving(domain) as (client, face):
        copy = await to_joe(domain)
        with closing(sqlite3.connect(file_of(store_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = [await client.ask(path) for path in (copy.pixel, copy.link(suffix=SUFFIX))]
            assert face.hits.late == 2
            assert await domain.events.list() == []
            other.execute("ROLLBACK")
        assert answers[0].body == PIXEL
        assert answers[1].location == URLS[0].encode()  # nobody knew in time that it may say more
        await until_nothing_runs(face)
        assert sorted(event["kind"] for event in await domain.events.list()) == ["clicked", "opened"]
        assert face.hits.lost == 0


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_stopping_waits_for_hits_that_were_answered_before_their_commit(
    store_url: str, tmp_path: Path
) -> None:
    table = tracker_table(tmp_path, answer_within="1ms")
    async with opened(configuration(store_url, tmp_path, tracker=table)) as domain:
        async with serving(domain) as (client, _):
            copy = await to_joe(domain)
            await asyncio.gather(*(client.ask(copy.pixel) for _ in range(20)))
        assert len(await domain.events.list()) == 20


async def answers_while_away(client: Client, copy: Copy, times: int = 20) -> list[Answer]:
    return [await client.ask(path) for _ in range(times) for path in (copy.pixel, copy.link(suffix=SUFFIX))]


@asynccontextmanager
async def locked(store_url: str, domain: Domain) -> AsyncIterator[None]:
    """Somebody else has the file; returns when it is ours again and we know it."""
    with closing(sqlite3.connect(file_of(store_url), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    while domain.database.writes.tripped or domain.database.reads.tripped:
        await asyncio.sleep(0.05)


async def until_stored(folder: Path) -> None:
    """Until nothing waits in the journal any more."""
    async with asyncio.timeout(30):
        while waiting(folder / "journal"):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_with_the_file_locked_links_lead_on_and_hits_by_name_are_kept_for_later(
    store_url: str, tmp_path: Path
) -> None:
    async with impatient(store_url, tmp_path) as (domain, client, face):
        copy = await to_joe(domain)
        async with locked(store_url, domain):
            with capture_logs() as lines:
                answers = await answers_while_away(client, copy)
                assert [line for line in lines if not line["event"].startswith("store-")] == []
                await until_nothing_runs(face)
            assert (face.hits.journaled, face.hits.lost) == (40, 0)
            [told] = [line for line in lines if not line["event"].startswith("store-")]
            assert (told["journaled"], told["lost"]) == (40, 0)
            assert await domain.events.list() == []
        assert {answer.body for answer in answers[::2]} == {PIXEL}
        assert {answer.location for answer in answers[1::2]} == {URLS[0].encode()}
        await until_stored(tmp_path)
        await client.ask(copy.pixel)
        await until_nothing_runs(face)
        kept = await domain.events.list()
        assert len(kept) == 41
        assert {(one["verdict"], one["client"], one["device"], one["system"]) for one in kept} == {
            ("person", "Firefox", "desktop", "Linux")
        }
        assert len({one["at"] for one in kept}) > 30  # when they happened, not when they were stored


async def test_with_the_server_gone_links_lead_on_and_hits_by_name_are_kept_for_later(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        async with impatient(server.url(), tmp_path) as (domain, client, face):
            copy = await to_joe(domain)
            server.hang()
            answers = await answers_while_away(client, copy, 5)
            server.kill()
            answers += await answers_while_away(client, copy, 5)
            await until_nothing_runs(face)
            assert (face.hits.journaled, face.hits.lost) == (20, 0)
            assert {answer.body for answer in answers[::2]} == {PIXEL}
            assert {answer.location for answer in answers[1::2]} == {URLS[0].encode()}
            server.restart()
            await until_stored(tmp_path)
            assert len(await domain.events.list()) == 20
    finally:
        server.close()


SINCE = {
    # what somebody says while their hits wait: what an open and a click leave behind in the end
    "granted": ["event", "event"],
    "denied": [],
    "withdrawn": [],
    "erased": [],
    "anonymized": ["count month", "count month"],
    "not by name": ["count month", "count month"],
}


@pytest.mark.parametrize("since", SINCE)
async def test_consent_is_asked_when_the_store_is_back(since: str, store_url: str, tmp_path: Path) -> None:
    """The hits are written down by a process that has no store, and stored by the next."""
    async with opened(configuration(store_url, tmp_path)) as domain:
        copy = await to_joe(domain)
        await say(domain, JOE, "granted")
        await put_aside(copy, domain, tmp_path)
        if since == "erased":
            await erase(domain, JOE)
        elif since == "anonymized":
            await domain.rights.anonymize(JOE, source=Source.CLI, actor="test", now=datetime.now(UTC))
        elif since == "not by name":
            await say(domain, JOE, dnt="true")
        else:
            await say(domain, JOE, since)
        before = await dump(domain)
        async with serving(domain):
            await until_stored(tmp_path)
        rows = changed(before, await dump(domain))
    found = ["event"] * len(rows.get("events", []))
    found += [f"count {row[1]}" for row in rows.get("counts", [])]
    assert found == SINCE[since]
    assert set(rows) <= {"events", "counts", "mailings"}


async def put_aside(copy: Copy, domain: Domain, folder: Path) -> None:
    """An open and a click, in a journal that nobody writes any more."""
    journal = Journal(folder / "journal", domain.ring, most=16_000_000)
    keeping = Keeping(domain)
    facts = {kind: keeping.facts(kind, Heard(PERSON)).text for kind in EventKind}
    entries = [
        Entry(kind=kind, delivery=copy.delivery, link=link, at=datetime.now(UTC), facts=facts[kind])
        for kind, link in ((EventKind.OPENED, 0), (EventKind.CLICKED, 1))
    ]
    assert await journal.append(entries) == 2
    await journal.close()


async def test_what_was_stored_and_is_found_again_is_not_stored_twice(store_url: str, tmp_path: Path) -> None:
    """A process that is killed between the commit and the end of the file leaves both."""
    async with opened(configuration(store_url, tmp_path)) as domain:
        copy = await to_joe(domain)
        await put_aside(copy, domain, tmp_path)
        [path] = waiting(tmp_path / "journal")
        octets = path.read_bytes()
        async with serving(domain):
            await until_stored(tmp_path)
            assert len(await domain.events.list()) == 2
            path.write_bytes(octets)
            await until_stored(tmp_path)
        assert len(await domain.events.list()) == 2


@pytest.mark.parametrize(
    "decision", [ANONYMOUS, AGGREGATE, HYGIENE, UNTRACKED], ids=lambda one: str(one.mode)
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_of_mail_that_names_nobody_nothing_waits_anywhere(
    decision: Decision, store_url: str, tmp_path: Path
) -> None:
    async with impatient(store_url, tmp_path) as (domain, client, face):
        copy = await to_joe(domain, decision)
        with away(domain.database.reads, domain.database.writes):
            answers = await answers_while_away(client, copy, 3)
            await until_nothing_runs(face)
        # No copy of untracked mail has a token: that is our own probe, and no hit.
        assert (face.hits.journaled, face.hits.lost) == (0, 0 if decision is UNTRACKED else 6)
        assert not (tmp_path / "journal").exists()
        assert {answer.location for answer in answers[1::2]} == {URLS[0].encode()}


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_who_is_known_to_be_measured_without_a_name_today_is_not_written_down(
    store_url: str, tmp_path: Path
) -> None:
    """Questions are answered, and nothing can be written: sent by name, and anonymous since."""
    async with impatient(store_url, tmp_path) as (domain, client, face):
        copy = await to_joe(domain)
        await say(domain, JOE, "granted", "true")
        async with locked(store_url, domain):
            await answers_while_away(client, copy, 3)
            await until_nothing_runs(face)
            assert (face.hits.journaled, face.hits.lost) == (0, 6)
        assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_more_hits_than_the_store_takes_do_not_wait_for_it(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.web.hits._MOST_WAITING", 20)
    monkeypatch.setattr("tracker.web.hits._MOST_TOGETHER", 10)
    table = tracker_table(tmp_path, answer_within="50ms")
    async with (
        opened(configuration(store_url, tmp_path, tracker=table)) as domain,
        serving(domain) as (client, face),
    ):
        copy = await to_joe(domain)
        async with locked(store_url, domain):
            await asyncio.gather(*(client.ask(copy.pixel) for _ in range(100)))
            async with asyncio.timeout(20):
                while face.hits.journaled < 60:
                    await asyncio.sleep(0.02)
        await until_nothing_runs(face)
        await until_stored(tmp_path)
        assert face.hits.lost == 0
        assert len(await domain.events.list()) == 100


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_row_that_cannot_be_read_breaks_no_link(
    domain: Domain, served: tuple[Client, PublicFace], store_url: str
) -> None:
    client, face = served
    copy = await to_joe(domain)
    with closing(sqlite3.connect(file_of(store_url), isolation_level=None)) as other:
        other.execute("UPDATE deliveries SET accepted_at = 'of a later release'")
    assert (await client.ask(copy.link(suffix=SUFFIX))).location == URLS[0].encode()
    assert (await client.ask(copy.pixel)).body == PIXEL
    assert face.hits.lost == 2
