"""Domains whose mail ends here: anybody may write to them, and to nobody else."""

from __future__ import annotations

import pytest
from support.smtp import LOOPBACK, Inbox, serving

OURS = frozenset({"bounces.example"})


async def test_anybody_may_write_to_a_domain_of_ours_and_to_nobody_else() -> None:
    inbox = Inbox()
    async with serving(inbox, allowed_networks=(), local_domains=OURS) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask("MAIL FROM:<>")).startswith("250 ")
        assert (await client.ask("RCPT TO:<to@example.org>")).startswith("550 5.7.1")
        assert (await client.ask("RCPT TO:<postmaster>")).startswith("550 5.7.1")
        assert (await client.ask("RCPT TO:<b+x@Bounces.Example>")).startswith("250 ")
        assert (await client.data(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
    (recipient,) = inbox.only.recipients
    assert (recipient.address, recipient.local) == ("b+x@Bounces.Example", True)


async def test_without_a_local_recipient_there_is_no_message() -> None:
    async with serving(Inbox(), allowed_networks=(), local_domains=OURS) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("250 ")
        assert (await client.ask("RCPT TO:<to@sub.bounces.example>")).startswith("550 ")
        assert (await client.ask("DATA")).startswith("554 ")


async def test_who_may_send_anywhere_reaches_both_and_the_recipients_say_which_is_which() -> None:
    inbox = Inbox()
    async with (
        serving(inbox, allowed_networks=LOOPBACK, local_domains=OURS) as server,
        server.talk() as client,
    ):
        await client.hello()
        await client.envelope("b@bounces.example", "to@example.org")
        assert (await client.data(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")
    assert [one.local for one in inbox.only.recipients] == [True, False]


@pytest.mark.parametrize("argument", ["FROM:<a@example.org>", "FROM:<>"])
async def test_without_a_domain_of_ours_a_stranger_is_refused_at_mail(argument: str) -> None:
    async with serving(Inbox(), allowed_networks=()) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask(f"MAIL {argument}")).startswith("550 5.7.1")
