"""Mail goes out with an envelope sender of its own; a remote host writes back to it; what became of the delivery is on
record, and the original sender hears it. Both ways over real sockets."""

from __future__ import annotations

import asyncio
import json
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.outages import away
from support.people import (
    DENIED,
    ERASED,
    GRANTED,
    LOOSE,
    SENDER,
    UNKNOWN,
    WITHDRAWN,
    assert_names_nobody,
    gather_the_six,
    newsletter,
    rows,
    send,
    statuses,
)
from support.reports import VACATION, complaint, crlf, failure
from support.sites import Program, Site, command, running, site, until
from support.upstream import Received, Rule, ScriptedUpstream, on, say
from support.waiting import nothing_waits

from relay.store.schema import return_paths, suppressions
from tracker.domain import Domain
from tracker.store.schema import attempts, deliveries

DOMAIN = "bounces.example"
STRANGER = "127.0.0.99"
"""Where remote hosts write from: no network of ours."""


@asynccontextmanager
async def relaying(
    folder: Path, store_url: str, *rules: Rule, **tables: dict[str, Any]
) -> AsyncIterator[tuple[Site, Domain, ScriptedUpstream]]:
    """A running Candor with a bounce domain; strangers may write to nothing else."""
    async with ScriptedUpstream(*rules) as upstream:
        where = site(folder, store_url, upstream.url, **_tables(tables))
        async with running(where) as domain:
            yield where, domain, upstream


def _tables(tables: dict[str, Any]) -> dict[str, Any]:
    relay = {"allowed_networks": ["127.0.0.66/32", "127.0.0.1/32"]} | tables.pop("relay", {})
    bounces = {"domain": DOMAIN} | tables.pop("bounces", {})
    return {
        "relay": relay,
        "bounces": bounces,
        "queue": {"first_retry": "200ms", "longest_retry": "400ms"},
    } | tables


def envelope_sender(one: Received) -> str:
    return one.sender[1 : one.sender.index(">")]


def by_recipient(upstream: ScriptedUpstream) -> dict[str, Received]:
    return {address: one for one in upstream.received for address in one.addresses}


async def write_back(port: int, to: str | list[str], data: bytes, sender: str = "") -> tuple[int, str]:
    """What a host of the outside world says to us; the reply to the dot, or to the first recipient refused."""

    def speak() -> tuple[int, str]:
        with smtplib.SMTP(
            "127.0.0.1", port, local_hostname="mx.people.example", timeout=60, source_address=(STRANGER, 0)
        ) as client:
            client.ehlo()
            client.mail(sender)
            for one in [to] if isinstance(to, str) else to:
                code, text = client.rcpt(one)
                if code != 250:
                    return code, text.decode()
            code, text = client.data(data)
            return code, text.decode()

    return await asyncio.to_thread(speak)


async def passed_on(upstream: ScriptedUpstream, to: str = SENDER) -> Received:
    """The report as its sender's mail system gets it."""
    return await until(lambda: by_recipient(upstream).get(to), "the report is passed on")


# --- out ---


async def test_each_recipient_has_an_envelope_sender_of_their_own_and_the_untracked_the_same_bytes(
    store_url: str, tmp_path: Path
) -> None:
    six = (GRANTED, DENIED, WITHDRAWN, UNKNOWN, LOOSE, ERASED)
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await gather_the_six(domain)
        code, _ = await send(where.smtp_port, newsletter(), *six, options=["ENVID=QQ314159", "RET=HDRS"])
        assert code == 250
        got = by_recipient(upstream)
        senders = {envelope_sender(one) for one in got.values()}
        assert len(upstream.received) == len(senders) == 6
        assert all(one.endswith(f"@{DOMAIN}") and len(one.partition("@")[0]) <= 64 for one in senders)
        assert all("ENVID=QQ314159" in one.sender and "RET=HDRS" in one.sender for one in got.values())
        assert got[DENIED].data == got[WITHDRAWN].data == got[ERASED].data
        assert got[DENIED].data != got[GRANTED].data
        (kept,) = await rows(domain, return_paths)
        assert kept["sender"] == SENDER


@pytest.mark.parametrize("sender", ["", f"b+x@{DOMAIN}"], ids=["null", "ours already"])
async def test_some_senders_are_left_as_they_are(store_url: str, tmp_path: Path, sender: str) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED, WITHDRAWN, sender=sender)
        assert {envelope_sender(one) for one in upstream.received} == {sender}
        assert await rows(domain, return_paths) == []


async def test_an_erased_sender_hears_of_failures_directly(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await gather_the_six(domain)
        await send(where.smtp_port, newsletter(), DENIED, sender=ERASED)
        assert envelope_sender(upstream.received[0]) == ERASED
        assert await rows(domain, return_paths) == []


async def test_later_tries_have_the_same_envelope_sender(store_url: str, tmp_path: Path) -> None:
    rule = on("rcpt", say("451 4.2.0 Later"), times=2)
    async with relaying(tmp_path, store_url, rule, relay={"wait_for_upstream": "0s"}) as (
        where,
        domain,
        upstream,
    ):
        await send(where.smtp_port, newsletter(), DENIED)
        await until(lambda: upstream.received, "it is taken")
        said = {line.split(" ")[1] for line in upstream.commands if line.startswith("MAIL FROM:<b+")}
        assert len(said) == 1
        await until(lambda: nothing_waits(domain), "it is settled")
        assert await statuses(domain) == {DENIED: "accepted"}


# --- back ---


async def test_a_bounce_that_comes_later_is_recorded_and_passed_on(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), GRANTED, DENIED)
        path = envelope_sender(by_recipient(upstream)[DENIED])
        code, _ = await write_back(where.smtp_port, path, failure(recipient=DENIED))
        assert code == 250
        report = await passed_on(upstream)
        await until(lambda: nothing_waits(domain), "that is settled")
        assert report.sender.startswith("<>")
        assert report.data.endswith(failure(recipient=DENIED))
        assert await statuses(domain) == {GRANTED: "accepted", DENIED: "bounced", None: "accepted"}
        told = (await rows(domain, attempts))[2]
        assert (told["status"], told["host"], told["code"], told["enhanced"]) == (
            "bounced",
            "mx.people.example",
            550,
            "5.1.1",
        )
        assert "no such user" in told["text"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("250 2.0.0 Ok: queued as 7XyZ", "Ok: queued as 7XyZ"),
        (f"250 2.1.5 {SENDER} Ok", ""),
        (f"250 2.1.5 for {SENDER.partition('@')[0].upper()}", ""),
    ],
    ids=["names nobody", "names the address", "names its half"],
)
async def test_a_report_that_was_passed_on_is_no_erasure_and_has_the_answer_that_names_nobody(
    store_url: str, tmp_path: Path, said: str, kept: str
) -> None:
    rule = on("dot", say(said), after=1)
    async with relaying(tmp_path, store_url, rule) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(by_recipient(upstream)[DENIED])
        await write_back(where.smtp_port, path, failure(recipient=DENIED))
        await until(lambda: nothing_waits(domain), "that is passed on")
        listed = json.loads(await command(where, "message", "list", "--json"))
        shown = [json.loads(await command(where, "message", "show", one["id"], "--json")) for one in listed]
        (report,) = [one for one in shown if one["untouched"] == "own-report"]
        (delivery,) = report["deliveries"]
        assert (delivery["recipient"], delivery["erased"]) == (None, False)
        assert [(one["code"], one["text"]) for one in delivery["attempts"]] == [(250, kept)]
        text = await command(where, "message", "show", report["id"])
        assert "(not kept): a report" in text
        assert "(erased)" not in text


@pytest.mark.parametrize("local", ["postmaster", "Abuse"])
async def test_postmaster_and_abuse_reach_whoever_reads_them(
    store_url: str, tmp_path: Path, local: str
) -> None:
    question = b"From: anna@people.example\r\nSubject: A question\r\n\r\nWho are you?\r\n"
    address = f"{local}@{DOMAIN}"
    async with relaying(tmp_path, store_url, bounces={"postmaster": "ops@shop.example"}) as (
        where,
        domain,
        upstream,
    ):
        assert (await write_back(where.smtp_port, address, question, "anna@people.example"))[0] == 250
        got = await passed_on(upstream, "ops@shop.example")
        assert (envelope_sender(got), got.data.endswith(question)) == ("", True)
        assert (await write_back(where.smtp_port, f"sales@{DOMAIN}", question))[0] == 550
        await until(lambda: nothing_waits(domain), "that is settled")


async def test_postmaster_is_refused_where_nobody_is_named(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url) as (where, _, _):
        code, text = await write_back(where.smtp_port, f"postmaster@{DOMAIN}", b"Subject: x\r\n\r\n")
        assert (code, text[:5]) == (550, "5.1.1")


async def test_the_same_report_twice_is_recorded_and_passed_on_once(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(upstream.received[0])
        answers = await asyncio.gather(
            *(write_back(where.smtp_port, path, failure(recipient=DENIED)) for _ in range(5))
        )
        assert {code for code, _ in answers} == {250}
        await passed_on(upstream)
        await until(lambda: nothing_waits(domain), "it is settled")
        assert len(upstream.received) == 2
        assert [one["status"] for one in await rows(domain, attempts)].count("bounced") == 1


@pytest.mark.parametrize(
    ("data", "status", "told"),
    [
        (failure("4.4.1", action="delayed", diagnostic="X-Postfix; timed out"), "accepted", "delayed"),
        (failure("2.1.5", action="delivered", diagnostic="smtp; 250 2.1.5 Ok"), "accepted", "delivered"),
        (failure("2.0.0", action="relayed", diagnostic="smtp; 250 2.0.0 Ok"), "accepted", "relayed"),
        (failure("4.4.1", diagnostic="X-Postfix; timed out"), "bounced", "bounced"),
        (complaint("x@y.example", "not-spam"), "accepted", "feedback"),
        (complaint("x@y.example", "abuse"), "complained", "complained"),
    ],
    ids=["delayed", "delivered", "relayed", "given up", "not spam", "spam"],
)
async def test_what_is_no_failure_is_recorded_as_what_it_is(
    store_url: str, tmp_path: Path, data: bytes, status: str, told: str
) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        assert (await write_back(where.smtp_port, envelope_sender(upstream.received[0]), data))[0] == 250
        assert (await passed_on(upstream)).data.endswith(data)
        assert (await statuses(domain))[DENIED] == status
        assert told in [one["status"] for one in await rows(domain, attempts)]


@pytest.mark.parametrize(
    "data",
    [VACATION, crlf("From: joe@people.example\n\nThank you!\n"), b"\r\n"],
    ids=["vacation", "a person", "nothing"],
)
async def test_what_is_no_report_is_passed_on_and_nothing_of_it_recorded(
    store_url: str, tmp_path: Path, data: bytes
) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(upstream.received[0])
        before = await rows(domain, attempts)
        assert (await write_back(where.smtp_port, path.upper(), data, sender="joe@people.example"))[0] == 250
        report = await passed_on(upstream)
        assert report.sender.startswith("<>")
        assert (await statuses(domain))[DENIED] == "accepted"
        theirs = [
            one for one in await rows(domain, attempts) if one["delivery_id"] == before[0]["delivery_id"]
        ]
        assert theirs == before


async def test_a_report_that_is_quicker_than_our_own_note_has_the_last_word(
    store_url: str, tmp_path: Path
) -> None:
    """While others of the message still wait for upstream, nothing is written yet of who was accepted."""
    slow_one = on("rcpt", say("451 4.2.0 Later"), match=WITHDRAWN)
    async with relaying(tmp_path, store_url, slow_one, relay={"wait_for_upstream": "0s"}) as (
        where,
        domain,
        upstream,
    ):
        await send(where.smtp_port, newsletter(), DENIED)
        await until(lambda: upstream.received, "upstream has it")
        path = envelope_sender(upstream.received[0])
        await write_back(where.smtp_port, path, failure(recipient=DENIED))
        await until(lambda: nothing_waits(domain), "it is settled")
        assert (await statuses(domain))[DENIED] == "bounced"


async def test_a_list_s_member_does_not_make_the_list_bounce(store_url: str, tmp_path: Path) -> None:
    text = (
        "Reporting-MTA: dns; mx.people.example\n\nFinal-Recipient: rfc822; a@people.example\nAction: failed\n"
        "Status: 5.1.1\n\nFinal-Recipient: rfc822; b@people.example\nAction: delivered\nStatus: 2.0.0\n"
    )
    data = failure().replace(
        failure().partition(b"delivery-status\r\n\r\n")[2].partition(b"\r\n--=_b")[0], crlf(text)
    )
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        await write_back(where.smtp_port, envelope_sender(upstream.received[0]), data)
        await passed_on(upstream)
        assert (await statuses(domain))[DENIED] == "accepted"
        assert [one["status"] for one in await rows(domain, attempts)][1:3] == ["bounced", "delivered"]


# --- who may not ---


async def test_nobody_gets_mail_in_or_through_with_an_address_of_their_own_making(
    store_url: str, tmp_path: Path
) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(upstream.received[0])
        forged = path[:-25] + ("a" if path[-25] != "a" else "b") + path[-24:]
        for address in (forged, f"b+@{DOMAIN}", f"postmaster@{DOMAIN}", f"b+{'a' * 56}@{DOMAIN}"):
            assert (await write_back(where.smtp_port, address, failure()))[0] == 550
        assert (await write_back(where.smtp_port, UNKNOWN, failure())) == (
            550,
            "5.7.1 This server takes no mail from your address",
        )
        assert (await write_back(where.smtp_port, [path, UNKNOWN], failure()))[0] == 550
        assert len(upstream.received) == 1
        assert await statuses(domain) == {DENIED: "accepted"}


async def test_what_is_too_large_or_goes_in_circles_is_refused(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url, bounces={"max_size": "20KB"}) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(upstream.received[0])
        assert (await write_back(where.smtp_port, path, failure() + b"x" * 30_000 + b"\r\n"))[0] == 552
        assert (await write_back(where.smtp_port, path, b"Received: x\r\n" * 51 + failure()))[0] == 554
        assert await statuses(domain) == {DENIED: "accepted"}


async def test_a_delivery_that_is_not_on_record_has_no_mailbox(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        await domain.database.write((deliveries.delete(), [{}]))
        code, _ = await write_back(where.smtp_port, envelope_sender(upstream.received[0]), failure())
        assert code == 550


async def test_who_may_send_anywhere_reaches_both_in_one_message(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(upstream.received[0])
        code, _ = await send(where.smtp_port, failure(recipient=DENIED), path, UNKNOWN, sender="")
        assert code == 250
        assert (await passed_on(upstream)).data.endswith(failure(recipient=DENIED))
        assert UNKNOWN in by_recipient(upstream)
        assert (await statuses(domain))[DENIED] == "bounced"


async def test_while_the_store_is_away_a_report_waits_at_its_writer_s(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'candor.db'}"
    async with relaying(tmp_path, store) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(upstream.received[0])
        with away(domain.database.writes):
            assert (await write_back(where.smtp_port, path, failure(recipient=DENIED)))[0] == 451
        assert len(upstream.received) == 1


# --- complaints ---


@pytest.mark.parametrize("redacted", [False, True])
async def test_a_feedback_loop_s_complaint_finds_its_delivery(
    store_url: str, tmp_path: Path, redacted: bool
) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED, WITHDRAWN)
        path = envelope_sender(by_recipient(upstream)[DENIED])
        data = complaint(path, redacted=redacted)
        assert (await write_back(where.smtp_port, f"FBL@{DOMAIN}", data, sender="fbl@people.example"))[
            0
        ] == 250
        assert (await passed_on(upstream)).data.endswith(data)
        assert (await statuses(domain))[DENIED] == "complained"
        assert (await statuses(domain))[WITHDRAWN] == "accepted"


@pytest.mark.parametrize(
    "data",
    [complaint("news@shop.example"), failure(), complaint(f"b+{'a' * 56}@{DOMAIN}")],
    ids=["not ours", "bounce", "forged"],
)
async def test_a_complaint_that_names_no_delivery_of_ours_is_refused(
    store_url: str, tmp_path: Path, data: bytes
) -> None:
    async with relaying(tmp_path, store_url) as (where, _, upstream):
        assert (await write_back(where.smtp_port, f"fbl@{DOMAIN}", data))[0] == 550
        assert upstream.received == []


# --- who is not written to any more ---

SUPPRESSING = {"hard_bounces": True, "complaints": True}


async def test_after_a_hard_bounce_later_mail_is_skipped_and_the_others_go_on(
    store_url: str, tmp_path: Path
) -> None:
    async with relaying(tmp_path, store_url, suppression=SUPPRESSING) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        await write_back(
            where.smtp_port, envelope_sender(upstream.received[0]), failure(recipient="else@x.example")
        )
        await passed_on(upstream)
        code, text = await send(where.smtp_port, newsletter(), DENIED, WITHDRAWN)
        assert code == 250
        assert [one.addresses for one in upstream.received[2:]] == [(WITHDRAWN,)]
        code, text = await send(where.smtp_port, newsletter(), DENIED)
        assert (code, "suppressed: hard bounce of 20" in text) == (250, True)
        said = [one for one in await rows(domain, attempts) if one["status"] == "skipped"]
        assert len(said) == 2
        assert all("suppressed: hard bounce of 20" in one["text"] for one in said)


@pytest.mark.parametrize("wait", ["0s", "20s"])
@pytest.mark.parametrize("everybody", [True, False])
async def test_who_is_skipped_is_not_queued(
    store_url: str, tmp_path: Path, wait: str, everybody: bool
) -> None:
    async with relaying(tmp_path, store_url, relay={"wait_for_upstream": wait}) as (where, domain, upstream):
        await command(where, "suppression", "add", DENIED, "--note", "asked us by phone")
        to = (DENIED,) if everybody else (DENIED, WITHDRAWN)
        code, _ = await send(where.smtp_port, newsletter(), *to)
        assert code == 250
        await until(lambda: nothing_waits(domain), "it is settled")
        assert await statuses(domain) == {DENIED: "skipped"} | ({} if everybody else {WITHDRAWN: "accepted"})
        assert len(upstream.received) == len(to) - 1


async def test_who_is_skipped_does_not_hide_that_the_others_were_refused(
    store_url: str, tmp_path: Path
) -> None:
    rule = on("rcpt", say("550 5.7.1 Not from you"))
    async with relaying(tmp_path, store_url, rule) as (where, domain, _):
        await command(where, "suppression", "add", DENIED)
        code, _ = await send(where.smtp_port, newsletter(), DENIED, WITHDRAWN)
        assert code == 550
        assert await statuses(domain) == {DENIED: "skipped", WITHDRAWN: "bounced"}


@pytest.mark.parametrize(
    ("reply", "suppressed"),
    [
        ("550 5.1.1 No such user", True),
        ("550 5.7.1 Blocked", False),
        ("552 5.2.2 Full", False),
        ("550 No", False),
    ],
)
async def test_a_refusal_while_upstream_is_asked_counts_like_a_bounce(
    store_url: str, tmp_path: Path, reply: str, suppressed: bool
) -> None:
    rule = on("rcpt", say(reply), times=1)
    async with relaying(tmp_path, store_url, rule, suppression=SUPPRESSING) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        code, _ = await send(where.smtp_port, newsletter(), DENIED)
        assert code == 250
        assert len(upstream.received) == (0 if suppressed else 1)
        assert bool(await rows(domain, suppressions)) is suppressed


async def test_it_takes_as_many_hard_bounces_as_the_operator_says(store_url: str, tmp_path: Path) -> None:
    rule = on("rcpt", say("550 5.1.1 No such user"))
    table = SUPPRESSING | {"after": 3}
    async with relaying(tmp_path, store_url, rule, suppression=table) as (where, domain, _):
        codes = [(await send(where.smtp_port, newsletter(), DENIED))[0] for _ in range(4)]
        assert codes == [550, 550, 550, 250]
        (row,) = await rows(domain, suppressions)
        assert (row["bounces"], row["address"]) == (3, DENIED)


async def test_with_nothing_configured_nothing_is_held_against_anybody(
    store_url: str, tmp_path: Path
) -> None:
    async with relaying(tmp_path, store_url) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        await write_back(where.smtp_port, envelope_sender(upstream.received[0]), failure(recipient=DENIED))
        await send(where.smtp_port, newsletter(), DENIED)
        assert DENIED in upstream.received[-1].addresses or DENIED in upstream.received[-2].addresses
        assert await rows(domain, suppressions) == []


async def test_who_complains_is_skipped_from_then_on(store_url: str, tmp_path: Path) -> None:
    async with relaying(tmp_path, store_url, suppression=SUPPRESSING) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED)
        path = envelope_sender(upstream.received[0])
        await write_back(where.smtp_port, path, complaint(path))
        _, text = await send(where.smtp_port, newsletter(), DENIED)
        assert DENIED in {row["address"] for row in await rows(domain, suppressions)}
        assert "suppressed: complaint of 20" in text


async def test_who_is_put_on_the_list_while_mail_waits_for_them_gets_none(
    store_url: str, tmp_path: Path
) -> None:
    rule = on("rcpt", say("451 4.2.0 Later"))
    table = {"first_retry": "3s", "longest_retry": "3s"}
    async with relaying(tmp_path, store_url, rule, relay={"wait_for_upstream": "0s"}, queue=table) as (
        where,
        domain,
        upstream,
    ):
        await send(where.smtp_port, newsletter(), DENIED)
        await until(lambda: "RCPT" in upstream.verbs, "it is tried")
        await command(where, "suppression", "add", DENIED)
        await until(lambda: nothing_waits(domain), "it is settled")
        assert await statuses(domain) == {DENIED: "skipped"}


# --- erased people ---


async def test_of_an_erased_person_no_address_stays_and_they_stay_suppressed(
    store_url: str, tmp_path: Path
) -> None:
    async with relaying(tmp_path, store_url, suppression=SUPPRESSING) as (where, domain, upstream):
        await send(where.smtp_port, newsletter(), DENIED, sender=SENDER)
        path = envelope_sender(upstream.received[0])
        await write_back(where.smtp_port, path, failure(recipient=DENIED))
        await passed_on(upstream)
        await command(where, "contact", "erase", DENIED, "--yes")
        await command(where, "contact", "erase", SENDER, "--yes")
        assert await rows(domain, return_paths) == []
        (row,) = await rows(domain, suppressions)
        assert (row["address"], row["note"]) == (None, "")
        # A report that comes now finds its delivery, and nobody to be named or told.
        taken = len(upstream.received)
        await until(lambda: nothing_waits(domain), "the first report is passed on")
        again = failure("5.2.2", recipient=DENIED, diagnostic=f"smtp; 552 5.2.2 <{DENIED}> is full")
        assert (await write_back(where.smtp_port, path, again))[0] == 250
        assert await nothing_waits(domain)
        assert len(upstream.received) == taken
        assert DENIED not in str(await rows(domain, attempts)) + str(await rows(domain, suppressions))
        assert "suppressed: hard bounce" in (await send(where.smtp_port, newsletter(), DENIED))[1]


# --- as its users meet it ---


async def test_the_commands_tell_the_story_and_the_log_names_nobody(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(
            tmp_path,
            f"sqlite:///{tmp_path / 'candor.db'}",
            upstream.url,
            **_tables({"suppression": SUPPRESSING}),
        )
        async with Program(where) as program:
            await send(where.smtp_port, newsletter(), GRANTED)
            path = envelope_sender(upstream.received[0])
            await write_back(where.smtp_port, path, failure(recipient=GRANTED))
            await passed_on(upstream)
            listed = json.loads(await command(where, "message", "list", "--json"))
            (ours,) = [one for one in listed if one["deliveries"] == {"bounced": 1}]
            (told,) = json.loads(await command(where, "message", "show", ours["id"], "--json"))["deliveries"]
            report = json.loads(await command(where, "report", "message", ours["id"], "--json"))
            assert "no such user" in await command(where, "message", "show", ours["id"])
            (suppressed,) = (await command(where, "suppression", "list", "--json")).splitlines()
            await command(where, "suppression", "remove", GRANTED)
            assert (await send(where.smtp_port, newsletter(), GRANTED))[1].startswith("2.0.0")
            assert await program.stop() == 0
        assert [one["status"] for one in told["attempts"]] == ["accepted", "bounced"]
        assert told["attempts"][1]["enhanced"] == "5.1.1"
        assert (report["deliveries"], report["delivered"]) == ({"bounced": 1}, 0)
        assert json.loads(suppressed)["address"] == GRANTED
        assert json.loads(suppressed)["note"] == "5.1.1"
        assert_names_nobody(program.log)
        assert path not in program.log
