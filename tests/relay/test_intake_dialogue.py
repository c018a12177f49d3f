"""Commands and their replies, spoken over a real socket."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.smtp import Inbox, serving

from relay.replies import Reply, accepted
from relay.submission import Recipient, Submission

# Each line is said in one session, after the greeting; the reply must begin as told.
DIALOGUES: dict[str, list[tuple[str | bytes, str]]] = {
    "an ordinary session": [
        ("EHLO client.test", "250-relay.test\n"),
        ("MAIL FROM:<a@example.org>", "250 2.1.0"),
        ("RCPT TO:<b@example.org>", "250 2.1.5"),
        ("RSET", "250 2.0.0"),
        ("NOOP", "250 2.0.0"),
        ("NOOP with words", "250 2.0.0"),
        ("QUIT", "221 2.0.0"),
    ],
    "the old greeting": [
        ("HELO client.test", "250 relay.test"),
        ("MAIL FROM:<a@example.org>", "250 2.1.0"),
    ],
    "verbs and keywords in any case, spaces where they do no harm": [
        ("ehlo client.test  ", "250-"),
        ("mail from:<a@example.org> ", "250 2.1.0"),
        ("rcpt To: <b@example.org>", "250 2.1.5"),
        ("rset ", "250 2.0.0"),
        ("Mail From:  <a@example.org>  SIZE=5", "250 2.1.0"),
    ],
    "out of order": [
        ("MAIL FROM:<a@example.org>", "503 5.5.1"),
        ("RCPT TO:<b@example.org>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("EHLO client.test", "250-"),
        ("RCPT TO:<b@example.org>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<a@example.org>", "250 2.1.0"),
        ("MAIL FROM:<a@example.org>", "503 5.5.1"),
        ("DATA", "554 5.5.1"),
        ("RCPT TO:<b@example.org>", "250 2.1.5"),
        ("EHLO client.test", "250-"),
        ("DATA", "503 5.5.1"),
    ],
    "arguments where none belong, and none where one belongs": [
        ("EHLO", "501 5.5.4"),
        ("HELO", "501 5.5.4"),
        ("EHLO two words", "501 5.5.4"),
        ("EHLO (comment)", "501 5.5.4"),
        ("EHLO [127.0.0.1]", "250-"),
        ("EHLO [IPv6:::1]", "250-"),
        ("RSET now", "501 5.5.4"),
        ("QUIT now", "501 5.5.4"),
        ("STARTTLS now", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL TO:<a@example.org>", "501 5.5.4"),
        ("MAIL FROM:<a@example.org>", "250 2.1.0"),
        ("RCPT", "501 5.5.4"),
        ("RCPT FROM:<a@example.org>", "501 5.5.4"),
        ("RCPT TO:<a@example.org>", "250 2.1.5"),
        ("DATA now", "501 5.5.4"),
    ],
    "commands that are not offered": [
        ("FOO", "500 5.5.1"),
        ("", "500 5.5.1"),
        (" NOOP", "500 5.5.1"),
        ("EXPN list", "502 5.5.1"),
        ("VRFY someone", "252 2.0.0"),
        ("HELP", "214 2.0.0"),
        ("STARTTLS", "502 5.5.1"),
        ("AUTH PLAIN AGEAYg==", "502 5.5.1"),
    ],
    "bytes that no command holds": [
        (b"NO\0OP", "501 5.5.2"),
        (b"EHLO client\0.test", "501 5.5.2"),
        (b"EHLO client.test", "250-"),
        (b"MAIL FROM:<a\0@example.org>", "501 5.5.2"),
        (b"MAIL FROM:<a@example.org>\t", "501 5.5.2"),
        (b"MAIL FROM:<a\x7f@example.org>", "501 5.5.2"),
        (b"MAIL FROM:<\xff@example.org> SMTPUTF8", "501 5.5.2"),
        (b"MAIL FROM:<\xed\xa0\x80@example.org> SMTPUTF8", "501 5.5.2"),
        (b"MAIL FROM:<a@example.org>\rRCPT TO:<b@example.org>", "501 5.5.2"),
        (b"MAIL FROM:<a@example.org>", "250 2.1.0"),
    ],
    "senders": [
        ("EHLO client.test", "250-"),
        ("MAIL FROM:a@example.org", "501 5.1.7"),
        ("MAIL FROM:<a@example.org", "501 5.1.7"),
        ("MAIL FROM:<a@example.org>junk", "501 5.1.7"),
        ("MAIL FROM:<a@example.org> junk", "555 5.5.4"),
        ("MAIL FROM:<a@example.org> ENVID=a ENVID=b", "501 5.5.4"),
        ("MAIL FROM:<a@example.org> ENVID=+0A", "501 5.5.4"),
        ("MAIL FROM:<ä@example.org>", "553 5.6.7"),
        ("MAIL FROM:<ä@example.org> SMTPUTF8", "250 2.1.0"),
        ("RSET", "250"),
        ("MAIL FROM:<>", "250 2.1.0"),
    ],
    "recipients": [
        ("EHLO client.test", "250-"),
        ("MAIL FROM:<>", "250 2.1.0"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT TO:<b@example.org", "501 5.1.3"),
        ("RCPT TO:<b@example.org>junk", "501 5.1.3"),
        ("RCPT TO:<b>", "501 5.1.3"),
        ("RCPT TO:b@example.org", "501 5.1.3"),
        ("RCPT TO:<b@example.org> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
        ("RCPT TO:<b@example.org> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
        ("RCPT TO:<b@example.org> ORCPT=rfc822;+zz", "501 5.5.4"),
        ("RCPT TO:<b@example.org> SIZE=1", "555 5.5.4"),
        ("RCPT TO:<ä@example.org>", "553 5.6.7"),
        ("RCPT TO:<b@[192.0.2.1]>", "250 2.1.5"),
        ('RCPT TO:<"quoted b"@example.org>', "250 2.1.5"),
        ("RCPT TO:<Postmaster>", "250 2.1.5"),
        (f"RCPT TO:<{'b' * 80}@example.org>", "250 2.1.5"),
        ("RCPT TO:<@route.example:b@example.org>", "250 2.1.5"),
    ],
    "sizes": [
        ("EHLO client.test", "250-"),
        ("MAIL FROM:<a@example.org> SIZE=1000001", "552 5.3.4"),
        ("MAIL FROM:<a@example.org> SIZE=99999999999999999999", "552 5.3.4"),
        ("MAIL FROM:<a@example.org> SIZE=1000000", "250 2.1.0"),
    ],
    "a command line without end": [
        (b"NOOP " + b"x" * 4089, "250 2.0.0"),
        (b"NOOP " + b"x" * 4090, "500 5.5.2"),
        (b"NOOP " + b"x" * 300_000, "500 5.5.2"),
        (b"NOOP", "250 2.0.0"),
    ],
}


@pytest.mark.parametrize("name", DIALOGUES)
async def test_dialogue(name: str) -> None:
    async with serving(Inbox()) as server, server.talk() as client:
        assert (await client.reply()) == "220 relay.test ESMTP Candor"
        for line, expected in DIALOGUES[name]:
            reply = await client.ask(line)
            assert reply.startswith(expected), f"{line!r} → {reply!r}, expected {expected!r}"


async def test_ehlo_names_what_we_can_and_comes_in_one_write() -> None:
    async with serving(Inbox()) as server, server.talk() as client:
        await client.reply()
        await client.send(b"EHLO client.test\r\n")
        answer = (await client.reader.read(65536)).decode()
    assert answer.splitlines() == [
        "250-relay.test",
        "250-PIPELINING",
        "250-SIZE 1000000",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250-ENHANCEDSTATUSCODES",
        "250-DSN",
        "250-CHUNKING",
        "250 LIMITS RCPTMAX=1000",
    ]


async def test_a_command_that_ends_with_a_bare_newline_is_refused() -> None:
    async with serving(Inbox()) as server, server.talk() as client:
        await client.hello()
        await client.send(b"MAIL FROM:<a@example.org>\nRCPT TO:<b@example.org>\n")
        assert (await client.reply()).startswith("500 5.5.2")
        assert (await client.reply()).startswith("500 5.5.2")
        assert (await client.ask("RCPT TO:<b@example.org>")).startswith("503 ")


async def test_the_envelope_is_handed_over_as_spelt() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        for line in (
            "MAIL FROM:<@r.example:Jörg@Example.ORG> SMTPUTF8 BODY=8BITMIME RET=hdrs ENVID=Q+2BQ SIZE=5",
            'RCPT TO:<"B b"@Example.org> NOTIFY=success,DELAY ORCPT=rfc822;B+20b@example.org',
            "RCPT TO:<c@[IPv6:2001:DB8::1]>",
            "RCPT TO:<postMaster>",
        ):
            assert (await client.ask(line)).startswith("250 ")
        reply = await client.data(b"body\r\n.\r\n")
    got = inbox.only
    assert reply == f"250 2.0.0 Ok: queued as {got.id.hex()}"
    assert (got.sender, got.ret, got.envid) == ("Jörg@Example.ORG", "HDRS", "Q+2BQ")
    assert got.smtputf8
    assert got.eight_bit
    assert got.recipients == (
        Recipient(address='"B b"@Example.org', notify=("SUCCESS", "DELAY"), orcpt="rfc822;B+20b@example.org"),
        Recipient(address="c@[IPv6:2001:DB8::1]"),
        Recipient(address="postMaster"),
    )
    assert got.data == b"body\r\n"
    assert (got.client.helo, got.client.esmtp, got.client.tls, got.client.user) == (
        "client.test",
        True,
        None,
        None,
    )
    assert got.received_at.utcoffset() is not None


async def test_the_null_sender_and_helo_are_handed_over_as_such() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.reply()
        assert await client.ask("HELO old.test") == "250 relay.test"
        await client.envelope(sender="")
        await client.data(b".\r\n")
    assert (inbox.only.sender, inbox.only.data) == ("", b"")
    assert (inbox.only.client.esmtp, inbox.only.client.helo) == (False, "old.test")


async def test_the_same_recipient_twice_is_taken_twice_and_kept_once() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope("b@example.org", "b@EXAMPLE.org", "@r.example:b@example.org", "B@example.org")
        await client.data(b".\r\n")
    assert [r.address for r in inbox.only.recipients] == ["b@example.org", "B@example.org"]


async def test_each_message_of_a_session_has_an_envelope_and_an_id_of_its_own() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        for name in ("one", "two"):
            await client.envelope(f"{name}@example.org")
            await client.data(name.encode() + b"\r\n.\r\n")
        assert (await client.ask("DATA")).startswith("503 ")
    first, second = inbox.submissions
    assert [r.address for r in second.recipients] == ["two@example.org"]
    assert first.id != second.id


async def test_a_whole_session_may_be_sent_at_once() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.send(
            b"EHLO client.test\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<>\r\n"
            b"DATA\r\none\r\n.\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<c@example.org>\r\n"
            b"DATA\r\ntwo\r\n.\r\nQUIT\r\n"
        )
        codes = [(await client.reply())[:3] for _ in range(12)]
        assert await client.closed()
    assert codes == ["220", "250", "250", "250", "501", "354", "250", "250", "250", "354", "250", "221"]
    assert [s.data for s in inbox.submissions] == [b"one\r\n", b"two\r\n"]


async def test_replies_to_pipelined_commands_come_together() -> None:
    async with serving(Inbox()) as server, server.talk() as client:
        await client.hello()
        await client.send(b"MAIL FROM:<a@example.org>\r\n" + b"RCPT TO:<b@example.org>\r\n" * 20)
        assert (await client.reader.read(65536)).count(b"\r\n") == 21


async def test_the_body_may_be_cut_at_every_octet() -> None:
    inbox = Inbox()
    body = b"..dot\r\n.\r\r\n\r\n.\r\nNOOP\r\n"
    async with serving(inbox, bare_newlines="normalize") as server, server.talk() as client:
        await client.hello()
        for cut in range(1, len(body)):
            await client.envelope()
            assert (await client.ask("DATA")).startswith("354 ")
            await client.send(body[:cut])
            await asyncio.sleep(0)
            await client.send(body[cut:])
            assert (await client.reply()).startswith("250 ")
            assert (await client.reply()).startswith("250 ")
    assert {s.data for s in inbox.submissions} == {b".dot\r\n\r\n\r\n\r\n"}


async def test_a_smuggled_message_is_refused_and_the_session_goes_on() -> None:
    inbox = Inbox()
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        evil = b"a\r\n\n.\r\nMAIL FROM:<x@example.org>\r\nRCPT TO:<y@example.org>\r\nDATA\r\nforged\r\n.\r\n"
        assert (await client.data(evil)).startswith("550 5.5.2")
        assert (await client.ask("DATA")).startswith("503 ")
        await client.envelope()
        assert (await client.data(b"good\r\n.\r\n")).startswith("250 ")
    assert inbox.only.data == b"good\r\n"


async def test_a_message_over_the_limit_is_read_and_refused_and_the_session_goes_on() -> None:
    inbox = Inbox()
    async with serving(inbox, max_message_size=50_000) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await client.data(b"x" * 98 + b"\r\n" * 1 + b"y" * 200_000 + b"\r\n.\r\n")).startswith(
            "552 5.3.4"
        )
        await client.envelope()
        assert (await client.data(b"x" * 49_998 + b"\r\n.\r\n")).startswith("250 ")
    assert len(inbox.only.data) == 50_000


async def test_long_lines_and_nul_in_a_body_are_passed_on() -> None:
    inbox = Inbox()
    body = b"x" * 300_000 + b"\r\n" + b"nul \0 here\r\n"
    async with serving(inbox) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await client.data(body + b".\r\n")).startswith("250 ")
    assert inbox.only.data == body


async def test_the_recipient_over_the_limit_is_put_off_and_those_before_stay() -> None:
    inbox = Inbox()
    async with serving(inbox, max_recipients=100) as server, server.talk() as client:
        await client.hello()
        await client.envelope(*(f"r{n}@example.org" for n in range(100)))
        assert (await client.ask("RCPT TO:<more@example.org>")).startswith("452 4.5.3")
        assert (await client.ask("RCPT TO:<r7@example.org>")).startswith("250 ")
        assert (await client.data(b".\r\n")).startswith("250 ")
    assert len(inbox.only.recipients) == 100


async def test_the_reply_of_the_delivery_is_what_the_client_hears_made_safe() -> None:
    async def deliver(submission: Submission) -> Reply:
        return Reply(code=550, detail="7.1", text="no\0 thanks\r\n250 für Sie\x85nicht")

    async with serving(deliver) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        assert (await client.data(b".\r\n")) == "550-5.7.1 no? thanks\n550-5.7.1 250 f?r Sie\n550 5.7.1 nicht"
        assert (await client.ask("NOOP")).startswith("250 ")


async def test_a_check_may_refuse_every_mail_for_now() -> None:
    full = Reply(code=452, detail="3.1", text="Disk nearly full")
    answers: list[Reply | None] = [full, None]
    async with serving(Inbox(), check=lambda: answers.pop(0)) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask("MAIL FROM:<a@example.org>")) == "452 4.3.1 Disk nearly full"
        assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("250 ")


async def test_a_client_out_of_the_allowed_networks_may_talk_but_not_send() -> None:
    async with serving(Inbox(), allowed_networks=()) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("550 5.7.1")
        assert (await client.ask("RCPT TO:<a@example.org>")).startswith("503 ")
        assert (await client.ask("NOOP")).startswith("250 ")


verbs = st.sampled_from(
    [
        b"EHLO",
        b"HELO",
        b"MAIL FROM:",
        b"RCPT TO:",
        b"DATA",
        b"RSET",
        b"NOOP",
        b"VRFY",
        b"EXPN",
        b"STARTTLS",
        b"AUTH",
    ]
)
ENDING = {
    b"PROXY",
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"PATCH",
    b"PRI",
}
"""Words that end a session, and have tests of their own; hypothesis reads them out of the code."""
garbage = (
    st.binary(max_size=120)
    .map(lambda octets: octets.replace(b"\n", b""))
    .filter(lambda octets: octets.partition(b" ")[0].strip().upper() not in ENDING)
)
lines = st.one_of(garbage, st.builds(lambda verb, rest: verb + b" " + rest, verbs, garbage))


async def say_all(said: list[bytes]) -> list[str]:
    async def deliver(submission: Submission) -> Reply:
        return accepted(submission.id.hex())

    async with serving(deliver, max_errors=10_000) as server, server.talk() as client:
        await client.hello()
        await client.ask("MAIL FROM:<a@example.org>")
        replies = [await client.ask(line) for line in said]
        assert (await client.ask("NOOP")).startswith("250 ")
        return replies


@settings(max_examples=60, deadline=None)
@given(st.lists(lines, min_size=1, max_size=15))
def test_garbage_is_answered_politely_and_the_session_goes_on(said: list[bytes]) -> None:
    for reply in asyncio.run(say_all(said)):
        assert reply[:3] in {"214", "250", "252", "500", "501", "502", "503", "552", "553", "554", "555"}, (
            reply
        )
        assert "Traceback" not in reply
        assert "Error" not in reply


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (b"X: " + b"x" * 90 + b"\r\n", "250 "),
        (b"X: " + b"x" * 200 + b"\r\n", "552 5.3.4 Message header"),
        (b"X: x\r\n" * 30, "552 5.3.4 Message header"),
        (b"x" * 300 + b"\r\n", "552 5.3.4 Message header"),  # no end of the header at all
    ],
)
@pytest.mark.parametrize("command", ["DATA", "BDAT"])
async def test_a_header_over_the_limit_is_refused_and_a_long_body_is_none(
    header: bytes, answer: str, command: str
) -> None:
    body = b"" if header.startswith(b"xx") else b"\r\n" + b"body\r\n" * 100
    async with serving(Inbox(), max_header_size=100) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        if command == "DATA":
            said = await client.data(header + body + b".\r\n")
        else:
            await client.send(b"BDAT %d LAST\r\n" % len(header + body) + header + body)
            said = await client.reply()
        assert said.startswith(answer)
        assert (await client.ask("NOOP")).startswith("250 ")
