"""The store is taken away under load: mail flows untracked, links lead on, and nothing acknowledged is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.load import Log, arrived, copies_of, load
from support.outages import Outage, locked
from support.people import GRANTED, UNKNOWN, URLS, Copy, browsing, newsletter, send, tell
from support.sites import Program, domain_of, running, site, until
from support.stores import PostgresServer, Stores
from support.upstream import ScriptedUpstream

from tracker.consent import Consent

SESSIONS = 8
PEOPLE = (GRANTED, UNKNOWN)
IMPATIENT = {"ask_within": "1s", "write_within": "2s"}


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that no other test needs."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite-locked", "postgresql-stopped", "postgresql-killed"])
async def outage(request: pytest.FixtureRequest, tmp_path: Path) -> Outage:
    if request.param == "sqlite-locked":
        url = f"sqlite:///{tmp_path / 'candor.db'}"
        lock = locked(url)
        return Outage(url, lock.__enter__, lambda: lock.__exit__(None, None, None))
    server: PostgresServer = request.getfixturevalue("own_server")
    url = await server.create()
    if request.param == "postgresql-stopped":
        return Outage(url, server.hang, server.resume)
    return Outage(url, server.kill, server.restart)


async def test_mail_and_links_do_without_the_store(outage: Outage, tmp_path: Path) -> None:
    log = Log()
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, outage.store_url, upstream.url, store=IMPATIENT | {"url": outage.store_url})
        async with Program(where) as program, browsing() as browser:
            async with domain_of(where) as domain:
                await tell(domain, GRANTED, Consent.GRANTED)

            async def phase(name: str, count: int) -> list[Copy]:
                await load(where.smtp_port, log, name, count, sessions=SESSIONS, recipients=PEOPLE)
                return copies_of(upstream.received, name)

            async def one_more_is_tracked() -> bool:
                number = len(log.codes)
                (copy,) = await phase(f"again{number}", 1)
                return copy.is_tracked

            async def links_lead_on() -> None:
                for _ in range(5):
                    began = time.monotonic()
                    assert await browser.read(before[0]) == list(URLS)
                    assert time.monotonic() - began < 15.0
                    await asyncio.sleep(0.2)

            before = await phase("before", 100)
            assert all(copy.is_tracked for copy in before)
            outage.begin()
            try:
                await asyncio.gather(phase("noticing", 50), links_lead_on())
                during = await phase("during", 250)
                await links_lead_on()
            finally:
                outage.end()
            assert not any(copy.is_tracked for copy in during)
            await until(one_more_is_tracked, "mail is tracked again")
            after = await phase("after", 100)
            assert all(copy.is_tracked for copy in after)
            assert await browser.read(after[0]) == list(URLS)
            assert await program.stop() == 0
    counted = arrived(upstream.received)
    assert log.acknowledged <= set(counted), "acknowledged, but missing"
    assert log.acknowledged == set(log.codes), "the client had to keep mail that could have gone"
    assert max(counted.values()) == 1
    assert '"store-away"' in program.log
    assert "outcome-lost" not in program.log


async def test_a_program_whose_store_is_away_stops_when_told(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    url = await own_server.create()
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, url, upstream.url, store=IMPATIENT | {"url": url})
        async with Program(where) as program:
            assert (await send(where.smtp_port, newsletter(), GRANTED))[0] == 250
            own_server.hang()
            try:
                assert (await send(where.smtp_port, newsletter(), GRANTED))[0] == 250
                assert await program.stop() == 0
            finally:
                own_server.resume()


async def test_without_a_store_nothing_can_be_kept_and_store_and_forward_says_so(
    stores: Stores, tmp_path: Path
) -> None:
    async with stores.fresh("sqlite", tmp_path) as url, ScriptedUpstream() as upstream:
        tables = {"store": IMPATIENT | {"url": url}, "relay": {"wait_for_upstream": "0s"}}
        where = site(tmp_path, url, upstream.url, **tables)
        async with running(where):
            with locked(url):
                code, text = await send(where.smtp_port, newsletter(), GRANTED)
                assert (code, text[:5]) == (451, "4.3.0")
            assert upstream.received == []
            await until(lambda: _is_taken(where.smtp_port), "mail is taken again")
            await until(lambda: upstream.received, "mail is delivered again")


async def _is_taken(port: int) -> bool:
    return (await send(port, newsletter(), GRANTED))[0] == 250
