"""The tracker as a program, and its store, killed and taken away under load: what was answered after its commit is
there, what was journaled is stored when the store is back, and links lead on all the while."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.outages import Outage, locked
from support.sites import Program, Site, domain_of, site, until
from support.stores import PostgresServer
from support.tracking import IDENTIFIED, PERSON, Copy, Mail, send

from tracker import keyring
from tracker.domain import Domain
from tracker.journal import waiting

PEOPLE = 40
CONNECTIONS = 8
QUICK = {"ask_within": "500ms", "write_within": "500ms"}


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that no other test needs."""
    server = PostgresServer()
    yield server
    server.close()


def tracker_site(folder: Path, store_url: str, **tables: dict[str, Any]) -> Site:
    return site(folder, store_url, f"capture:{folder / 'captured'}", **tables)


async def mail(domain: Domain) -> list[Copy]:
    """A message by name to many people."""
    to = {f"p{n}@people.example": IDENTIFIED for n in range(PEOPLE)}
    return list((await send(domain, Mail(to=to))).values())


async def hit(where: Site, paths: list[str], heard: Counter[str], until_: Callable[[], bool]) -> None:
    """Asks for the paths in turn over one connection, and notes those that were answered."""
    while not until_():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", where.web_port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        try:
            while not until_():
                path = paths[heard.total() % len(paths)]
                writer.write(f"GET {path} HTTP/1.1\r\nHost: t\r\nUser-Agent: {PERSON}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 302 ")), head
                if head.startswith(b"HTTP/1.1 200 "):
                    await reader.readexactly(43)
                heard[path] += 1
        except (OSError, asyncio.IncompleteReadError):
            continue
        finally:
            writer.close()


@asynccontextmanager
async def load(where: Site, copies: list[Copy]) -> AsyncIterator[Counter[str]]:
    """Hits without end, and how often each path was answered."""
    paths = [path for copy in copies for path in (copy.pixel, copy.link())]
    heard: Counter[str] = Counter()
    over = False
    clients = [asyncio.create_task(hit(where, paths[n:], heard, lambda: over)) for n in range(CONNECTIONS)]
    try:
        yield heard
    finally:
        over = True
        await asyncio.gather(*clients)


async def stored(domain: Domain, copies: list[Copy]) -> Counter[str]:
    """How often each path's hit is on record."""
    paths = {(copy.delivery.hex(), "opened"): copy.pixel for copy in copies}
    paths |= {(copy.delivery.hex(), "clicked"): copy.link() for copy in copies}
    return Counter(paths[one["delivery"], one["kind"]] for one in await domain.events.list())


async def gone(where: Site) -> None:
    """Nothing waits in the journal any more."""
    await until(lambda: not waiting(where.folder / "journal"), "the journal is stored")


async def test_after_any_number_of_kills_every_hit_that_was_answered_is_on_record(
    store_url: str, tmp_path: Path
) -> None:
    """With all the time in the world (`answer_within = "20s"`) an answer follows its commit."""
    where = tracker_site(tmp_path, store_url)
    async with domain_of(where) as domain:
        copies = await mail(domain)
        async with Program(where, "tracker") as program:
            async with load(where, copies) as heard:
                for _ in range(3):
                    before = heard.total()
                    await until(lambda: heard.total() > before + 150, "hits are answered")  # noqa: B023
                    program.kill()
                    await program.start()
            assert await program.stop() == 0
        kept = await stored(domain, copies)
    assert heard - kept == Counter()
    assert (kept - heard).total() <= 3 * CONNECTIONS  # committed, and killed before the answer


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("store", ["sqlite-locked", "postgresql-killed"])
async def test_through_an_outage_with_kills_no_hit_that_was_journaled_is_lost(
    store: str, workers: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    outage = await outage_of(store, tmp_path, request)
    where = tracker_site(tmp_path, outage.store_url, store=QUICK)
    async with domain_of(where) as domain:
        copies = await mail(domain)
    async with Program(where, f"tracker --workers {workers}") as program:
        outage.begin()
        async with load(where, copies) as heard:
            # Those on the way when the store went may have been tried there first; from then on all are journaled.
            await until(lambda: heard.total() > 600, "hits are answered while the store is away", patience=60)
            for victim in family(program.pid):
                os.kill(victim, signal.SIGKILL)
        files = waiting(where.folder / "journal")
        assert len(files) >= 1
        program.kill()
        outage.end()
        await program.start()
        await gone(where)
        assert await program.stop() == 0
    async with domain_of(where) as domain:
        kept = await stored(domain, copies)
    assert heard - kept == Counter()
    assert (kept - heard).total() <= 2 * CONNECTIONS


def family(pid: int) -> list[int]:
    """The workers, or the program itself where it has none."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in children] or [pid]


async def outage_of(name: str, folder: Path, request: pytest.FixtureRequest) -> Outage:
    if name == "sqlite-locked":
        url = f"sqlite:///{folder / 'candor.db'}"
        lock = locked(url)
        return Outage(url, lock.__enter__, lambda: lock.__exit__(None, None, None))
    server: PostgresServer = request.getfixturevalue("own_server")
    url = await server.create()
    return Outage(url, server.kill, server.restart)


async def test_the_database_may_be_killed_under_load_and_no_answered_hit_is_missing(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        where = tracker_site(tmp_path, await server.create(), store=QUICK)
        async with domain_of(where) as domain:
            copies = await mail(domain)
        async with Program(where, "tracker") as program:
            async with load(where, copies) as heard:
                for _ in range(2):
                    before = heard.total()
                    await until(lambda: heard.total() > before + 100, "hits are answered")  # noqa: B023
                    server.kill()
                    await until(lambda: heard.total() > before + 250, "links lead on")  # noqa: B023
                    server.restart()
                    await until(lambda: heard.total() > before + 350, "links lead on")  # noqa: B023
            await gone(where)
            assert await program.stop() == 0
        async with domain_of(where) as domain:
            kept = await stored(domain, copies)
        assert heard - kept == Counter()
    finally:
        server.close()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_tracker_that_starts_before_its_database_leads_on_and_keeps_what_came(
    workers: int, own_server: PostgresServer, tmp_path: Path
) -> None:
    where = tracker_site(tmp_path, await own_server.create(), store=QUICK)
    async with domain_of(where) as domain:
        copies = await mail(domain)
    own_server.kill()
    async with Program(where, f"tracker --workers {workers}") as program:
        async with load(where, copies) as heard:
            await until(lambda: heard.total() > 100, "links lead on")
            assert waiting(where.folder / "journal")
            own_server.restart()
            await until(lambda: program.log.count('"store-back"') >= 2 * workers, "the store is there")
            before = heard.total()
            await until(lambda: heard.total() > before + 50, "links lead on")
        await gone(where)
        assert await program.stop() == 0
    async with domain_of(where) as domain:
        kept = await stored(domain, copies)
    assert heard - kept == Counter()
    assert '"hits-late-or-lost"' not in program.log or '"lost": 0' in program.log
    assert "Traceback" not in program.log


async def test_a_tracker_with_another_key_ring_ends_when_its_database_is_there(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    where = tracker_site(tmp_path, await own_server.create(), store=QUICK)
    async with domain_of(where) as domain:
        await mail(domain)
    (where.folder / "keys.toml").unlink()
    keyring.load_or_create(where.folder / "keys.toml")
    own_server.kill()
    async with Program(where, "tracker") as program:
        own_server.restart()
        assert await program.ended() == 1
        assert "which this ring lacks" in program.log
        assert "Traceback" not in program.log


@pytest.mark.parametrize("then", ["deleted", "replaced"])
async def test_with_the_database_deleted_links_lead_on_and_nothing_vanishes_with_it(
    then: str, tmp_path: Path
) -> None:
    file, aside = tmp_path / "candor.db", tmp_path / "aside"
    where = tracker_site(tmp_path, f"sqlite:///{file}", store=QUICK)
    async with domain_of(where) as domain:
        copies = await mail(domain)
    aside.mkdir()
    async with Program(where, "tracker") as program:
        async with load(where, copies) as heard:
            await until(lambda: heard.total() > 100, "hits are answered")
            for one in tmp_path.glob("candor.db*"):
                one.rename(aside / one.name)
            if then == "replaced":
                file.write_bytes((aside / "candor.db").read_bytes())
            before = heard.total()
            await until(lambda: heard.total() > before + 200, "links lead on")
            await until(lambda: "deleted or replaced" in program.log, "it says why the store is away")
            assert waiting(where.folder / "journal")
            for one in aside.iterdir():
                one.rename(tmp_path / one.name)
            await until(lambda: '"store-back"' in program.log, "the store is back")
        await gone(where)
        assert await program.stop() == 0
    async with domain_of(where) as domain:
        kept = await stored(domain, copies)
    assert heard - kept == Counter()
    assert (kept - heard).total() <= CONNECTIONS
    assert "Traceback" not in program.log
