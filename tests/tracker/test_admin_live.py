"""The live feed over real sockets: as it happens, where one left off, and never longer or for more than it may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher
from support.lives import hit
from support.outages import away
from support.tracking import IDENTIFIED, JOE, Mail, configuration, opened, say, send, to_joe

from tracker.admin.app import AdminFace, build
from tracker.admin.live import FEED, Feed, Full
from tracker.admin.monitoring import Monitoring
from tracker.config import AdminTable
from tracker.domain import Domain
from tracker.metrics import Sheet
from tracker.reports.feed import Position, news

NOW = datetime.now(UTC)
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@asynccontextmanager
async def serving(domain: Domain) -> AsyncIterator[str]:
    face = AdminFace(domain)
    url = str(await face.start())
    try:
        yield url
    finally:
        await face.stop()


@pytest.fixture
async def url(domain: Domain) -> AsyncIterator[str]:
    async with serving(domain) as url:
        yield url


@dataclass
class Reader:
    """What a browser's EventSource keeps of a stream."""

    response: aiohttp.ClientResponse
    last_id: str = ""
    entries: list[dict[str, Any]] = field(default_factory=list)

    async def event(self) -> dict[str, str] | None:
        """The next block of fields; None at the end."""
        fields: dict[str, str] = {}
        while line := (await asyncio.wait_for(self.response.content.readline(), 20)).decode():
            name, _, value = line.rstrip("\n").partition(":")
            if line == "\n" and fields:
                self.last_id = fields.get("id", self.last_id)
                return fields
            if name:
                fields[name] = value.removeprefix(" ")
        return None

    async def until(self, number: int) -> list[tuple[str, str]]:
        """What was told, once so many entries are there."""
        while len(self.entries) < number:
            event = await self.event()
            assert event is not None, self.entries
            if event.get("event") == "news":
                self.entries += json.loads(event["data"])["entries"]
        return [(one["word"], one["who"]) for one in self.entries]


@asynccontextmanager
async def listening(url: str, after: str = "", **headers: str) -> AsyncIterator[Reader]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/live", params={"after": after}, headers=headers) as response,
    ):
        reader = Reader(response)
        if response.status == 200:
            assert (await reader.event() or {})["retry"]
        yield reader


async def test_it_is_told_to_all_who_listen_as_it_happens(domain: Domain, url: str) -> None:
    copy = await to_joe(domain, subject="<b>Apples</b>\n\ndata: x")
    async with listening(url) as one, listening(url) as another:
        assert one.response.content_type == "text/event-stream"
        assert "default-src 'none'" in one.response.headers["Content-Security-Policy"]
        await hit(domain, copy, NOW)
        await hit(domain, copy, NOW, link=1)
        for reader in (one, another):
            assert sorted(await reader.until(2)) == [("Clicked", JOE), ("Opened", JOE)]
            assert reader.entries[0]["subject"] == "<b>Apples</b>\n\ndata: x"
            assert reader.entries[0]["href"] == f"/messages/{copy.message.hex()}"


async def test_who_comes_back_goes_on_where_they_were(domain: Domain, url: str) -> None:
    copy = await to_joe(domain)
    async with listening(url) as reader:
        await hit(domain, copy, NOW)
        await reader.until(1)
    await hit(domain, copy, NOW, link=1)
    await hit(domain, copy, NOW, link=2)
    async with listening(url, "e0", **{"Last-Event-ID": reader.last_id}) as reader:
        assert await reader.until(2) == [("Clicked", JOE), ("Clicked", JOE)]


async def test_a_page_goes_on_behind_what_it_showed(domain: Domain, url: str) -> None:
    copy = await to_joe(domain)
    shown = await news(domain, None)
    await hit(domain, copy, NOW)
    async with serving(domain) as other, listening(other, str(shown.position)) as reader:
        assert await reader.until(1) == [("Opened", JOE)]


async def test_who_declines_is_told_of_no_more(domain: Domain, url: str) -> None:
    copies = await send(domain, Mail(to={JOE: IDENTIFIED, "ann@people.example": IDENTIFIED}))
    async with listening(url) as reader:
        await hit(domain, copies[JOE], NOW)
        await reader.until(1)
        await say(domain, JOE, "denied")
        await hit(domain, copies[JOE], NOW, link=1)
        await hit(domain, copies["ann@people.example"], NOW)
        assert await reader.until(2) == [("Opened", JOE), ("Opened", "ann@people.example")]


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_stream_ends_with_the_session(store_url: str, tmp_path: Path) -> None:
    def table(name: str) -> AdminTable:
        user = {"name": name, "password_hash": HASH}
        return AdminTable(listen="127.0.0.1:0", user=(user,))

    config = configuration(store_url, tmp_path, admin=table("ann"))
    async with opened(config) as domain, serving(domain) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/live", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/sign-in?next=/live")
        form = {"name": "ann", "password": "secret"}
        async with session.post(f"{url}/sign-in", data=form, allow_redirects=False) as answer:
            cookie = answer.cookies["candor_session"].value
        async with listening(url, Cookie=f"candor_session={cookie}") as reader:
            domain.reconfigure(configuration(store_url, tmp_path, admin=table("bob")))
            await hit(domain, await to_joe(domain), NOW)
            assert await reader.event() is None
            assert reader.entries == []


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_no_more_listen_than_may_and_who_leaves_makes_room(domain: Domain) -> None:
    feed = Feed(domain, at_most=1)
    listener = await feed.listen(None)
    with pytest.raises(Full):
        await feed.listen(None)
    feed.leave(listener)
    await feed.listen(None)
    await feed.close()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_who_reads_too_slowly_is_let_go(domain: Domain) -> None:
    feed = Feed(domain, every=0.01)
    slow, quick = await feed.listen(None), await feed.listen(None)
    copy, took = await to_joe(domain), 0
    while (found := await asyncio.wait_for(quick.queue.get(), 20)) is not None and took < 15:
        took += len(found.entries)
        await hit(domain, copy, NOW)
    waiting = [slow.queue.get_nowait() for _ in range(slow.queue.qsize())]
    assert waiting[-1] is None
    assert len(waiting) < took
    await feed.close()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_after_an_outage_it_goes_on_with_all_that_came(domain: Domain) -> None:
    feed = Feed(domain, every=0.01)
    listener, copy = await feed.listen(None), await to_joe(domain)
    assert await asyncio.wait_for(listener.queue.get(), 20)
    with away(domain.database.reads):
        await hit(domain, copy, NOW)
        await asyncio.sleep(0.05)
    found = await asyncio.wait_for(listener.queue.get(), 20)
    assert found is not None
    assert [one.kind for one in found.entries] == ["opened"]
    await feed.close()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_is_missing_is_given_up_after_a_while(domain: Domain) -> None:
    clock = [0.0]
    feed = Feed(domain, every=0.01, clock=lambda: clock[0])
    position = Position.read("e10-8-9")
    assert position is not None
    for seconds, missing in ((0.0, {8, 9}), (100.0, {8, 9}), (121.0, set())):
        clock[0] = seconds
        assert feed._without_the_given_up(position).places["e"].missing == missing


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_silence_is_broken_by_a_line_that_keeps_the_place(domain: Domain) -> None:
    app = build(domain, Monitoring(domain, Sheet()))
    app[FEED].heartbeat = 0.01
    async with TestServer(app) as server, listening(str(server.make_url("")).rstrip("/")) as reader:
        assert "data" not in (await reader.event() or {"data": "none"})
        assert Position.read(reader.last_id) is not None
