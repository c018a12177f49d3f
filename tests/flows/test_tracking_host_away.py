"""Our own tracking host is away: mail goes out as it came, with the reason on record, and is tracked again after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, update
from support.people import DENIED, GRANTED, UNKNOWN, newsletter, rows, send, tell
from support.sites import Site, command, domain_of, running, site, until
from support.upstream import ScriptedUpstream, on, say

from relay.store.schema import queue
from tracker.consent import Consent
from tracker.domain import Domain
from tracker.store.hosts import Examined, note
from tracker.store.schema import deliveries

UNREACHABLE = "http://tracking.invalid"
OFF = {"tracker": {"public_url": UNREACHABLE}, "probe": {"every": "1h"}}


async def say_of_it(where: Site, problem: str) -> None:
    """What some node found an hour ago."""
    async with domain_of(where) as domain:
        at = datetime.now(UTC) - timedelta(hours=1) if problem else datetime.now(UTC)
        await domain.database.change(partial(note, url=UNREACHABLE, found=Examined(problem=problem), now=at))


async def said_of(domain: Domain) -> dict[str, tuple[str, str]]:
    return {one["recipient"]: (one["mode"], one["reason"]) for one in await rows(domain, deliveries)}


async def test_copies_go_out_untouched_while_it_is_away_and_tracked_when_it_is_back(
    store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path / "site", store_url, upstream.url, **OFF)
        await say_of_it(where, "no connection")
        async with running(where) as domain:
            await tell(domain, DENIED, Consent.DENIED)
            assert (await send(where.smtp_port, newsletter(), GRANTED, DENIED))[0] == 250
            assert await said_of(domain) == {
                GRANTED: ("untracked", "tracking-host-away"),
                DENIED: ("untracked", "denied"),
            }
            (message,) = await domain.deliveries.list()
            assert "tracking-host-away" in await command(where, "message", "show", message["id"])
        assert all(UNREACHABLE.encode() not in one.data for one in upstream.received)
        await say_of_it(where, "")
        async with running(where) as domain:
            assert (await send(where.smtp_port, newsletter(), UNKNOWN))[0] == 250
            assert (await said_of(domain))[UNKNOWN] == ("identified", "unknown-identified")
        assert f"{UNREACHABLE}/c/".encode() in upstream.received[-1].data


async def test_a_later_try_leaves_the_links_alone_too(store_url: str, tmp_path: Path) -> None:
    later = ScriptedUpstream(on("rcpt", say("451 4.2.0 Later, please")))
    tables = {**OFF, "queue": {"first_retry": "1h"}, "relay": {"wait_for_upstream": "0s"}}
    async with later as upstream:
        where = site(tmp_path / "site", store_url, upstream.url, **tables)
        async with running(where) as domain:
            assert (await send(where.smtp_port, newsletter(), GRANTED))[0] == 250
            await until(partial(_tried, domain), "the first try is over")
    await say_of_it(where, "no connection")
    async with ScriptedUpstream() as upstream:
        text = where.config_file.read_text()
        where.config_file.write_text(text.replace(later.url, upstream.url))
        async with domain_of(where) as domain:
            await domain.database.change(_due_now)
        async with running(where) as domain:
            await until(lambda: upstream.received, "it is sent")
            await until(partial(_is_accepted, domain), "that is on record")
            assert await said_of(domain) == {GRANTED: ("untracked", "tracking-host-away")}
        assert UNREACHABLE.encode() not in upstream.received[0].data


def _due_now(connection: Connection) -> None:
    connection.execute(update(queue).values(due_at=0.0))


async def _tried(domain: Domain) -> bool:
    return [row["tries"] for row in await rows(domain, queue) if not row["lease"]] == [1]


async def _is_accepted(domain: Domain) -> bool:
    return [row["status"] for row in await rows(domain, deliveries)] == ["accepted"]
