"""What is not settled while the client waits: kept, tried again, reported, and never sent twice without need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest
from support.people import (
    GRANTED,
    LOOSE,
    SENDER,
    UNKNOWN,
    Copy,
    copies,
    newsletter,
    rows,
    send,
    statuses,
    tell,
)
from support.sites import Program, Site, domain_of, running, site, until
from support.stores import Stores
from support.upstream import Received, Rule, ScriptedUpstream, hang, held, on, say, slow
from support.waiting import let_leases_run_out, nothing_waits

from relay.store.schema import queue, spool
from tracker.consent import Consent
from tracker.domain import Domain
from tracker.store.schema import attempts, messages

RETRIES = {"first_retry": "200ms", "longest_retry": "400ms"}
LATER = "451 4.2.0 Later, please"
NEVER = "550 5.1.1 No such user"


@asynccontextmanager
async def relaying(
    folder: Path, store_url: str, *rules: Rule, wait: str = "20s", **tables: dict[str, Any]
) -> AsyncIterator[tuple[Site, Domain, ScriptedUpstream]]:
    """A running Candor that hands on to an upstream with these rules."""
    async with ScriptedUpstream(*rules) as upstream:
        given = {"queue": RETRIES, "relay": {"wait_for_upstream": wait}} | tables
        where = site(folder, store_url, upstream.url, **given)
        async with running(where) as domain:
            yield where, domain, upstream


def to(received: Sequence[Received], address: str) -> list[Copy]:
    return [Copy(data=one.data) for one in received if address in one.addresses]


# --- what the client hears ---


@pytest.mark.parametrize(
    ("reply", "status"), [("250 2.6.0 Thank you, <a@b>", "accepted"), (LATER, "returned"), (NEVER, "bounced")]
)
async def test_a_single_recipient_hears_upstream_s_own_reply(
    store_url: str, tmp_path: Path, reply: str, status: str
) -> None:
    async with relaying(tmp_path, store_url, on("dot", say(reply))) as (where, domain, _):
        code, text = await send(where.smtp_port, newsletter(), UNKNOWN)
        assert f"{code} {text}" == reply
        assert await statuses(domain) == {UNKNOWN: status}
        assert await nothing_waits(domain)


async def test_when_all_are_put_off_the_client_keeps_the_mail(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url, on("rcpt", say(LATER))) as (where, domain, upstream):
        code, _ = await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN)
        assert code == 451
        assert set((await statuses(domain)).values()) == {"returned"}
        assert await nothing_waits(domain)
        assert upstream.received == []


async def test_when_all_are_refused_the_client_hears_it_and_nobody_writes_a_report(
    store_url: str, tmp_path: Path
) -> None:
    async with relaying(tmp_path, store_url, on("rcpt", say(NEVER))) as (where, domain, _):
        code, text = await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN)
        assert (code, text) == (550, "5.1.1 No such user")
        assert set((await statuses(domain)).values()) == {"bounced"}
        assert await nothing_waits(domain)


# --- mixed results ---


async def test_of_mixed_results_each_recipient_has_their_own_and_the_sender_one_report(
    store_url: str, tmp_path: Path
) -> None:
    rules = (on("rcpt", say(LATER), match=UNKNOWN, times=2), on("rcpt", say(NEVER), match=LOOSE))
    async with relaying(tmp_path, store_url, *rules) as (where, domain, upstream):
        await tell(domain, GRANTED, Consent.GRANTED)
        code, _ = await send(
            where.smtp_port, newsletter(), GRANTED, UNKNOWN, LOOSE, options=["ENVID=QQ314159", "RET=HDRS"]
        )
        assert code == 250
        first = await statuses(domain)
        assert (first[GRANTED], first[LOOSE]) == ("accepted", "bounced")
        await until(lambda: nothing_waits(domain), "the queue is empty")
        assert (await statuses(domain))[UNKNOWN] == "accepted"
        assert set(copies(upstream.received)) == {GRANTED, UNKNOWN, SENDER}
        (report,) = to(upstream.received, SENDER)
        tries = [row["status"] for row in await rows(domain, attempts) if row["code"] != 550]
        assert sorted(tries) == ["accepted", "accepted", "accepted", "deferred", "deferred"]
    (sent,) = [one for one in upstream.received if SENDER in one.addresses]
    assert sent.sender.startswith("<>")
    assert_reports_failure(report.data, LOOSE)


def assert_reports_failure(data: bytes, address: str) -> None:
    """RFC 3464, as Python's own parser reads it."""
    report = cast(EmailMessage, BytesParser(policy=default).parsebytes(data))
    assert report.get_content_type() == "multipart/report"
    assert report["Auto-Submitted"] == "auto-replied"
    words, status, original = report.iter_parts()
    assert address in words.get_content()
    assert status.get_content_type() == "message/delivery-status"
    about_message, about_recipient = cast(list[EmailMessage], status.get_payload())
    assert about_message["Original-Envelope-Id"] == "QQ314159"
    assert str(about_message["Reporting-MTA"]) == "dns; relay.example"
    assert str(about_recipient["Final-Recipient"]) == f"rfc822; {address}"
    assert str(about_recipient["Action"]) == "failed"
    assert str(about_recipient["Status"]) == "5.1.1"
    assert str(about_recipient["Diagnostic-Code"]) == "smtp; 550 5.1.1 No such user"
    assert original.get_content_type() == "text/rfc822-headers"
    assert "X-Mailer: a shop" in original.get_content()


@pytest.mark.parametrize("case", ["notify-never", "null-sender"])
async def test_no_report_is_written_where_none_is_owed(store_url: str, tmp_path: Path, case: str) -> None:
    async with relaying(tmp_path, store_url, on("rcpt", say(NEVER), match=LOOSE)) as (
        where,
        domain,
        upstream,
    ):
        wishes = {LOOSE: "NEVER"} if case == "notify-never" else None
        sender = "" if case == "null-sender" else SENDER
        code, _ = await send(where.smtp_port, newsletter(), GRANTED, LOOSE, sender=sender, notify=wishes)
        assert code == 250
        assert await nothing_waits(domain)
        assert len(await rows(domain, messages)) == 1
        assert set(copies(upstream.received)) == {GRANTED}
        assert (await statuses(domain))[LOOSE] == "bounced"


# --- upstream slower than the client's patience ---


async def test_a_slow_try_goes_on_when_the_client_was_answered_and_sends_one_copy(
    store_url: str, tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    async with relaying(tmp_path, store_url, on("dot", held(go_on)), wait="200ms") as (
        where,
        domain,
        upstream,
    ):
        code, _ = await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN)  # does not wait for upstream
        assert code == 250
        assert set((await statuses(domain)).values()) == {"queued"}
        assert len(await rows(domain, queue)) == 2
        go_on.set()
        await until(lambda: nothing_waits(domain), "the queue is empty")
        assert set(copies(upstream.received)) == {GRANTED, UNKNOWN}
        assert set((await statuses(domain)).values()) == {"accepted"}
        assert [row["status"] for row in await rows(domain, attempts)] == ["accepted"] * 2


async def test_who_was_put_off_before_the_client_s_patience_ended_is_on_record_once(
    store_url: str, tmp_path: Path
) -> None:
    rules = (on("rcpt", say(LATER), match=UNKNOWN, times=1), on("dot", slow(1.0), times=1))
    async with relaying(tmp_path, store_url, *rules, wait="300ms") as (where, domain, upstream):
        await tell(domain, GRANTED, Consent.GRANTED)
        assert (await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN))[0] == 250
        await until(lambda: nothing_waits(domain), "the queue is empty")
        assert set(copies(upstream.received)) == {GRANTED, UNKNOWN}
        assert sorted(row["status"] for row in await rows(domain, attempts)) == [
            "accepted",
            "accepted",
            "deferred",
        ]


async def test_store_and_forward_answers_first_and_delivers_then(store_url: str, tmp_path: Path) -> None:
    go_on = asyncio.Event()
    async with relaying(tmp_path, store_url, on("connect", held(go_on)), wait="0s") as (
        where,
        domain,
        upstream,
    ):
        code, _ = await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN)
        assert code == 250
        assert upstream.received == []
        go_on.set()
        await until(lambda: nothing_waits(domain), "the queue is empty")
        assert set(copies(upstream.received)) == {GRANTED, UNKNOWN}
        assert set((await statuses(domain)).values()) == {"accepted"}


# --- later tries ---


async def test_each_try_carries_the_same_tokens(store_url: str, tmp_path: Path) -> None:
    once = on("dot", say(LATER), times=1)
    async with relaying(tmp_path, store_url, once, wait="0s") as (where, domain, upstream):
        assert (await send(where.smtp_port, newsletter(), UNKNOWN))[0] == 250
        await until(lambda: nothing_waits(domain), "the queue is empty")
        (first,), (second,) = to(upstream.refused, UNKNOWN), to(upstream.received, UNKNOWN)
        assert first.is_tracked
        assert first.data == second.data


async def test_consent_taken_back_between_two_tries_leaves_the_second_untracked(
    store_url: str, tmp_path: Path
) -> None:
    original = newsletter()
    rules = (on("rcpt", say(LATER), match=LOOSE), on("dot", say(LATER), times=1))
    patient = {"queue": {**RETRIES, "first_retry": "1h", "longest_retry": "1h"}}
    async with relaying(tmp_path, store_url, *rules, wait="0s", **patient) as (where, domain, upstream):
        await tell(domain, GRANTED, Consent.GRANTED)
        assert (await send(where.smtp_port, original, GRANTED))[0] == 250
        await until(lambda: to(upstream.refused, GRANTED), "the first try is over")
        await until(lambda: all_were_tried(domain), "that is written down")
        await tell(domain, GRANTED, Consent.WITHDRAWN)
        await domain.database.change(let_leases_run_out)
        await until(lambda: to(upstream.received, GRANTED), "the second try is over")
        (first,), (second,) = to(upstream.refused, GRANTED), to(upstream.received, GRANTED)
        assert first.is_tracked
        assert second.base == original
        await until(lambda: nothing_waits(domain), "the queue is empty")
        (message,) = await domain.deliveries.list(limit=1)
        (row,) = (await domain.deliveries.show(bytes.fromhex(message["id"])))["deliveries"]
        assert (row["mode"], row["reason"], row["status"]) == ("untracked", "withdrawn", "accepted")


async def all_were_tried(domain: Domain) -> bool:
    waiting = await rows(domain, queue)
    return bool(waiting) and all(row["tries"] and not row["lease"] for row in waiting)


async def test_mail_that_outlives_its_time_bounces_with_a_report(store_url: str, tmp_path: Path) -> None:
    rules = (on("rcpt", say(LATER), match=UNKNOWN),)
    short = {"queue": {**RETRIES, "lifetime": "500ms"}}
    async with relaying(tmp_path, store_url, *rules, **short) as (where, domain, upstream):
        assert (await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN))[0] == 250
        await until(lambda: nothing_waits(domain), "the queue is empty")
        assert (await statuses(domain))[UNKNOWN] == "bounced"
        (report,) = to(upstream.received, SENDER)
        assert b"Status: 4.4.7" in report.data
        assert b"Action: failed" in report.data


async def test_mail_in_the_queue_is_delivered_after_a_restart(store_url: str, tmp_path: Path) -> None:
    original = newsletter()
    async with ScriptedUpstream(on("connect", say("421 4.3.2 Not now"), times=3)) as upstream:
        hours = {"first_retry": "1h", "longest_retry": "1h"}
        tables = {"queue": hours, "relay": {"wait_for_upstream": "0s"}}
        where = site(tmp_path, store_url, upstream.url, **tables)
        async with Program(where, "relay") as program, domain_of(where) as domain:
            await tell(domain, GRANTED, Consent.GRANTED)
            await tell(domain, LOOSE, Consent.DENIED)
            assert (await send(where.smtp_port, original, GRANTED, LOOSE))[0] == 250
            await until(lambda: all_were_tried(domain), "the first try is over")
            assert await program.stop() == 0
            assert upstream.received == []
            assert (await rows(domain, spool))[0]["data"] == original
            upstream.rules = ()
            await domain.database.change(let_leases_run_out)
            await program.start()
            await until(lambda: nothing_waits(domain), "the queue is empty")
        got = copies(upstream.received)
        assert got[GRANTED].is_tracked
        assert got[LOOSE].base == original


async def test_a_stop_in_the_middle_of_a_try_keeps_what_is_settled_and_hands_the_rest_back(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.service.GRACE", 1.0)
    async with ScriptedUpstream(on("rcpt", hang(), match=UNKNOWN)) as upstream:
        where = site(tmp_path, store_url, upstream.url, relay={"wait_for_upstream": "0s"})
        async with running(where):
            assert (await send(where.smtp_port, newsletter(), GRANTED, UNKNOWN))[0] == 250
            await until(lambda: to(upstream.received, GRANTED), "the first has it")
        async with domain_of(where) as domain:
            (waiting,) = await rows(domain, queue)
            assert (waiting["address"], waiting["lease"]) == (UNKNOWN, "")
            assert (await statuses(domain))[GRANTED] == "accepted"


async def test_two_nodes_on_one_store_share_the_work_and_send_nothing_twice(
    stores: Stores, tmp_path: Path
) -> None:
    async with stores.fresh("postgresql", tmp_path) as store_url, ScriptedUpstream() as upstream:
        tables = {"relay": {"wait_for_upstream": "0s"}, "queue": {**RETRIES, "at_once": 2}}
        keys = {"keys_file": str(tmp_path / "keys.toml")}
        one = site(tmp_path / "one", store_url, upstream.url, tokens=keys, **tables)
        two = site(tmp_path / "two", store_url, upstream.url, tokens=keys, **tables)
        async with running(one) as domain, running(two):
            people = [f"person{n}@people.example" for n in range(60)]
            await asyncio.gather(
                *(send((one, two)[n % 2].smtp_port, newsletter(), person) for n, person in enumerate(people))
            )
            await until(lambda: nothing_waits(domain), "the queue is empty")
            assert set(copies(upstream.received)) == set(people)
            assert set((await statuses(domain)).values()) == {"accepted"}


async def test_a_long_queue_for_one_domain_is_served_without_a_rest(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more of a domain is held than may be tried; the next are fetched as soon as these have gone."""
    people = [f"person{n}@people.example" for n in range(40)]
    async with ScriptedUpstream(on("mail", say(LATER), times=len(people))) as upstream:
        hours = {"first_retry": "1h", "longest_retry": "1h", "at_once": 4}
        where = site(tmp_path, store_url, upstream.url, queue=hours, relay={"wait_for_upstream": "0s"})
        async with running(where) as domain:
            await asyncio.gather(*(send(where.smtp_port, newsletter(), person) for person in people))
            await until(lambda: all_were_tried(domain), "the first tries are over")
            await domain.database.change(let_leases_run_out)
        monkeypatch.setattr("relay.worker._LOOK_AGAIN", 3600.0)
        async with running(where) as domain:
            await until(lambda: nothing_waits(domain), "the queue is empty")
        assert set(copies(upstream.received)) == set(people)


async def test_a_report_on_failure_does_not_wait_for_the_mail_it_is_about(
    store_url: str, tmp_path: Path
) -> None:
    rules = (on("rcpt", say(NEVER), match=LOOSE), on("rcpt", say(LATER), match=UNKNOWN))
    slow_retry = {"queue": {"first_retry": "1h"}}
    async with relaying(tmp_path, store_url, *rules, **slow_retry) as (where, domain, upstream):
        assert (await send(where.smtp_port, newsletter(), UNKNOWN, LOOSE))[0] == 250
        await until(lambda: to(upstream.received, SENDER), "the report is sent")
        await until(lambda: one_is_waiting(domain), "only the mail itself is left")


async def one_is_waiting(domain: Domain) -> bool:
    return [row["address"] for row in await rows(domain, queue)] == [UNKNOWN] and len(
        await rows(domain, spool)
    ) == 1
