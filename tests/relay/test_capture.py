"""The embedded upstream keeps every message whole, and loses none silently."""

from __future__ import annotations

import asyncio
import mailbox
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.transactions import MESSAGE, to

from relay.capture import Capture, captured
from relay.outcome import Status
from relay.upstream import open_upstream, parse_url

AT = datetime(2026, 1, 2, tzinfo=UTC)
ODD = b"Received: x\r\n\r\n\xff\x00 octets\nbare\rends, no CRLF at the end"


async def test_everyone_gets_a_file_with_the_message_octet_for_octet(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "deep" / "down", clock=lambda: AT)
    outcomes = await capture.send(to("ann@example.net", "bob@example.net", content=(ODD[:9], ODD[9:])))
    await capture.close(grace=1)
    assert captured(tmp_path / "deep" / "down") == [("ann@example.net", ODD), ("bob@example.net", ODD)]
    for outcome in outcomes:
        assert (outcome.status, outcome.at) == (Status.ACCEPTED, AT)
        assert outcome.host == f"capture:{tmp_path / 'deep' / 'down'}"


async def test_a_file_begins_with_the_envelope_and_nothing_else(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    await capture.send(to("ann@example.net", content=(b"Subject: x\r\n", b"\r\ny\r\n")))
    await capture.send(to("jörg@example.net", sender=""))
    first, second = sorted((tmp_path / "new").iterdir(), key=lambda file: file.name)
    assert first.read_bytes() == (
        b"Return-Path: <sender@example.org>\r\nDelivered-To: ann@example.net\r\nSubject: x\r\n\r\ny\r\n"
    )
    assert second.read_bytes() == "Return-Path: <>\r\nDelivered-To: jörg@example.net\r\n".encode() + MESSAGE


async def test_any_reader_of_maildirs_reads_it(tmp_path: Path) -> None:
    await Capture(tmp_path / "box").send(to("ann@example.net", "bob@example.net"))
    box = mailbox.Maildir(tmp_path / "box", create=False)
    assert len(box) == 2
    for mail in box:
        assert (mail["Subject"], mail["Return-Path"]) == ("A day in spring", "<sender@example.org>")
    assert sorted(mail["Delivered-To"] for mail in box) == ["ann@example.net", "bob@example.net"]
    box.close()


async def test_mail_a_reader_has_seen_is_still_listed_in_its_place(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    for number in range(3):
        await capture.send(to(f"r{number}@example.net"))
    second = sorted((tmp_path / "new").iterdir())[1]
    second.rename(tmp_path / "cur" / f"{second.name}:2,S")
    assert [recipient for recipient, _ in captured(tmp_path)] == [
        f"r{number}@example.net" for number in range(3)
    ]


async def test_the_listing_keeps_the_order_of_delivery_when_the_clock_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_999_999_998)
    capture = Capture(tmp_path)
    everyone = [f"r{number}@example.net" for number in range(25)]
    for address in everyone:
        await capture.send(to(address))
    assert [recipient for recipient, _ in captured(tmp_path)] == everyone


async def test_many_at_once_each_have_their_own_file(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    await asyncio.gather(*(capture.send(to(f"r{number}@example.net")) for number in range(40)))
    assert len({recipient for recipient, _ in captured(tmp_path)}) == 40
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_captured_mail_is_for_its_owner_only(tmp_path: Path) -> None:
    await Capture(tmp_path / "box").send(to("ann@example.net"))
    (file,) = (tmp_path / "box" / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "box").stat().st_mode) == 0o700


@settings(deadline=None, max_examples=40)  # each one waits for the disk
@given(st.text(max_size=20), st.text(max_size=20))
def test_no_address_makes_a_header_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, one: str, two: str
) -> None:
    path = tmp_path_factory.mktemp("box")
    asyncio.run(Capture(path).send(to(one, sender=two)))
    ((_, message),) = captured(path)
    assert message == MESSAGE


@pytest.mark.parametrize("taken", ["", "tmp"])
async def test_a_path_that_is_no_directory_defers_the_mail_loudly(tmp_path: Path, taken: str) -> None:
    path = tmp_path / "box"
    if taken:
        path.mkdir()
    (path / taken).write_text("in the way")
    with capture_logs() as logged:
        outcomes = await Capture(path).send(to("ann@example.net", "bob@example.net"))
    assert [(outcome.status, outcome.reply.enhanced) for outcome in outcomes] == [
        (Status.DEFERRED, "4.3.0")
    ] * 2
    assert [line["event"] for line in logged] == ["capture-failed"]


@pytest.mark.parametrize("which", [0, 1, 3], ids=["the first copy", "the second copy", "the names"])
async def test_a_disk_that_fills_up_keeps_nothing_of_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    capture = Capture(tmp_path)
    await capture.send(to("first@example.net"))
    calls = iter(range(100))
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if next(calls) == which:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", full)
    outcomes = await capture.send(to("ann@example.net", "bob@example.net", "cat@example.net"))
    assert {outcome.status for outcome in outcomes} == {Status.DEFERRED}
    assert [recipient for recipient, _ in captured(tmp_path)] == ["first@example.net"]
    assert list((tmp_path / "tmp").iterdir()) == []
    (again,) = await capture.send(to("ann@example.net"))
    assert again.status is Status.ACCEPTED


async def test_a_cancelled_send_is_finished_before_we_close(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    sending = asyncio.create_task(capture.send(to("ann@example.net")))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await capture.close(grace=5)
    assert captured(tmp_path) == [("ann@example.net", MESSAGE)]


async def test_nothing_captured_is_an_empty_list(tmp_path: Path) -> None:
    assert captured(tmp_path / "none") == []
    assert await Capture(tmp_path / "none").send(to(recipients=())) == ()


async def test_the_capture_url_opens_it(tmp_path: Path) -> None:
    upstream = open_upstream(parse_url(f"capture:{tmp_path}"), clock=lambda: AT)
    (outcome,) = await upstream.send(to("ann@example.net"))
    await upstream.close(grace=1)
    assert (outcome.at, len(captured(tmp_path))) == (AT, 1)
