"""A queue whose upstream is gone, and a disk that is full: little is written, nothing is lost, all goes on after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.people import newsletter, rows, send
from support.sites import free_port, running, site, until
from support.stores import PostgresServer
from support.tracking import configuration
from support.upstream import ScriptedUpstream
from support.waiting import nothing_waits

from relay import replies
from relay.room import Room
from relay.store.schema import queue
from tracker.config import StoreTable
from tracker.domain import Domain
from tracker.errors import StoreUnavailable
from tracker.store.schema import attempts

MESSAGES, AT_ONCE = 60, 4


async def test_while_upstream_is_away_few_are_tried_and_then_all(store_url: str, tmp_path: Path) -> None:
    port = free_port()
    tables = {
        "relay": {"wait_for_upstream": "0s"},
        "queue": {"at_once": AT_ONCE, "first_retry": "200ms", "longest_retry": "1s"},
    }
    where = site(tmp_path, store_url, f"smtp://127.0.0.1:{port}", **tables)
    with capture_logs() as said:
        async with running(where) as domain:
            people = [f"p{number}@people.example" for number in range(MESSAGES)]
            replied = await asyncio.gather(*(send(where.smtp_port, newsletter(), one) for one in people))
            assert {code for code, _ in replied} == {250}
            await until(
                lambda: any(line["event"] == "upstream-away" for line in said), "it is known to be away"
            )
            await asyncio.sleep(1.0)
            tried = await rows(domain, attempts)
            assert len(tried) < MESSAGES / 2, "one attempt after the other was written down"
            assert len(await rows(domain, queue)) == MESSAGES
            async with ScriptedUpstream(port=port) as upstream:
                await until(lambda: nothing_waits(domain), "all have it")
                got = [address for one in upstream.received for address in one.addresses]
                assert sorted(got) == sorted(people)
    assert "upstream-back" in [line["event"] for line in said]


async def test_with_little_room_left_new_mail_is_put_off(
    store_url: str, store_kind: str, tmp_path: Path
) -> None:
    if store_kind == "postgresql":  # has its own disk
        return
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url, queue={"min_free": "1000000000GB"})
        async with running(where):
            code, said = await send(where.smtp_port, newsletter(), "ann@people.example")
            assert (code, said[:5]) == (452, "4.3.1")


async def test_room_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.room._AGAIN", 0.05)
    room = Room(tmp_path, 10**24)
    assert room.check() == replies.DISK_NEARLY_FULL
    room.least = 1
    await until(lambda: room.check() is None, "there is room again")
    assert Room(None, 10**24).check() is None
    assert Room(tmp_path / "nowhere", 10**24).check() is None


async def test_a_program_waits_for_its_store(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        url = await server.create()
        config = configuration(url, tmp_path, store=StoreTable(url=url, wait_at_start="30s"))  # type: ignore[arg-type]
        server.kill()
        hasty = config.model_copy(update={"store": StoreTable(url=url, wait_at_start="100ms")})  # type: ignore[arg-type]
        with pytest.raises(StoreUnavailable):
            await Domain.open_patiently(hasty)
        with capture_logs() as said:
            opening = asyncio.create_task(Domain.open_patiently(config))
            await until(lambda: bool(said), "it says that it waits")
            await asyncio.to_thread(server.restart)
            domain = await opening
            await domain.close()
        assert {line["event"] for line in said} == {"store-awaited"}
    finally:
        server.close()
