"""Clients that leave, deliveries that fail, and the orderly end: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.certificates import client_context, server_context
from support.smtp import Inbox, Talker, serving

from relay.replies import Reply, accepted
from relay.submission import Submission


@dataclass
class Slow:
    """A `deliver` that waits to be told to go on."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    finished: list[bytes] = field(default_factory=list)
    cancelled: list[bytes] = field(default_factory=list)

    async def __call__(self, submission: Submission) -> Reply:
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.append(submission.id)
            raise
        self.finished.append(submission.id)
        return accepted(submission.id.hex())


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


async def event(lines: list[Any], name: str) -> dict[str, Any]:
    """The first line of that name; waits for it."""
    while True:
        for line in lines:
            if line["event"] == name:
                return dict(line)
        await asyncio.sleep(0.001)


# --- deliver fails ---


async def test_a_delivery_that_raises_is_answered_451_with_its_id_and_logged_without_addresses(
    logged: list[Any],
) -> None:
    async def deliver(submission: Submission) -> Reply:
        raise RuntimeError(f"cannot keep mail for {submission.recipients[0].address}")

    async with serving(deliver) as server, server.talk() as client:
        await client.hello()
        await client.envelope("victim@example.org")
        reply = await client.data(b"x\r\n.\r\n")
        line = await event(logged, "submission-failed")
        assert reply == f"451 4.3.0 Local error, try again later ({line['id']})"
        assert (await client.ask("DATA")).startswith("503 ")
        await client.envelope()
    assert line["log_level"] == "error"
    assert line["error"] == "RuntimeError"
    assert any("in deliver" in place or place.endswith(" deliver") for place in line["at"])
    assert "victim" not in str(logged)
    assert "client.test" not in str(logged)


async def test_at_info_level_no_line_names_an_address_of_mail_or_client(logged: list[Any]) -> None:
    async def deliver(submission: Submission) -> Reply:
        return Reply(code=550, detail="1.1", text="<victim@example.org> is unknown here")

    async with serving(deliver) as server, server.talk() as client:
        await client.hello()
        await client.envelope("victim@example.org")
        assert (await client.data(b"x\r\n.\r\n")).startswith("550 ")
    said = [line for line in logged if line["log_level"] != "debug" and line["event"] != "listening"]
    assert {line["event"] for line in said} >= {"submission-answered"}
    assert "example.org" not in str(said)
    assert "127.0.0.1" not in str(said)


async def test_the_library_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="root"):
        async with serving(Inbox()) as server, server.talk() as client:
            await client.hello()
            await client.envelope("victim@example.org")
            await client.data(b"x\r\n.\r\n")
    assert [r for r in caplog.records if r.name == "mail.log"] == []


async def test_an_error_of_ours_in_any_command_is_451_and_the_session_goes_on(logged: list[Any]) -> None:
    def check() -> Reply | None:
        raise ZeroDivisionError("secret detail")

    async with serving(Inbox(), check=check) as server, server.talk() as client:
        await client.hello()
        reply = await client.ask("MAIL FROM:<victim@example.org>")
        assert reply.startswith("451 4.3.0 Local error")
        assert "secret" not in reply
        assert (await client.ask("NOOP")).startswith("250 ")
    line = await event(logged, "session-failed")
    assert line["id"] in reply
    assert "victim" not in str(logged)


# --- the client leaves ---


async def leave_by_eof(client: Talker) -> None:
    client.writer.write_eof()


async def leave_by_reset(client: Talker) -> None:
    client.writer.transport.abort()


LEAVING = [leave_by_eof, leave_by_reset]


@pytest.mark.parametrize("leave", LEAVING)
async def test_a_client_that_leaves_in_the_middle_of_data_leaves_nothing(
    leave: Any, logged: list[Any]
) -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        await client.ask("DATA")
        await client.send(b"half a mess")
        await leave(client)
        await client.closed()
    assert inbox.submissions == []


@pytest.mark.parametrize("leave", LEAVING)
async def test_a_client_that_leaves_after_the_dot_cancels_nothing(leave: Any, logged: list[Any]) -> None:
    deliver = Slow()
    async with serving(deliver) as server:
        async with server.talk() as client:
            await client.hello()
            await client.envelope()
            await client.ask("DATA")
            await client.send(b"x\r\n.\r\n")
            await deliver.begun.wait()
            await leave(client)
        await asyncio.sleep(0.02)
        assert deliver.cancelled == []
        deliver.go_on.set()
        line = await event(logged, "submission-answered")
    assert [id.hex() for id in deliver.finished] == [line["id"]]
    assert line["reply"] == "250 2.0.0"


async def test_a_client_that_closes_its_side_still_hears_the_replies() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.send(
            b"EHLO client.test\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\n"
        )
        client.writer.write_eof()
        codes = [(await client.reply())[:3] for _ in range(6)]
        assert await client.closed()
    assert codes == ["220", "250", "250", "250", "354", "250"]
    assert inbox.only.data == b"x\r\n"


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_client_that_leaves_under_tls_after_the_dot_cancels_nothing(
    implicit: bool, logged: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    deliver = Slow()
    options = {"ssl": client_context(), "server_hostname": "localhost"} if implicit else {}
    async with serving(deliver, tls=server_context(), implicit_tls=implicit) as server:
        async with server.talk(**options) as client:
            await client.hello()
            if not implicit:
                await client.start_tls(client_context())
                await client.ask("EHLO client.test")
            await client.envelope()
            await client.ask("DATA")
            await client.send(b"x\r\n.\r\n")
            await deliver.begun.wait()
        await asyncio.sleep(0.02)
        deliver.go_on.set()
        await event(logged, "submission-answered")
    assert len(deliver.finished) == 1
    assert caplog.records == []


# --- stopping ---


async def test_the_idle_hear_421_when_the_intake_stops() -> None:
    async with serving(Inbox()) as server, server.talk() as client:
        await client.hello()
        stopping = asyncio.create_task(server.intake.stop(grace=60))
        assert (await client.reply()).startswith("421 4.3.2")
        assert await client.closed()
        await stopping
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(server.host, server.port)


async def test_a_transaction_that_runs_may_finish_and_then_hears_421() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        stopping = asyncio.create_task(server.intake.stop(grace=60))
        await asyncio.sleep(0.01)
        assert (await client.data(b"x\r\n.\r\n")).startswith("250 ")
        assert (await client.reply()).startswith("421 4.3.2")
        assert await client.closed()
        await stopping
    assert len(inbox.submissions) == 1


async def test_stopping_waits_for_a_delivery_whose_client_has_left() -> None:
    deliver = Slow()
    async with serving(deliver) as server:
        async with server.talk() as client:
            await client.hello()
            await client.envelope()
            await client.ask("DATA")
            await client.send(b".\r\n")
            await deliver.begun.wait()
        stopping = asyncio.create_task(server.intake.stop(grace=60))
        await asyncio.sleep(0.02)
        assert not stopping.done()
        deliver.go_on.set()
        await stopping
    assert len(deliver.finished) == 1
    assert deliver.cancelled == []


async def test_when_the_grace_is_over_the_client_hears_421_and_never_250(logged: list[Any]) -> None:
    deliver = Slow()
    async with serving(deliver) as server, server.talk() as client, server.talk() as other:
        await client.hello()
        await client.envelope()
        await client.ask("DATA")
        await client.send(b".\r\n")
        await deliver.begun.wait()
        await other.hello()
        await other.envelope()
        await server.intake.stop(grace=0.05)
        assert len(deliver.cancelled) == 1
        for talker in (client, other):
            assert (await talker.reply()).startswith("421 4.3.2")
            assert await talker.closed()
    assert deliver.finished == []
    assert (await event(logged, "delivery-cut-off"))["count"] == 1


@pytest.mark.parametrize("implicit", [False, True])
async def test_stopping_does_not_wait_for_a_handshake_that_never_comes(implicit: bool) -> None:
    async with (
        serving(Inbox(), tls=server_context(), implicit_tls=implicit) as server,
        server.talk() as client,
    ):
        if not implicit:
            await client.hello()
            assert (await client.ask("STARTTLS")).startswith("220 ")
        await asyncio.sleep(0.01)
        await asyncio.wait_for(server.intake.stop(grace=30), timeout=20)
        assert await client.closed()


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_client_that_leaves_during_the_handshake_gives_its_place_back(implicit: bool) -> None:
    options: dict[str, Any] = {"ssl": client_context(), "server_hostname": "localhost"} if implicit else {}
    async with serving(Inbox(), tls=server_context(), implicit_tls=implicit, max_connections=1) as server:
        async with server.talk() as client:
            if not implicit:
                await client.hello()
                assert (await client.ask("STARTTLS")).startswith("220 ")
        while True:
            try:
                async with server.talk(**options) as client:
                    if (await client.reply()).startswith("220 "):
                        break
            except OSError:
                continue


async def test_several_listeners_share_one_intake() -> None:
    inbox = Inbox()
    async with serving(inbox, tls=server_context()) as server:
        _, second = await server.intake.listen("127.0.0.1", 0, implicit_tls=True)
        _, third = await server.intake.listen("::1", 0)
        for host, port, tls in (
            ("127.0.0.1", server.port, None),
            ("127.0.0.1", second, client_context()),
            ("::1", third, None),
        ):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=tls, server_hostname="localhost" if tls else None
            )
            client = Talker(reader, writer)
            await client.hello()
            await client.envelope()
            assert (await client.data(b".\r\n")).startswith("250 ")
            writer.close()
            await writer.wait_closed()
    assert [s.client.address for s in inbox.submissions] == ["127.0.0.1", "127.0.0.1", "::1"]


async def test_two_processes_may_share_a_port() -> None:
    async with serving(Inbox()) as server:
        _, port = await server.intake.listen("127.0.0.1", 0, reuse_port=True)
        assert (await server.intake.listen("127.0.0.1", port, reuse_port=True))[1] == port
        with pytest.raises(OSError, match="use"):
            await server.intake.listen("127.0.0.1", port)
