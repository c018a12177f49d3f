"""What upstream offers decides how the envelope is written, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transactions import MESSAGE, client_of, to
from support.upstream import USUAL_EXTENSIONS, ScriptedUpstream, on, say

from relay.outcome import Status
from relay.replies import Reply
from relay.submission import Recipient
from relay.upstream.negotiation import Offer, mail_command, rcpt_command, read_offer

ALL = Offer(pipelining=True, dsn=True, eight_bit=True, smtputf8=True, size=True)
NONE = Offer()
SIZE = len(MESSAGE)


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        ({}, Offer()),
        (
            {"pipelining": "", "dsn": "", "8bitmime": "", "smtputf8": ""},
            Offer(pipelining=True, dsn=True, eight_bit=True, smtputf8=True),
        ),
        ({"size": ""}, Offer(size=True)),
        ({"size": "0"}, Offer(size=True)),
        ({"size": "1000 octets"}, Offer(size=True, largest=1000)),
        ({"size": "many"}, Offer(size=True)),
        ({"size": "-5"}, Offer(size=True)),
        ({"size": "9" * 5000}, Offer(size=True)),
        ({"limits": "MAILMAX=5 rcptmax=7 RCPTDOMAINMAX=1"}, Offer(most_messages=5, most_recipients=7)),
        ({"limits": "RCPTMAX RCPTMAX= x"}, Offer()),
    ],
)
def test_an_offer_is_read(extensions: dict[str, str], expected: Offer) -> None:
    assert read_offer(extensions) == expected


@pytest.mark.parametrize(
    ("envelope", "offer", "line"),
    [
        ({}, NONE, b"MAIL FROM:<sender@example.org>"),
        ({}, ALL, b"MAIL FROM:<sender@example.org> SIZE=%d" % SIZE),
        ({"sender": ""}, NONE, b"MAIL FROM:<>"),
        ({"eight_bit": True}, Offer(eight_bit=True), b"MAIL FROM:<sender@example.org> BODY=8BITMIME"),
        ({"eight_bit": True}, NONE, b"MAIL FROM:<sender@example.org>"),
        (
            {"ret": "HDRS", "envid": "a+2Bb"},
            Offer(dsn=True),
            b"MAIL FROM:<sender@example.org> RET=HDRS ENVID=a+2Bb",
        ),
        ({"ret": "HDRS", "envid": "a+2Bb"}, NONE, b"MAIL FROM:<sender@example.org>"),
        ({"smtputf8": True}, Offer(smtputf8=True), b"MAIL FROM:<sender@example.org> SMTPUTF8"),
        ({"smtputf8": True}, NONE, b"MAIL FROM:<sender@example.org>"),
        (
            {"sender": "jörg@bücher.example"},
            Offer(smtputf8=True),
            "MAIL FROM:<jörg@bücher.example> SMTPUTF8".encode(),
        ),
        ({"sender": "joe@Bücher.example"}, NONE, b"MAIL FROM:<joe@xn--bcher-kva.example>"),
        (
            {"recipients": (Recipient(address="jörg@example.net"),)},
            Offer(smtputf8=True),
            b"MAIL FROM:<sender@example.org> SMTPUTF8",
        ),
        ({"sender": '"a>b c"@example.org'}, NONE, b'MAIL FROM:<"a>b c"@example.org>'),
    ],
)
def test_mail_says_what_is_wished_and_offered(envelope: dict[str, Any], offer: Offer, line: bytes) -> None:
    assert mail_command(to("ann@example.net", **envelope), offer) == line + b"\r\n"


@pytest.mark.parametrize(
    ("recipient", "offer", "line"),
    [
        (Recipient(address="ann@example.net"), ALL, b"RCPT TO:<ann@example.net>"),
        (Recipient(address="postmaster"), ALL, b"RCPT TO:<postmaster>"),
        (Recipient(address="ann@[192.0.2.1]"), ALL, b"RCPT TO:<ann@[192.0.2.1]>"),
        (
            Recipient(
                address="ann@example.net", notify=("SUCCESS", "DELAY"), orcpt="rfc822;a+2Bb@example.net"
            ),
            ALL,
            b"RCPT TO:<ann@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@example.net",
        ),
        (
            Recipient(address="ann@example.net", notify=("NEVER",), orcpt="rfc822;x"),
            NONE,
            b"RCPT TO:<ann@example.net>",
        ),
        (Recipient(address="ann@müll.example"), ALL, "RCPT TO:<ann@müll.example>".encode()),
        (Recipient(address="ann@MÜLL.example"), NONE, b"RCPT TO:<ann@xn--mll-hoa.example>"),
        (Recipient(address='"a@b"@müll.example'), NONE, b'RCPT TO:<"a@b"@xn--mll-hoa.example>'),
    ],
)
def test_rcpt_says_what_is_wished_and_offered(recipient: Recipient, offer: Offer, line: bytes) -> None:
    assert rcpt_command(recipient, offer) == line + b"\r\n"


@pytest.mark.parametrize(
    "address", ["jörg@example.net", "jörg@müll.example", "jörg", "ann@\u2260..example", "ann@" + "ü" * 90]
)
def test_an_address_without_an_ascii_form_needs_smtputf8(address: str) -> None:
    reply = rcpt_command(Recipient(address=address), NONE)
    assert isinstance(reply, Reply)
    assert reply.enhanced == "5.6.7"
    assert isinstance(rcpt_command(Recipient(address=address), ALL), bytes)


@given(st.text(max_size=30), st.sampled_from([ALL, NONE]))
def test_no_address_makes_a_second_command(address: str, offer: Offer) -> None:
    for line in (
        mail_command(to("ann@example.net", sender=address, envid=address), offer),
        rcpt_command(Recipient(address=address, orcpt=address), offer),
    ):
        if isinstance(line, bytes):
            assert line.endswith(b"\r\n")
            assert not any(octet < 0x20 or octet == 0x7F for octet in line[:-2])
        else:
            assert line.is_permanent


def test_octets_that_are_no_utf8_are_not_sent() -> None:
    reply = rcpt_command(Recipient(address="\udcff@example.net"), ALL)
    assert isinstance(reply, Reply)
    assert reply.is_permanent


async def test_a_message_over_the_announced_size_bounces_unsent() -> None:
    async with ScriptedUpstream(extensions=("SIZE 100",)) as server, client_of(server.url) as client:
        exact, over = [
            await client.send(to("ann@example.net", content=(b"x" * 98 + b"\r\n", b"y" * extra)))
            for extra in (0, 1)
        ]
    assert exact[0].status is Status.ACCEPTED
    assert (over[0].status, over[0].reply.enhanced) == (Status.BOUNCED, "5.3.4")
    assert server.verbs.count("MAIL") == 1


async def test_eight_bit_content_goes_as_it_is_to_an_upstream_that_offers_nothing() -> None:
    content = ("Subject: x\r\n\r\nJörg\r\n".encode(),)
    async with ScriptedUpstream(extensions=()) as server, client_of(server.url) as client:
        (outcome,) = await client.send(to("ann@example.net", content=content, eight_bit=True))
    assert outcome.status is Status.ACCEPTED
    assert server.received[0].data == content[0]
    assert server.received[0].sender == "<sender@example.org>"


async def test_eight_bit_content_bounces_only_when_upstream_refuses_it() -> None:
    rules = on("dot", say("554 5.6.3 No 8-bit here"))
    async with ScriptedUpstream(rules, extensions=()) as server, client_of(server.url) as client:
        (outcome,) = await client.send(to("ann@example.net", eight_bit=True))
    assert (outcome.status, outcome.reply.enhanced) == (Status.BOUNCED, "5.6.3")


async def test_only_the_recipients_who_need_smtputf8_bounce_without_it() -> None:
    async with ScriptedUpstream(extensions=("PIPELINING",)) as server, client_of(server.url) as client:
        outcomes = await client.send(to("jörg@example.net", "ann@müll.example", smtputf8=True))
    assert [outcome.reply.enhanced for outcome in outcomes] == ["5.6.7", "2.0.0"]
    assert outcomes[0].status is Status.BOUNCED
    assert server.received[0].addresses == ("ann@xn--mll-hoa.example",)


@pytest.mark.parametrize("unanimous", [False, True])
async def test_when_all_need_smtputf8_nothing_is_said(unanimous: bool) -> None:
    async with ScriptedUpstream(extensions=()) as server, client_of(server.url) as client:
        outcomes = await client.send(to("jörg@example.net", "jürgen@example.net", unanimous=unanimous))
        assert [outcome.reply.enhanced for outcome in outcomes] == ["5.6.7"] * 2
        if unanimous:
            mixed = await client.send(to("jörg@example.net", "ann@example.net", unanimous=True))
            assert [outcome.status for outcome in mixed] == [Status.DEFERRED] * 2
    assert "MAIL" not in server.verbs


async def test_a_sender_who_needs_smtputf8_bounces_for_everyone() -> None:
    async with ScriptedUpstream(extensions=()) as server, client_of(server.url) as client:
        outcomes = await client.send(to("ann@example.net", "bob@example.net", sender="jörg@example.org"))
    assert [(outcome.status, outcome.reply.enhanced) for outcome in outcomes] == [
        (Status.BOUNCED, "5.6.7")
    ] * 2


@pytest.mark.parametrize(("extensions", "passed"), [(USUAL_EXTENSIONS, True), (("PIPELINING",), False)])
async def test_an_outcome_says_whether_upstream_sees_to_the_reports(
    extensions: tuple[str, ...], passed: bool
) -> None:
    recipient = Recipient(address="ann@example.net", notify=("SUCCESS",), orcpt="rfc822;a@example.net")
    async with ScriptedUpstream(extensions=extensions) as server, client_of(server.url) as client:
        (outcome,) = await client.send(to(recipients=(recipient,), ret="FULL", envid="x"))
    assert outcome.dsn is passed
    assert ("NOTIFY=SUCCESS ORCPT=rfc822;a@example.net" in server.received[0].recipients[0]) is passed
    assert ("RET=FULL ENVID=x" in server.received[0].sender) is passed
