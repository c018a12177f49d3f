"""Hits while the store is slow, locked, gone or damaged: the answer leaves all the same, and what is lost is counted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.stores import PostgresServer
from support.tracking import (
    SUFFIX,
    URLS,
    Copy,
    configuration,
    opened,
    to_joe,
    tracker_table,
)
from support.web import Answer, Client, serving

from tracker.config import StoreTable
from tracker.domain import Domain
from tracker.web.app import PublicFace
from tracker.web.hits import PIXEL

# --- the store slow or away ---


@asynccontextmanager
async def impatient(store_url: str, folder: Path) -> AsyncIterator[tuple[Domain, Client, PublicFace]]:
    """A face whose store has little time."""
    quick = {
        "tracker": tracker_table(folder, answer_within="50ms"),
        "store": StoreTable(url=store_url, ask_within="300ms", write_within="300ms"),
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


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_with_the_file_locked_links_lead_on_and_what_is_lost_is_counted(
    store_url: str, tmp_path: Path
) -> None:
    async with impatient(store_url, tmp_path) as (domain, client, face):
        copy = await to_joe(domain)
        with closing(sqlite3.connect(file_of(store_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with capture_logs() as lines:
                answers = await answers_while_away(client, copy)
                assert [line for line in lines if not line["event"].startswith("store-")] == []
                await until_nothing_runs(face)
            assert face.hits.lost == 40
            [told] = [line for line in lines if not line["event"].startswith("store-")]
            assert told["lost"] == 40
            other.execute("ROLLBACK")
        assert {answer.body for answer in answers[::2]} == {PIXEL}
        assert {answer.location for answer in answers[1::2]} == {URLS[0].encode()}
        while domain.database.writes.tripped or domain.database.reads.tripped:
            await asyncio.sleep(0.05)
        await client.ask(copy.pixel)
        await until_nothing_runs(face)
        assert len(await domain.events.list()) == 1


async def test_with_the_server_gone_links_lead_on_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        async with impatient(server.url(), tmp_path) as (domain, client, face):
            copy = await to_joe(domain)
            server.hang()
            answers = await answers_while_away(client, copy, 5)
            server.kill()
            answers += await answers_while_away(client, copy, 5)
            await until_nothing_runs(face)
            assert face.hits.lost == 20
            assert {answer.body for answer in answers[::2]} == {PIXEL}
            assert {answer.location for answer in answers[1::2]} == {URLS[0].encode()}
    finally:
        server.close()


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
