"""What is left when everybody has read their mail: in the database, its write-ahead log and the program's log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.people import (
    CLIENT_IP,
    DENIED,
    GRANTED,
    READER_IP,
    SENDER,
    URLS,
    USER_AGENT,
    Copy,
    assert_names_nobody,
    browsing,
    copies,
    newsletter,
    rows,
    send,
    tell,
    with_page,
)
from support.sites import Program, Site, command, domain_of, running, site, until
from support.stores import Stores
from support.upstream import ScriptedUpstream, on, say
from support.waiting import nothing_waits

from relay.store.schema import queue, spool
from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.store.schema import attempts, counts, deliveries, events, jobs, messages, metadata, rollups

WENT = "wanda@people.example"
"""Agreed, read, and then asked to be erased."""


@asynccontextmanager
async def started(where: Site) -> AsyncIterator[tuple[Program, Domain]]:
    async with Program(where) as program, domain_of(where) as domain:
        yield program, domain


async def dump(domain: Domain) -> dict[str, list[dict[str, Any]]]:
    """Every table, row by row."""
    tables = (*metadata.sorted_tables, spool, queue)
    left = {table.name: await rows(domain, table) for table in tables}
    left[deliveries.name].sort(key=lambda row: (row["message_id"], row["position"]))
    left[rollups.name].sort(key=lambda row: (row["measure"], row["key"], row["slot"], row["subject"]))
    return left


async def settled(domain: Domain) -> dict[str, list[dict[str, Any]]]:
    """The same once all is rolled up, but for when which job was done."""

    async def is_rolled_up() -> bool:
        marks = [row["unrolled"] == 0 for row in await rows(domain, deliveries)]
        return all(marks + [row["rolled"] == row["verdict"] for row in await rows(domain, events)])

    await until(is_rolled_up, "all is rolled up")
    left = await dump(domain)
    del left[jobs.name]
    return left


def octets(store_url: str) -> bytes:
    """All that lies on the disk of an SQLite store, write-ahead log and all."""
    file = Path(store_url.removeprefix("sqlite:///"))
    return b"".join(one.read_bytes() for one in sorted(file.parent.glob(f"{file.name}*")))


async def test_of_those_who_declined_nothing_is_left_but_that_they_got_the_mail(
    store_kind: str, store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream() as upstream, browsing() as browser:
        where = site(tmp_path, store_url, upstream.url)
        async with started(where) as (program, domain):
            # Both agree at first, so that there is something in their mail to hit.
            for person in (DENIED, WENT):
                await tell(domain, person, Consent.GRANTED)
            assert (await send(where.smtp_port, with_page(), GRANTED, DENIED, WENT))[0] == 250
            got = copies(upstream.received)
            for person in (WENT, GRANTED):
                await browser.read(got[person])
            await browser.choose(got[DENIED], "decline")
            await command(where, "contact", "erase", "--yes", WENT)
            before = await settled(domain)
            for person in (DENIED, WENT):
                assert await browser.read(got[person]) == [URLS[0]]
            assert await settled(domain) == before
            assert await program.stop() == 0
        ids = {row["position"]: row["id"] for row in before[deliveries.name]}
        assert {row["delivery_id"] for row in before[events.name]} == {ids[0]}
        assert before[counts.name] == before[spool.name] == before[queue.name] == []
        assert [row["recipient"] for row in before[deliveries.name]] == [GRANTED, DENIED, None]
        assert WENT not in repr(before)
        assert_names_nobody(program.log)
        assert ids[1].hex() not in program.log
        assert ids[2].hex() not in program.log
        if store_kind == "sqlite":
            left = octets(store_url)
            assert GRANTED.encode() in left, "this would show nothing"
            assert b"wanda" not in left
            for word in (READER_IP, USER_AGENT, "Firefox/140"):
                assert word.encode() not in left


async def test_upstream_s_words_about_an_erased_person_are_not_kept(store_url: str, tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            await tell(domain, WENT, Consent.GRANTED)
            await domain.erasure.erase(WENT, actor="test", now=datetime.now(UTC))
            assert (await send(where.smtp_port, newsletter(), WENT))[0] == 250
            (attempt,) = await rows(domain, attempts)
            assert attempt["text"] == ""
            everything = repr(await dump(domain))
            assert "wanda" not in everything
            assert CLIENT_IP not in everything


async def test_nobody_can_tell_which_of_two_in_a_cell_clicked(
    store_kind: str, stores: Stores, tmp_path: Path
) -> None:
    first = await one_clicks(store_kind, stores, tmp_path / "one", clicker=1)
    second = await one_clicks(store_kind, stores, tmp_path / "two", clicker=3)
    assert first == second
    assert sum(row["n"] for row in first[0][counts.name]) == 1 + len(URLS)


async def one_clicks(
    store_kind: str, stores: Stores, folder: Path, *, clicker: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is left, ids and times aside, when this one of five reads the mail: the dump and the log's lines."""
    people = [f"donna{n}@people.example" for n in range(5)]
    folder.mkdir()
    async with (
        stores.fresh(store_kind, folder) as store_url,
        ScriptedUpstream() as upstream,
        browsing() as browser,
    ):
        where = site(folder, store_url, upstream.url, log={"level": "debug"})
        async with started(where) as (program, domain):
            for person in people:
                await tell(domain, person, Consent.GRANTED, DoNotTrack.TRUE, group="sales")
            assert (await send(where.smtp_port, newsletter(), *people))[0] == 250
            copy: Copy = copies(upstream.received)[people[clicker]]
            await browser.read(copy)
            left = await settled(domain)
            assert await program.stop() == 0
        log = [json.loads(line) for line in program.log.splitlines()]
    return {name: [_same(row) for row in table] for name, table in left.items()}, [
        _same(line) for line in log
    ]


def _same(row: dict[str, Any]) -> dict[str, Any]:
    """Without what differs between any two runs: ids, times, ports."""
    varying = ("id", "_at", "_as_of", "timestamp", "port", "url", "host", "upstream", "doubt")
    of_times = ("rolled", "slot", "subject")
    secret = (
        "salt",
        "commitment",
        "previous",
        "hash",
        "content",
        "first_used",
        "first_seen",
        "person_key",
        "permanent",
    )
    return {
        key: value
        for key, value in row.items()
        if key not in ("at", *secret, *of_times) and not key.endswith(varying)
    }


async def test_of_a_user_agent_only_family_device_and_system_are_kept(store_url: str, tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, browsing("Mozilla/5.0 (Galaxy Fold; secret/123)") as browser:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            assert (await send(where.smtp_port, newsletter(), GRANTED))[0] == 250
            await browser.read(copies(upstream.received)[GRANTED])
            left = repr(await dump(domain))
            assert len(await rows(domain, events)) == 1 + len(URLS)
        for word in ("secret", "Galaxy", READER_IP):
            assert word not in left


async def test_a_store_s_errors_name_no_address_in_the_log(tmp_path: Path, stores: Stores) -> None:
    async with stores.fresh("sqlite", tmp_path) as store_url, ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with started(where) as (program, domain):
            await domain.database.change(
                lambda connection: connection.execute(text("DROP TABLE audience_members"))
            )
            await domain.database.change(lambda connection: connection.execute(text("DROP TABLE attempts")))
            assert (await send(where.smtp_port, newsletter(), GRANTED, DENIED))[0] == 250
            assert await program.stop() == 0
        assert "outcome-lost" in program.log
        assert_names_nobody(program.log)


@pytest.mark.parametrize("erased", [True, False])
async def test_a_report_to_an_erased_sender_does_not_write_their_address_anew(
    store_url: str, tmp_path: Path, erased: bool
) -> None:
    refused = on("rcpt", say("550 5.1.1 No such user"), match=DENIED)
    async with ScriptedUpstream(refused) as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            if erased:  # and who is not may be by the time it is written
                await domain.erasure.erase(SENDER, actor="test", now=datetime.now(UTC))
            assert (await send(where.smtp_port, newsletter(), GRANTED, DENIED))[0] == 250
            await until(lambda: nothing_waits(domain), "the report has left")
            assert any(SENDER in one.addresses for one in upstream.received)
            named = {row["recipient"] for row in await rows(domain, deliveries)}
            assert named == {GRANTED, DENIED, None}


async def test_links_are_written_down_only_where_somebody_s_copy_carries_them(
    store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            await tell(domain, DENIED, Consent.DENIED)
            await tell(domain, GRANTED, Consent.GRANTED)
            assert (await send(where.smtp_port, newsletter(), DENIED))[0] == 250
            assert [row["links"] for row in await rows(domain, messages)] == [None]
            assert (await send(where.smtp_port, newsletter(), DENIED, GRANTED))[0] == 250
            [wrapped] = [row["links"] for row in await rows(domain, messages) if row["links"]]
            assert {url for _, url, _ in wrapped} == set(URLS)
