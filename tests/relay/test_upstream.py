"""Each fault of an upstream, and what every recipient is told of it."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs
from support.transactions import MESSAGE, client_of, to
from support.upstream import (
    USUAL_EXTENSIONS,
    Act,
    Rule,
    ScriptedUpstream,
    deaf,
    drop,
    endless,
    flood,
    garbage,
    hang,
    on,
    say,
    slow,
)

from relay.outcome import Outcome, Status
from relay.upstream import SmtpUpstream, parse_url

ANN, BOB, CAT = "ann@example.net", "bob@example.net", "cat@example.net"

PIPELINED = pytest.mark.parametrize(
    "extensions", [USUAL_EXTENSIONS, ("8BITMIME",), ()], ids=["pipelined", "esmtp", "none"]
)


def short(outcomes: tuple[Outcome, ...]) -> list[tuple[str, int, str]]:
    return [(outcome.status.value, outcome.reply.code, outcome.reply.detail) for outcome in outcomes]


@PIPELINED
async def test_a_message_arrives_as_it_was_and_everyone_hears_it(extensions: tuple[str, ...]) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    content = (b"Received: here\r\n", b".Subject: dots\r\n\r\n", b"..\r\n.\r\nend")
    async with ScriptedUpstream(extensions=extensions) as server:
        client = SmtpUpstream(parse_url(server.url), lambda: at)
        outcomes = await client.send(to(ANN, BOB, content=content))
        await client.close(grace=1)
    assert [mail.data for mail in server.received] == [b"".join(content) + b"\r\n"]
    assert server.received[0].addresses == (ANN, BOB)
    for outcome in outcomes:
        assert (outcome.status, outcome.at, outcome.tls) == (Status.ACCEPTED, at, None)
        assert (outcome.host, outcome.reply.text) == (f"127.0.0.1:{server.port}", "Taken")
    assert server.verbs[0] == "EHLO"
    assert server.verbs[-1] == "QUIT"


async def test_a_message_larger_than_any_buffer_arrives_whole() -> None:
    line = b"." * 77 + b"\r\n"
    content = (b"Subject: large\r\n\r\n", line * 60_000)
    async with ScriptedUpstream() as server, client_of(server.url) as client:
        (outcome,) = await client.send(to(ANN, content=content))
    assert outcome.status is Status.ACCEPTED
    assert server.received[0].data == b"".join(content)


@pytest.mark.parametrize(
    ("rules", "status"),
    [((), Status.ACCEPTED), ((on("dot", say("554 5.6.0 Line too long")),), Status.BOUNCED)],
)
async def test_a_line_longer_than_allowed_is_passed_on_unless_upstream_refuses_it(
    rules: tuple[Rule, ...], status: Status
) -> None:
    content = (b"Subject: x\r\n\r\n", b"y" * 5000 + b"\r\n")
    async with ScriptedUpstream(*rules) as server, client_of(server.url) as client:
        (outcome,) = await client.send(to(ANN, content=content))
    assert outcome.status is status
    (mail,) = server.received or server.refused
    assert mail.data == b"".join(content)


async def test_addresses_are_said_as_they_were_given() -> None:
    odd = ("joe@[192.0.2.1]", "joe@[IPv6:2001:db8::1]", '"a b@c>"@example.org', "x" * 70 + "@example.org")
    bare = "postmaster"
    async with ScriptedUpstream() as server, client_of(server.url) as client:
        outcomes = await client.send(to(*odd, bare, sender='"the shop"@example.org'))
    assert {outcome.status for outcome in outcomes} == {Status.ACCEPTED}
    assert server.received[0].recipients == tuple(f"<{address}>" for address in (*odd, bare))
    assert server.received[0].sender.startswith('<"the shop"@example.org> ')


async def test_the_null_sender_stays_null() -> None:
    async with ScriptedUpstream() as server, client_of(server.url) as client:
        await client.send(to(ANN, sender=""))
    assert server.received[0].sender.startswith("<> ")


async def test_nobody_to_send_to_is_no_transaction() -> None:
    async with ScriptedUpstream() as server, client_of(server.url) as client:
        assert await client.send(to(ANN, recipients=())) == ()
    assert server.commands == []


# Before the transaction.


async def test_no_connection_is_deferred() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        async with client_of(f"smtp://127.0.0.1:{taken.getsockname()[1]}") as client:
            outcomes = await client.send(to(ANN, BOB))
    assert short(outcomes) == [("deferred", 451, "4.1")] * 2
    assert outcomes[0].host == ""


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        (on("connect", say("421 4.3.2 Too busy")), 421, "Too busy"),
        (on("connect", say("450 Come back")), 450, "Come back"),
        (on("connect", say("554 5.7.1 Not you")), 451, "554 5.7.1 Not you"),
        (on("connect", drop()), 451, ""),
        (on("connect", garbage()), 451, ""),
        (on("connect", say("600 no such code")), 451, ""),
        (on("connect", endless()), 451, ""),
        (on("connect", hang()), 451, ""),
        (on("ehlo", say("421 4.3.2 Too busy")), 421, "Too busy"),
        (on("ehlo", say("451 Come back")), 451, "Come back"),
        (on("ehlo", drop()), 451, ""),
        (on("ehlo", garbage()), 451, ""),
        (on("ehlo", endless()), 451, ""),
        (on("ehlo", hang()), 451, ""),
    ],
)
async def test_an_upstream_that_does_not_let_us_in_is_no_bounce(rule: Rule, code: int, words: str) -> None:
    patience = 0.4 if rule.act.kind == "hang" else 30.0
    async with (
        ScriptedUpstream(rule) as server,
        client_of(server.url, connect_timeout=patience, command_timeout=patience) as client,
    ):
        outcomes = await client.send(to(ANN, BOB))
    assert {(outcome.status, outcome.reply.code) for outcome in outcomes} == {(Status.DEFERRED, code)}
    assert words in outcomes[0].reply.text
    assert not outcomes[0].maybe_sent


async def test_an_upstream_that_knows_no_ehlo_is_spoken_to_with_helo() -> None:
    rules = on("ehlo", say("502 5.5.2 What?"))
    async with ScriptedUpstream(rules) as server, client_of(server.url) as client:
        (outcome,) = await client.send(to(ANN, eight_bit=True, ret="HDRS"))
    assert outcome.status is Status.ACCEPTED
    assert server.verbs[:2] == ["EHLO", "HELO"]
    assert server.received[0].sender == "<sender@example.org>"


async def test_an_upstream_that_refuses_helo_too_is_no_bounce() -> None:
    rules = (on("ehlo", say("550 5.7.1 No")), on("helo", say("550 5.7.1 No")))
    async with ScriptedUpstream(*rules) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN))
    assert short(outcomes) == [("deferred", 451, "4.0")]


# Within the transaction.


@PIPELINED
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("450 4.1.8 Later", ("deferred", 450, "1.8")),
        ("550 5.7.1 Never", ("bounced", 550, "7.1")),
        ("530 5.7.0 Log in first", ("deferred", 451, "4.0")),
    ],
)
async def test_a_refused_sender_is_everyones_answer_and_the_connection_goes_on(
    extensions: tuple[str, ...], reply: str, expected: tuple[str, int, str]
) -> None:
    rules = on("mail", say(reply), times=1)
    async with ScriptedUpstream(rules, extensions=extensions) as server, client_of(server.url) as client:
        assert short(await client.send(to(ANN, BOB))) == [expected] * 2
        assert short(await client.send(to(CAT))) == [("accepted", 250, "0.0")]
    assert [mail.addresses for mail in server.received] == [(CAT,)]
    assert server.connections == 1


@PIPELINED
async def test_some_refused_recipients_do_not_keep_the_others_from_their_mail(
    extensions: tuple[str, ...],
) -> None:
    rules = (
        on("rcpt", say("550-5.1.1 Nobody\r\n550 5.1.1 of that name"), match=ANN),
        on("rcpt", say("450 4.2.2 Full"), match=CAT),
    )
    async with ScriptedUpstream(*rules, extensions=extensions) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB, CAT))
    assert short(outcomes) == [("bounced", 550, "1.1"), ("accepted", 250, "0.0"), ("deferred", 450, "2.2")]
    assert outcomes[0].reply.text == "Nobody\nof that name"
    assert [mail.addresses for mail in server.received] == [(BOB,)]


@PIPELINED
@pytest.mark.parametrize("stage", ["data", "dot"])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [("451 4.3.0 Oops", ("deferred", 451, "3.0")), ("554 5.6.0 Bad mail", ("bounced", 554, "6.0"))],
)
async def test_refused_recipients_keep_their_own_reply_when_the_message_is_refused(
    extensions: tuple[str, ...], stage: str, reply: str, expected: tuple[str, int, str]
) -> None:
    rules = (on("rcpt", say("550 5.1.1 Nobody"), match=ANN), on(stage, say(reply), times=1))
    async with ScriptedUpstream(*rules, extensions=extensions) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB))
        assert short(outcomes) == [("bounced", 550, "1.1"), expected]
        assert not outcomes[1].maybe_sent
        assert short(await client.send(to(CAT))) == [("accepted", 250, "0.0")]
    assert [mail.addresses for mail in server.received] == [(CAT,)]
    assert server.connections == 1


@PIPELINED
async def test_when_all_are_refused_no_message_goes_and_no_envelope_is_left(
    extensions: tuple[str, ...],
) -> None:
    rules = on("rcpt", say("550 5.1.1 Nobody"), match="nobody")
    async with ScriptedUpstream(rules, extensions=extensions) as server, client_of(server.url) as client:
        assert (
            short(await client.send(to("nobody@a.example", "nobody@b.example")))
            == [("bounced", 550, "1.1")] * 2
        )
        assert short(await client.send(to(CAT))) == [("accepted", 250, "0.0")]
    assert [mail.addresses for mail in server.received] == [(CAT,)]
    assert server.connections == 1
    assert ("DATA" in server.verbs[: server.verbs.index("RSET")]) is ("PIPELINING" in extensions)


async def test_an_upstream_that_takes_data_for_nobody_gets_an_empty_message() -> None:
    rules = on("rcpt", say("550 5.1.1 Nobody"), times=1)
    async with ScriptedUpstream(rules, takes_data_for_nobody=True) as server, client_of(server.url) as client:
        assert short(await client.send(to(ANN))) == [("bounced", 550, "1.1")]
        assert short(await client.send(to(BOB))) == [("accepted", 250, "0.0")]
    assert [(mail.addresses, mail.data) for mail in server.received] == [((), b""), ((BOB,), MESSAGE)]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "content", "dot"])
async def test_a_421_ends_the_connection_and_is_the_answer(stage: str, pipelining: bool) -> None:
    rules = (
        on("rcpt", say("550 5.1.1 Nobody"), match=ANN),
        on(stage, drop("421 4.3.2 Going down"), match=stage_of_bob(stage)),
    )
    extensions = USUAL_EXTENSIONS if pipelining else ()
    async with ScriptedUpstream(*rules, extensions=extensions) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB, CAT))
    first = ("deferred", 421, "3.2") if stage == "mail" else ("bounced", 550, "1.1")
    assert short(outcomes) == [first] + [("deferred", 421, "3.2")] * 2
    assert not any(outcome.maybe_sent for outcome in outcomes)


def stage_of_bob(stage: str) -> str:
    return BOB if stage == "rcpt" else ""


GARBLED = "Upstream's answer was not SMTP"
BREAKDOWNS = {
    "drop": (drop(), "Upstream dropped the connection"),
    "hang": (hang(), "Upstream did not answer in time"),
    "endless": (endless(), GARBLED),
    "flood": (flood(), GARBLED),
    "garbage": (garbage(), GARBLED),
    "two codes": (say("250-Yes\r\n550 No"), GARBLED),
    "four digits": (say("2500 Ok"), GARBLED),
    "no such class": (say("650 Ok"), GARBLED),
    "out of place": (say("354 Go on, whatever"), GARBLED),
}


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(("act", "words"), BREAKDOWNS.values(), ids=BREAKDOWNS)
async def test_no_reply_or_one_that_makes_no_sense_is_temporary(
    stage: str, act: Act, words: str, pipelining: bool
) -> None:
    if stage == "data" and act.text.startswith("354"):
        act = say("250 2.0.0 Taken, I suppose")  # what makes no sense there
    patience = 0.4 if act.kind == "hang" else 30.0
    async with (
        ScriptedUpstream(
            on("rcpt", say("550 5.1.1 Nobody"), match=ANN),
            on(stage, act, times=1, match=stage_of_bob(stage)),
            extensions=USUAL_EXTENSIONS if pipelining else (),
        ) as server,
        client_of(server.url, command_timeout=patience, data_timeout=patience) as client,
    ):
        outcomes = await client.send(to(ANN, BOB, CAT))
        again = await client.send(to(CAT))
    first = Status.DEFERRED if stage == "mail" else Status.BOUNCED
    assert [outcome.status for outcome in outcomes] == [first, Status.DEFERRED, Status.DEFERRED]
    assert [outcome.maybe_sent for outcome in outcomes] == [False, stage == "dot", stage == "dot"]
    assert {(outcome.reply.code, outcome.reply.text) for outcome in outcomes[1:]} == {(451, words)}
    assert again[0].status is Status.ACCEPTED
    assert server.connections == 2  # the first one was not used again


async def test_what_may_be_sent_twice_is_said_in_the_log() -> None:
    async with ScriptedUpstream(on("dot", drop())) as server, client_of(server.url) as client:
        with capture_logs() as logged:
            await client.send(to(ANN, BOB))
    (line,) = (line for line in logged if line["event"] == "may-be-sent-twice")
    assert (line["recipients"], line["host"]) == (2, f"127.0.0.1:{server.port}")
    assert "example.net" not in str(logged)


async def test_an_upstream_that_hangs_up_in_the_middle_of_the_message_has_not_got_it() -> None:
    large = (MESSAGE * 400_000,)
    async with ScriptedUpstream(on("content", drop())) as server, client_of(server.url) as client:
        (outcome,) = await client.send(to(ANN, content=large))
    assert (outcome.status, outcome.maybe_sent) == (Status.DEFERRED, False)


async def test_an_upstream_that_refuses_in_the_middle_of_the_message_is_heard() -> None:
    large = (MESSAGE * 400_000,)
    rules = on("content", drop("552 5.3.4 Too much"))
    async with ScriptedUpstream(rules, extensions=("PIPELINING",)) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, content=large))
    assert short(outcomes) == [("bounced", 552, "3.4")]


async def test_an_upstream_that_stops_reading_is_given_up() -> None:
    large = (MESSAGE * 400_000,)
    async with (
        ScriptedUpstream(on("content", deaf())) as server,
        client_of(server.url, command_timeout=1.0) as client,
    ):
        (outcome,) = await client.send(to(ANN, content=large))
    assert (outcome.status, outcome.reply.detail, outcome.maybe_sent) == (Status.DEFERRED, "4.2", False)


async def test_the_reply_after_the_dot_has_a_patience_of_its_own() -> None:
    async with (
        ScriptedUpstream(on("dot", slow(1.3))) as server,
        client_of(server.url, command_timeout=1.0, data_timeout=30.0) as client,
    ):
        (outcome,) = await client.send(to(ANN))
    assert outcome.status is Status.ACCEPTED


async def test_a_hanging_reset_hides_nothing() -> None:
    rules = (on("rcpt", say("550 5.1.1 Nobody"), times=1), on("rset", hang()))
    async with ScriptedUpstream(*rules) as server, client_of(server.url, command_timeout=1.0) as client:
        assert short(await client.send(to(ANN))) == [("bounced", 550, "1.1")]
        assert short(await client.send(to(BOB))) == [("accepted", 250, "0.0")]
    assert server.connections == 2


# Too many recipients.


@PIPELINED
async def test_too_many_recipients_go_in_further_transactions_at_once(extensions: tuple[str, ...]) -> None:
    everyone = tuple(f"r{number}@example.net" for number in range(7))
    async with (
        ScriptedUpstream(extensions=extensions, recipients_max=3) as server,
        client_of(server.url) as client,
    ):
        outcomes = await client.send(to(*everyone))
    assert short(outcomes) == [("accepted", 250, "0.0")] * 7
    assert [mail.addresses for mail in server.received] == [everyone[:3], everyone[3:6], everyone[6:]]
    assert server.verbs.count("RCPT") == 7 + 3 + 1  # the limit is learnt from the first refusal


async def test_an_announced_limit_is_not_tried() -> None:
    everyone = tuple(f"r{number}@example.net" for number in range(5))
    extensions = (*USUAL_EXTENSIONS, "LIMITS MAILMAX=2 RCPTMAX=2")
    async with (
        ScriptedUpstream(extensions=extensions, recipients_max=2) as server,
        client_of(server.url) as client,
    ):
        outcomes = await client.send(to(*everyone))
    assert short(outcomes) == [("accepted", 250, "0.0")] * 5
    assert [mail.addresses for mail in server.received] == [everyone[:2], everyone[2:4], everyone[4:]]
    assert server.verbs.count("RCPT") == 5
    assert server.connections == 2


async def test_the_rest_is_told_its_own_result() -> None:
    rules = on("dot", say("554 5.6.0 Bad mail"), after=1)
    async with ScriptedUpstream(rules, recipients_max=1) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB))
    assert short(outcomes) == [("accepted", 250, "0.0"), ("bounced", 554, "6.0")]


async def test_an_upstream_that_takes_none_at_all_is_not_asked_forever() -> None:
    async with ScriptedUpstream(recipients_max=0) as server, client_of(server.url) as client:
        assert short(await client.send(to(ANN, BOB))) == [("deferred", 452, "5.3")] * 2
    assert server.verbs.count("MAIL") == 1


async def test_a_full_mailbox_is_not_too_many_recipients() -> None:
    rules = on("rcpt", say("452 4.2.2 Full"), match=BOB)
    async with ScriptedUpstream(rules) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB, CAT))
    assert [outcome.reply.code for outcome in outcomes] == [250, 452, 250]
    assert server.verbs.count("MAIL") == 1


# All or nothing.


@PIPELINED
@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), [("accepted", 250, "0.0")] * 2),
        ((on("rcpt", say("550 5.1.1 Nobody")),), [("bounced", 550, "1.1")] * 2),
        ((on("rcpt", say("450 4.2.1 Later")),), [("deferred", 450, "2.1")] * 2),
        (
            (on("rcpt", say("550 5.1.1 Nobody"), match=ANN),),
            [("deferred", 451, "4.0"), ("deferred", 451, "5.0")],
        ),
        (
            (on("rcpt", say("550 5.1.1 Nobody"), match=BOB),),
            [("deferred", 451, "5.0"), ("deferred", 451, "4.0")],
        ),
        (
            (on("rcpt", say("450 4.2.1 Later"), match=BOB),),
            [("deferred", 451, "5.0"), ("deferred", 450, "2.1")],
        ),
        (
            (on("rcpt", say("452 4.5.3 Many"), match=BOB),),
            [("deferred", 451, "5.0"), ("deferred", 452, "5.3")],
        ),
        ((on("dot", say("554 5.6.0 Bad")),), [("bounced", 554, "6.0")] * 2),
        ((on("data", say("451 4.3.0 Oops")),), [("deferred", 451, "3.0")] * 2),
    ],
)
async def test_a_unanimous_transaction_goes_to_all_or_to_none(
    extensions: tuple[str, ...], rules: tuple[Rule, ...], expected: list[tuple[str, int, str]]
) -> None:
    async with ScriptedUpstream(*rules, extensions=extensions) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB, unanimous=True))
        assert short(outcomes) == expected
        await client.close(grace=1)
    assert [mail.addresses for mail in server.received] == ([(ANN, BOB)] if not rules else [])
    if any(outcome.reply.detail == "5.0" for outcome in outcomes):
        assert "DATA" not in server.verbs
        assert server.verbs[-2:] == ["RSET", "QUIT"]
    for outcome in outcomes:
        if outcome.reply.text.startswith("Not sent, upstream said"):
            assert "550 5.1.1 Nobody" in outcome.reply.text


async def test_a_unanimous_transaction_is_not_split_by_an_announced_limit() -> None:
    async with ScriptedUpstream(extensions=("LIMITS RCPTMAX=1",)) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB, unanimous=True))
    assert [outcome.status for outcome in outcomes] == [Status.ACCEPTED] * 2
    assert [mail.addresses for mail in server.received] == [(ANN, BOB)]


async def test_a_unanimous_transaction_is_not_split_by_a_connection_that_breaks() -> None:
    rules = (on("rcpt", say("550 5.1.1 Nobody"), match=ANN), on("rcpt", drop(), match=BOB))
    async with ScriptedUpstream(*rules) as server, client_of(server.url) as client:
        outcomes = await client.send(to(ANN, BOB, unanimous=True))
    assert [outcome.status for outcome in outcomes] == [Status.DEFERRED] * 2


# The end.


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("ehlo", "EHLO"),
        ("mail", "MAIL"),
        ("rcpt", "RCPT"),
        ("data", "DATA"),
        ("dot", "."),
    ],
)
async def test_a_cancelled_send_leaves_no_connection_behind(stage: str, line: str) -> None:
    async with ScriptedUpstream(on(stage, hang(), times=1)) as server, client_of(server.url) as client:
        sending = asyncio.create_task(client.send(to(ANN)))
        await server.said(line)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await server.all_gone()
        assert short(await client.send(to(BOB))) == [("accepted", 250, "0.0")]
        assert client.state().connections == 1
    assert server.connections == 2


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
async def test_a_reply_that_comes_too_late_is_nobodys(stage: str) -> None:
    rules = (on(stage, slow(2.0), times=1), on("dot", say("250 2.0.0 For cat"), match="cat"))
    async with (
        ScriptedUpstream(*rules) as server,
        client_of(server.url, command_timeout=1.0, data_timeout=1.0) as client,
    ):
        (late,) = await client.send(to(ANN))
        (next_one,) = await client.send(to(CAT, sender=CAT))
    assert (late.status, late.maybe_sent) == (Status.DEFERRED, stage == "dot")
    assert next_one.reply.text == "For cat"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("stage", "line", "maybe"), [("dot", ".", True), ("data", "DATA", False), ("ehlo", "EHLO", False)]
)
async def test_closing_breaks_off_what_does_not_end_in_time(stage: str, line: str, maybe: bool) -> None:
    async with ScriptedUpstream(on(stage, hang())) as server, client_of(server.url) as client:
        sending = asyncio.create_task(client.send(to(ANN, BOB)))
        await server.said(line)
        await client.close(grace=0.05)
        outcomes = await sending
        assert short(outcomes) == [("deferred", 451, "3.2")] * 2
        assert {outcome.maybe_sent for outcome in outcomes} == {maybe}


async def test_closing_waits_for_what_ends_in_time_and_takes_nothing_more() -> None:
    async with ScriptedUpstream(on("dot", slow(0.1))) as server, client_of(server.url) as client:
        sending = asyncio.create_task(client.send(to(ANN)))
        await server.said(".")
        closing = asyncio.create_task(client.close(grace=5))
        await asyncio.sleep(0)
        assert short(await client.send(to(BOB))) == [("deferred", 451, "3.2")]
        await closing
        assert short(await sending) == [("accepted", 250, "0.0")]
    assert server.verbs[-1] == "QUIT"
    assert server.connections == 1
