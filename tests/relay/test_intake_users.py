"""What a user may do: at what rate, in whose name, under which tags; and what the log says of refusals."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from argon2 import PasswordHasher
from structlog.testing import capture_logs
from support.smtp import LOOPBACK, Inbox, Server, Talker, serving, settings

from relay.users import User, Users
from tracker.rates import parse_rate

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
PLAIN = "AUTH PLAIN " + base64.b64encode(b"\0shop\0secret").decode()


def users(**rights: Any) -> Users:
    return Users({"shop": User(name="shop", password_hash=HASH, **rights)})


@asynccontextmanager
async def logged_in(inbox: Inbox, given: Users, **changes: Any) -> AsyncIterator[tuple[Server, Talker]]:
    options: dict[str, Any] = {"plaintext_auth_networks": LOOPBACK, "allowed_networks": ()} | changes
    async with serving(inbox, users=given, **options) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask(PLAIN)).startswith("235 ")
        yield server, client


async def one_message(client: Talker, *recipients: str) -> str:
    await client.envelope(*recipients)
    return await client.data(b"Subject: x\r\n\r\n.\r\n")


# --- tags ---


async def test_a_users_tags_come_with_every_message_of_theirs() -> None:
    inbox = Inbox()
    async with logged_in(inbox, users(tags=("shop", "eu"))) as (_, client):
        await one_message(client)
    assert (inbox.only.client.user, inbox.only.client.tags) == ("shop", ("shop", "eu"))


# --- senders ---


@pytest.mark.parametrize(
    ("allowed", "sender", "may"),
    [
        ((), "anybody@x.example", True),
        (("@shop.example",), "news@shop.example", True),
        (("@shop.example",), "NEWS@Shop.Example", True),
        (("@shop.example",), "news@eu.shop.example", False),
        (("@shop.example",), "news@myshop.example", False),
        (("@*.shop.example",), "news@eu.shop.example", True),
        (("@*.shop.example",), "news@shop.example", False),
        (("@*.shop.example",), "news@evilshop.example", False),
        (("news@shop.example",), "News@shop.example", True),
        (("news@shop.example",), "news2@shop.example", False),
        (("a@x.example", "@y.example"), "b@y.example", True),
        (("@shop.example",), '"odd@shop.example"@x.example', False),
        (("@shop.example",), "", True),
    ],
)
def test_who_a_user_may_be(allowed: tuple[str, ...], sender: str, may: bool) -> None:
    assert User(name="shop", password_hash="", senders=allowed).may_send_as(sender) is may


async def test_a_sender_that_is_not_theirs_is_refused_at_mail_and_the_session_goes_on() -> None:
    inbox = Inbox()
    async with logged_in(inbox, users(senders=("@shop.example",))) as (_, client):
        assert (await client.ask("MAIL FROM:<a@other.example>")).startswith("550 5.7.1 You may not send")
        assert (await client.ask("RCPT TO:<to@example.org>")).startswith("503 ")
        assert (await client.ask("MAIL FROM:<a@shop.example>")).startswith("250 ")
    assert not inbox.submissions


# --- rates ---


async def test_beyond_their_rate_messages_are_put_off_at_mail() -> None:
    inbox = Inbox()
    async with logged_in(inbox, users(rate=parse_rate("2/h"))) as (_, client):
        assert (await one_message(client)).startswith("250 ")
        assert (await one_message(client)).startswith("250 ")
        with capture_logs() as log:
            answer = await client.ask("MAIL FROM:<a@x.example>")
        assert answer == "450 4.7.1 Limit of 2 messages in 3600 s reached, try again later"
    (exceeded,) = [line for line in log if line["event"] == "rate-exceeded"]
    assert exceeded["rate"] == "2/h"
    assert len(inbox.submissions) == 2


async def test_a_rate_of_recipients_ends_within_a_message_and_those_before_stay() -> None:
    inbox = Inbox()
    async with logged_in(inbox, users(rate=parse_rate("3 recipients/h"))) as (_, client):
        await client.envelope("a@x.example", "a@x.example", "b@x.example")
        assert (await client.ask("RCPT TO:<broken>")).startswith("501 ")
        assert (await client.ask("RCPT TO:<c@x.example>")).startswith("250 ")
        assert (await client.ask("RCPT TO:<d@x.example>")).startswith("450 4.7.1 Limit of 3 recipients")
        assert (await client.data(b".\r\n")).startswith("250 ")
        assert (await client.ask("MAIL FROM:<a@x.example>")).startswith("450 4.7.1")
    assert [one.address for one in inbox.only.recipients] == ["a@x.example", "b@x.example", "c@x.example"]


async def test_a_client_without_a_login_has_the_networks_rate_and_users_have_their_own() -> None:
    inbox = Inbox()
    changes: dict[str, Any] = {"client_rate": parse_rate("1/h"), "allowed_networks": LOOPBACK}
    async with logged_in(inbox, users(), **changes) as (server, client), server.talk() as stranger:
        await stranger.hello()
        assert (await one_message(stranger)).startswith("250 ")
        assert (await stranger.ask("MAIL FROM:<a@x.example>")).startswith("450 4.7.1")
        for _ in range(3):
            assert (await one_message(client)).startswith("250 ")


async def test_what_was_used_stays_used_over_a_new_connection_and_a_new_configuration() -> None:
    async with logged_in(Inbox(), users(rate=parse_rate("1/h"))) as (server, client):
        assert (await one_message(client)).startswith("250 ")
        server.intake.reconfigure(
            settings(plaintext_auth_networks=LOOPBACK), None, users=users(rate=parse_rate("1/d"))
        )
        async with server.talk() as again:
            await again.hello()
            assert (await again.ask(PLAIN)).startswith("235 ")
            assert (await again.ask("MAIL FROM:<a@x.example>")).startswith("450 4.7.1")


# --- a new configuration ---


async def test_who_was_logged_in_and_is_known_no_more_sends_nothing_more() -> None:
    inbox = Inbox()
    async with logged_in(inbox, users()) as (server, client):
        await client.envelope()
        server.intake.reconfigure(settings(), None, users=None)
        assert (await client.data(b".\r\n")).startswith("250 ")  # begun by the old rules
        assert (await client.ask("MAIL FROM:<a@x.example>")).startswith("530 5.7.0")
    assert inbox.only.client.user == "shop"  # so that nobody is tracked on behalf of nobody


async def test_a_new_rule_holds_at_once_for_who_is_logged_in() -> None:
    async with logged_in(Inbox(), users()) as (server, client):
        server.intake.reconfigure(settings(), None, users=users(senders=("@shop.example",)))
        assert (await client.ask("MAIL FROM:<a@x.example>")).startswith("550 5.7.1")


# --- what the log says ---


async def test_refusals_are_logged_once_of_a_kind_and_name_nobody() -> None:
    with capture_logs() as log:
        async with serving(Inbox()) as server, server.talk() as client:
            await client.hello()
            assert (await client.ask("MAIL FROM:<jane@person.example>")).startswith("250 ")
            for number in range(5):
                await client.ask(f"RCPT TO:<jane{number}@person.example")
            await client.ask("JANE@person.example")
            await client.ask("QUIT")
            assert await client.closed()
    shown = [line for line in log if line["log_level"] != "debug"]
    refused = [line for line in shown if line["event"] == "command-refused"]
    assert [(line["command"], line["reply"]) for line in refused] == [
        ("RCPT", "501 5.1.3"),
        ("unknown", "500 5.5.1"),
    ]
    (counted,) = [line for line in shown if line["event"] == "commands-refused"]
    assert (counted["command"], counted["count"]) == ("RCPT", 5)
    text = repr(shown)
    assert "person.example" not in text
    assert "JANE" not in text
    assert len({line["client"] for line in refused}) == 1


async def test_a_failed_login_is_logged_without_name_and_address() -> None:
    wrong = "AUTH PLAIN " + base64.b64encode(b"\0jane@person.example\0guess").decode()
    with capture_logs() as log:
        options: dict[str, Any] = {"plaintext_auth_networks": LOOPBACK}
        async with serving(Inbox(), users=users(), **options) as server:
            for _ in range(2):
                async with server.talk() as client:
                    await client.hello()
                    assert (await client.ask(wrong)).startswith("535 ")
    shown = [line for line in log if line["log_level"] != "debug"]
    failed = [line for line in shown if line["event"] == "login-failed"]
    assert len(failed) == 2
    assert failed[0]["client"] == failed[1]["client"]
    assert "jane" not in repr(shown)
    assert not [line for line in shown if line["event"] != "listening" and "127.0.0.1" in repr(line)]


def test_a_user_is_found_by_the_exact_name() -> None:
    known = Users({"joe": User(name="joe", password_hash="x", track="anonymous")})
    found = known.get("joe")
    assert found is not None
    assert found.track == "anonymous"
    assert known.get("Joe") is None
