"""Several servers: who is asked next, for whom, and when nobody is any more."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.certificates import Authority
from support.transactions import routing, server, to, upstream_of
from support.upstream import Rule, ScriptedUpstream, drop, garbage, hang, on, say, slow

from relay.capture import captured
from relay.outcome import Outcome, Status
from relay.upstream import Addresses, Route

ANN, BOB, CAT = "ann@example.net", "bob@example.net", "cat@corp.example"


@pytest.fixture
def closed() -> Iterator[str]:
    """A URL where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"smtp://127.0.0.1:{taken.getsockname()[1]}"


def statuses(outcomes: tuple[Outcome, ...]) -> list[Status]:
    return [outcome.status for outcome in outcomes]


def port(outcome: Outcome) -> int:
    return int(outcome.host.rpartition(":")[2])


BEFORE_THE_DOT = [
    on("connect", say("421 4.3.2 Too busy")),
    on("connect", say("450 Come back")),
    on("connect", say("554 5.7.1 Not you")),
    on("connect", drop()),
    on("connect", garbage()),
    on("connect", hang()),
    on("ehlo", say("421 4.3.2 Too busy")),
    on("ehlo", say("451 Come back")),
    on("ehlo", drop()),
    on("mail", drop("421 4.3.2 Going down")),
    on("mail", drop()),
    on("mail", hang()),
    on("rcpt", drop("421 4.3.2 Going down")),
    on("data", drop("421 4.3.2 Going down")),
    on("data", garbage()),
    on("content", drop()),
]


@pytest.mark.parametrize(
    "rule", BEFORE_THE_DOT, ids=lambda rule: f"{rule.stage}-{rule.act.kind}{rule.act.text[:3]}"
)
async def test_a_server_that_fails_before_the_end_of_the_message_is_followed_by_the_next(rule: Rule) -> None:
    patience = 0.4 if rule.act.kind == "hang" else 30.0
    settings = {"connect_timeout": patience, "command_timeout": patience}
    large = (b"Subject: x\r\n\r\n", (b"a" * 900 + b"\r\n") * 17_000 if rule.stage == "content" else b"x\r\n")
    async with (
        ScriptedUpstream(rule) as first,
        ScriptedUpstream() as second,
        upstream_of(
            server("first", first.url, **settings), server("second", second.url, priority=20)
        ) as upstream,
    ):
        outcomes = await upstream.send(to(ANN, BOB, content=large))
    assert statuses(outcomes) == [Status.ACCEPTED] * 2
    assert {port(outcome) for outcome in outcomes} == {second.port}
    assert [mail.addresses for mail in second.received] == [(ANN, BOB)]
    assert first.connections == 1
    assert first.received == []


async def test_where_nobody_listens_the_next_is_asked(closed: str) -> None:
    async with (
        ScriptedUpstream() as second,
        upstream_of(server("first", closed), server("second", second.url, priority=20)) as upstream,
    ):
        assert statuses(await upstream.send(to(ANN))) == [Status.ACCEPTED]


@pytest.mark.parametrize(
    "case", ["no STARTTLS", "bad certificate", "refused login", "no login offered"], ids=lambda text: text
)
async def test_a_server_we_must_not_trust_is_loud_and_followed_by_the_next(case: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = None if case == "no STARTTLS" else authority.server()
    users = {"ann": "right"} if case == "refused login" else {}
    async with ScriptedUpstream(tls=tls, users=users) as first, ScriptedUpstream() as second:
        settings = {} if case == "bad certificate" else {"ca_file": str(authority.path)}
        with capture_logs() as logged:
            url = f"smtp+starttls://ann:s3cret@127.0.0.1:{first.port}"
            servers = (server("first", url, **settings), server("second", second.url, priority=20))
            async with upstream_of(*servers) as upstream:
                outcomes = await upstream.send(to(ANN))
    assert statuses(outcomes) == [Status.ACCEPTED]
    assert "error" in [line["log_level"] for line in logged]
    assert "MAIL" not in first.verbs
    assert len(second.received) == 1
    assert "s3cret" not in str(logged)


@pytest.mark.parametrize(
    ("rule", "maybe"),
    [
        (on("dot", drop()), True),
        (on("dot", hang()), True),
        (on("dot", garbage()), True),
        (on("dot", drop("421 4.3.2 Going down")), False),
    ],
    ids=["drop", "hang", "garbage", "421"],
)
async def test_once_the_end_of_the_message_has_left_no_other_server_is_asked(rule: Rule, maybe: bool) -> None:
    patience = 0.4 if rule.act.kind == "hang" else 30.0
    async with (
        ScriptedUpstream(rule) as first,
        ScriptedUpstream() as second,
        upstream_of(
            server("first", first.url, data_timeout=patience), server("second", second.url, priority=20)
        ) as upstream,
    ):
        with capture_logs() as logged:
            outcomes = await upstream.send(to(ANN, BOB))
    assert statuses(outcomes) == [Status.DEFERRED] * 2
    assert [outcome.maybe_sent for outcome in outcomes] == [maybe] * 2
    assert ("may-be-sent-twice" in [line["event"] for line in logged]) is maybe
    assert second.connections == 0


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (on("mail", say("550 5.7.1 Never")), Status.BOUNCED),
        (on("mail", say("451 4.7.1 Greylisted")), Status.DEFERRED),
        (on("rcpt", say("550 5.1.1 Nobody")), Status.BOUNCED),
        (on("rcpt", say("450 4.2.1 Later")), Status.DEFERRED),
        (on("data", say("554 5.6.0 Bad")), Status.BOUNCED),
        (on("dot", say("451 4.3.0 Later")), Status.DEFERRED),
        (on("dot", say("554 5.6.0 Bad")), Status.BOUNCED),
    ],
    ids=lambda value: f"{value.stage}-{value.act.text[:3]}" if isinstance(value, Rule) else "",
)
async def test_an_answer_about_the_mail_is_an_answer(rule: Rule, status: Status) -> None:
    async with (
        ScriptedUpstream(rule) as first,
        ScriptedUpstream() as second,
        upstream_of(server("first", first.url), server("second", second.url, priority=20)) as upstream,
    ):
        assert statuses(await upstream.send(to(ANN))) == [status]
    assert second.connections == 0


async def test_the_next_server_is_asked_only_for_those_who_have_no_answer_yet() -> None:
    rules = (on("rcpt", say("550 5.1.1 Nobody"), match=ANN), on("rcpt", drop(), match=BOB))
    async with (
        ScriptedUpstream(*rules) as first,
        ScriptedUpstream() as second,
        upstream_of(server("first", first.url), server("second", second.url, priority=20)) as upstream,
    ):
        outcomes = await upstream.send(to(ANN, BOB, CAT))
    assert statuses(outcomes) == [Status.BOUNCED, Status.ACCEPTED, Status.ACCEPTED]
    assert [port(outcome) for outcome in outcomes] == [first.port, second.port, second.port]
    assert [mail.addresses for mail in second.received] == [(BOB, CAT)]


async def test_where_all_must_agree_the_next_server_is_asked_for_all() -> None:
    rules = (on("rcpt", say("550 5.1.1 Nobody"), match=ANN), on("rcpt", drop(), match=BOB))
    async with (
        ScriptedUpstream(*rules) as first,
        ScriptedUpstream() as second,
        upstream_of(server("first", first.url), server("second", second.url, priority=20)) as upstream,
    ):
        # Refused by the first server, not yet by all: `first` is pipelined, so BOB is still asked for.
        outcomes = await upstream.send(to(ANN, BOB, unanimous=True))
    assert statuses(outcomes) == [Status.ACCEPTED] * 2
    assert [mail.addresses for mail in second.received] == [(ANN, BOB)]


async def test_only_when_all_fail_is_the_mail_put_off(closed: str) -> None:
    async with (
        ScriptedUpstream(on("connect", say("554 5.7.1 Not you"))) as second,
        upstream_of(server("first", closed), server("second", second.url, priority=20)) as upstream,
    ):
        (outcome,) = await upstream.send(to(ANN))
    assert (outcome.status, outcome.reply.code, outcome.maybe_sent) == (Status.DEFERRED, 451, False)
    assert "554 5.7.1 Not you" in outcome.reply.text
    assert outcome.host == ""
    assert outcome.tried == f"127.0.0.1:{closed.rpartition(':')[2]}, 127.0.0.1:{second.port}"


async def test_who_was_put_off_is_told_by_whom() -> None:
    async with (
        ScriptedUpstream(on("mail", drop("421 4.3.2 Going down"))) as first,
        ScriptedUpstream(on("rcpt", drop("421 4.3.9 Me too"))) as second,
        upstream_of(server("first", first.url), server("second", second.url, priority=20)) as upstream,
    ):
        (outcome,) = await upstream.send(to(ANN))
    assert (outcome.status, outcome.reply.text, port(outcome)) == (Status.DEFERRED, "Me too", second.port)


async def test_servers_of_one_priority_share_the_mail_by_their_weights() -> None:
    async with (
        ScriptedUpstream() as large,
        ScriptedUpstream() as small,
        ScriptedUpstream() as backup,
        upstream_of(
            server("large", large.url, weight=4),
            server("small", small.url),
            server("backup", backup.url, priority=20, weight=1000),
            chance=random.Random(7),
        ) as upstream,
    ):
        for number in range(60):
            await upstream.send(to(f"r{number}@example.net"))
    assert len(large.received) + len(small.received) == 60
    assert len(large.received) > 2 * len(small.received) > 0
    assert backup.connections == 0


# Routes.


TO_CORP = Route(to=("corp",), recipients=Addresses(["corp.example"]))


async def test_recipients_of_several_routes_get_a_transaction_each() -> None:
    content = (b"Subject: x\r\n\r\n", b"text\r\n")
    async with (
        ScriptedUpstream(on("rcpt", say("550 5.1.1 Nobody"), match=BOB)) as main,
        ScriptedUpstream() as corp,
        upstream_of(
            server("main", main.url), server("corp", corp.url), routes=(TO_CORP,), default=("main",)
        ) as upstream,
    ):
        outcomes = await upstream.send(to(ANN, CAT, BOB, content=content, envid="x"))
    assert statuses(outcomes) == [Status.ACCEPTED, Status.ACCEPTED, Status.BOUNCED]
    assert [port(outcome) for outcome in outcomes] == [main.port, corp.port, main.port]
    assert [mail.addresses for mail in main.received] == [(ANN,)]
    assert [mail.addresses for mail in corp.received] == [(CAT,)]
    assert {mail.data for mail in (*main.received, *corp.received)} == {b"".join(content)}
    assert all("ENVID=x" in mail.sender for mail in (*main.received, *corp.received))


async def test_a_way_that_fails_keeps_the_other_way_from_nothing(closed: str) -> None:
    async with (
        ScriptedUpstream() as main,
        upstream_of(
            server("main", main.url), server("corp", closed), routes=(TO_CORP,), default=("main",)
        ) as upstream,
    ):
        outcomes = await upstream.send(to(ANN, CAT))
    assert statuses(outcomes) == [Status.ACCEPTED, Status.DEFERRED]


async def test_all_or_nothing_over_several_ways_is_nothing() -> None:
    async with (
        ScriptedUpstream() as main,
        ScriptedUpstream() as corp,
        upstream_of(
            server("main", main.url), server("corp", corp.url), routes=(TO_CORP,), default=("main",)
        ) as upstream,
    ):
        outcomes = await upstream.send(to(ANN, CAT, unanimous=True))
        assert [(one.status, one.reply.code, one.maybe_sent) for one in outcomes] == [
            (Status.DEFERRED, 451, False)
        ] * 2
        assert main.connections == corp.connections == 0
        assert statuses(await upstream.send(to(CAT, unanimous=True))) == [Status.ACCEPTED]
    assert [mail.addresses for mail in corp.received] == [(CAT,)]


async def test_routes_to_the_same_servers_share_a_transaction_and_all_may_agree_on_it() -> None:
    routes = (TO_CORP, Route(to=("corp",), recipients=Addresses(["example.net"])))
    async with (
        ScriptedUpstream() as main,
        ScriptedUpstream() as corp,
        upstream_of(
            server("main", main.url), server("corp", corp.url), routes=routes, default=("main",)
        ) as upstream,
    ):
        outcomes = await upstream.send(to(ANN, CAT, unanimous=True))
    assert statuses(outcomes) == [Status.ACCEPTED] * 2
    assert [mail.addresses for mail in corp.received] == [(ANN, CAT)]


async def test_what_a_route_sends_elsewhere_is_captured(tmp_path: Path) -> None:
    folder = tmp_path
    async with (
        ScriptedUpstream() as corp,
        upstream_of(
            server("default", f"capture:{folder}"),
            server("corp", corp.url),
            routes=(TO_CORP,),
            default=("default",),
        ) as upstream,
    ):
        assert statuses(await upstream.send(to(ANN, CAT))) == [Status.ACCEPTED] * 2
        assert [state.host for state in upstream.states()] == [f"capture:{folder}", f"127.0.0.1:{corp.port}"]
    assert [recipient for recipient, _ in captured(folder)] == [ANN]
    assert [mail.addresses for mail in corp.received] == [(CAT,)]


# Another configuration.


async def test_a_new_configuration_holds_for_what_is_sent_from_then_on() -> None:
    async with ScriptedUpstream(on("dot", say("250 Ok"))) as old, ScriptedUpstream() as new:
        async with upstream_of(server("default", old.url)) as upstream:
            await upstream.send(to(ANN))
            upstream.reconfigure(routing(server("default", new.url)))
            await old.all_gone()  # its idle connection is let go
            assert statuses(await upstream.send(to(BOB))) == [Status.ACCEPTED]
        assert old.verbs[-1] == "QUIT"
    assert [mail.addresses for mail in new.received] == [(BOB,)]


async def test_what_runs_when_the_configuration_changes_comes_to_its_end() -> None:
    async with (
        ScriptedUpstream(on("dot", slow(0.2))) as old,
        ScriptedUpstream() as new,
        upstream_of(server("default", old.url, max_connections=1)) as upstream,
    ):
        running = [asyncio.create_task(upstream.send(to(address))) for address in (ANN, BOB)]
        await old.said(".")
        upstream.reconfigure(routing(server("default", new.url)))
        assert [statuses(outcomes) for outcomes in await asyncio.gather(*running)] == [[Status.ACCEPTED]] * 2
        await old.all_gone()
    assert [mail.addresses for mail in old.received] == [(ANN,), (BOB,)]
    assert new.connections == 0


async def test_a_server_that_stays_as_it_was_keeps_its_connections() -> None:
    async with ScriptedUpstream() as stays, ScriptedUpstream() as comes:
        kept = server("default", stays.url)
        async with upstream_of(kept) as upstream:
            await upstream.send(to(ANN))
            upstream.reconfigure(
                routing(kept, server("corp", comes.url), routes=(TO_CORP,), default=("default",))
            )
            await upstream.send(to(BOB, CAT))
    assert stays.connections == 1
    assert [mail.addresses for mail in comes.received] == [(CAT,)]


async def test_a_configuration_whose_certificates_cannot_be_read_changes_nothing() -> None:
    async with ScriptedUpstream() as here, upstream_of(server("default", here.url)) as upstream:
        await upstream.send(to(ANN))
        with pytest.raises(ValueError, match="cannot read a certificate"):
            upstream.reconfigure(routing(server("default", "smtps://mail.example", ca_file="/no/such.pem")))
        assert statuses(await upstream.send(to(ANN))) == [Status.ACCEPTED]


async def test_closing_breaks_off_what_still_runs_with_a_server_that_is_gone() -> None:
    async with (
        ScriptedUpstream(on("dot", hang())) as old,
        ScriptedUpstream() as new,
        upstream_of(server("default", old.url)) as upstream,
    ):
        running = asyncio.create_task(upstream.send(to(ANN)))
        await old.said(".")
        upstream.reconfigure(routing(server("default", new.url)))
        await upstream.close(grace=0.05)
        (outcome,) = await running
    assert (outcome.status, outcome.maybe_sent) == (Status.DEFERRED, True)


async def test_a_configuration_that_comes_while_the_ways_are_parted_is_for_the_next() -> None:
    async with (
        ScriptedUpstream() as main,
        ScriptedUpstream() as corp,
        upstream_of(
            server("main", main.url), server("corp", corp.url), routes=(TO_CORP,), default=("main",)
        ) as upstream,
    ):
        sending = asyncio.create_task(upstream.send(to(ANN, CAT)))
        await asyncio.sleep(0)
        upstream.reconfigure(routing(server("other", "smtp://127.0.0.1:9")))
        outcomes = await sending
    assert statuses(outcomes) == [Status.ACCEPTED] * 2
    assert (len(main.received), len(corp.received)) == (1, 1)
