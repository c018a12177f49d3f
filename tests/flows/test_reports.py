"""What senders are told: of delays once, of mail handed to a system that reports nothing, and nothing they did not ask
for."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from support.people import SENDER, newsletter, rows, send, statuses
from support.sites import running, site, until
from support.upstream import USUAL_EXTENSIONS, ScriptedUpstream, on, say
from support.waiting import nothing_waits

from relay.store.schema import queue
from tracker.domain import Domain
from tracker.store.schema import messages

ANN, BOB, CY = "ann@people.example", "bob@people.example", "cy@people.example"
LATER = "451 4.2.0 Later, please"
SOON = {"first_retry": "150ms", "longest_retry": "300ms", "delay_warning": "300ms"}


def blocks(report: bytes) -> list[Any]:
    """The parts of its delivery-status: about the message, then about each recipient."""
    parsed = cast(EmailMessage, message_from_bytes(report, policy=policy.default))
    _, status, _ = parsed.iter_parts()
    return cast(list[Any], status.get_payload())


def reports(upstream: ScriptedUpstream) -> list[bytes]:
    return [one.data for one in upstream.received if SENDER in one.addresses]


async def test_a_delay_is_told_once_for_all_who_wait_and_wish_it(store_url: str, tmp_path: Path) -> None:
    rules = (on("rcpt", say(LATER), match="@people.example"),)
    async with ScriptedUpstream(*rules) as upstream:
        where = site(tmp_path, store_url, upstream.url, queue=SOON, relay={"wait_for_upstream": "0s"})
        async with running(where) as domain:
            wishes = {BOB: "DELAY,FAILURE", CY: "FAILURE"}
            options = ["ENVID=a+2Bb", "RET=FULL"]
            code, _ = await send(where.smtp_port, newsletter(), ANN, BOB, CY, notify=wishes, options=options)
            assert code == 250
            await until(lambda: reports(upstream), "the delay is told")
            await until(lambda: all_tried(domain, 6), "some more tries are over")
            (report,) = reports(upstream)
            told = {row["address"]: row["delay_told"] for row in await rows(domain, queue)}
            assert told == {ANN: True, BOB: True, CY: True}
    about, *people = blocks(report)
    assert about["Original-Envelope-Id"] == "a+b"
    assert [str(one["Final-Recipient"]) for one in people] == [f"rfc822; {ANN}", f"rfc822; {BOB}"]
    assert {(one["Action"], one["Status"]) for one in people} == {("delayed", "4.2.0")}
    assert all(one["Will-Retry-Until"] for one in people)
    assert b"Subject: Your mail is delayed" in report
    assert newsletter() not in report, "RET=FULL is about failures (RFC 3461 4.3)"


async def all_tried(domain: Domain, times: int) -> bool:
    return all(row["tries"] >= times for row in await rows(domain, queue) if row["address"] != SENDER)


@pytest.mark.parametrize("case", ["off", "null sender"])
async def test_no_delay_is_told_where_none_is_owed(store_url: str, tmp_path: Path, case: str) -> None:
    settings = SOON | ({"delay_warning": "0s"} if case == "off" else {})
    async with ScriptedUpstream(on("rcpt", say(LATER), match=ANN, times=6)) as upstream:
        where = site(tmp_path, store_url, upstream.url, queue=settings, relay={"wait_for_upstream": "0s"})
        async with running(where) as domain:
            sender = "" if case == "null sender" else SENDER
            assert (await send(where.smtp_port, newsletter(), ANN, sender=sender))[0] == 250
            await until(lambda: nothing_waits(domain), "the queue is empty")
            assert len(await rows(domain, messages)) == 1


@pytest.mark.parametrize("wait", ["20s", "0s"])
@pytest.mark.parametrize(
    ("notify", "extensions", "told"),
    [
        ("SUCCESS", (), True),
        ("SUCCESS,FAILURE", (), True),
        ("SUCCESS", ("DSN",), False),
        ("FAILURE", (), False),
        ("NEVER", (), False),
        (None, (), False),
    ],
)
async def test_success_is_reported_by_us_when_upstream_will_not(
    store_url: str, tmp_path: Path, notify: str | None, extensions: tuple[str, ...], told: bool, wait: str
) -> None:
    offered = [*(one for one in USUAL_EXTENSIONS if one != "DSN"), *extensions]
    async with ScriptedUpstream(extensions=offered) as upstream:
        where = site(tmp_path, store_url, upstream.url, relay={"wait_for_upstream": wait})
        async with running(where) as domain:
            wishes = {ANN: notify} if notify else {}
            assert (await send(where.smtp_port, newsletter(), ANN, notify=wishes))[0] == 250
            await until(lambda: ann_has_it(domain), "it is sent")
            await until(lambda: nothing_waits(domain), "the queue is empty")
            found = reports(upstream)
            assert len(found) == told
    for report in found:
        _, one = blocks(report)
        assert (one["Action"], one["Status"]) == ("relayed", "2.0.0")
        assert b"Subject: Your mail was passed on" in report


async def ann_has_it(domain: Domain) -> bool:
    return (await statuses(domain)).get(ANN) == "accepted"


async def test_of_a_report_that_is_refused_nobody_is_told(store_url: str, tmp_path: Path) -> None:
    rules = (
        on("rcpt", say("550 5.1.1 No such user"), match=BOB),
        on("rcpt", say("550 5.1.1 No"), match=SENDER),
    )
    async with ScriptedUpstream(*rules) as upstream:
        where = site(tmp_path, store_url, upstream.url, queue=SOON)
        async with running(where) as domain:
            assert (await send(where.smtp_port, newsletter(), ANN, BOB))[0] == 250
            await until(lambda: nothing_waits(domain), "the queue is empty")
            await asyncio.sleep(0.2)
            assert await nothing_waits(domain)
            assert len(await rows(domain, messages)) == 2, "the mail, and one report"
            assert not reports(upstream)
