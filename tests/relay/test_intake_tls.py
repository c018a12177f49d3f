"""STARTTLS, implicit TLS and AUTH: what is offered when, and what TLS makes forgotten."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import struct
from base64 import b64encode
from ipaddress import ip_network

import pytest
from support.certificates import client_context, server_context
from support.sites import until
from support.smtp import LOOPBACK, Anybody, Inbox, Server, Talker, serving, settings


async def joe(name: str, password: str) -> bool:
    return (name, password) == ("joe", "secret")


def b64(*parts: str) -> str:
    return b64encode("\0".join(parts).encode()).decode()


PLAIN = f"AUTH PLAIN {b64('', 'joe', 'secret')}"
WRONG = f"AUTH PLAIN {b64('', 'joe', 'guess')}"


async def under_tls(client: Talker) -> str:
    await client.hello()
    await client.start_tls(client_context())
    return await client.ask("EHLO client.test")


# --- TLS ---


async def test_starttls_is_offered_once_and_the_client_is_known_to_use_it() -> None:
    inbox = Inbox()
    async with serving(inbox, tls=server_context()) as server, server.talk() as client:
        assert "250 STARTTLS" in await client.hello()
        await client.start_tls(client_context())
        assert "STARTTLS" not in await client.ask("EHLO client.test")
        assert (await client.ask("STARTTLS")).startswith("503 5.5.1")
        await client.envelope()
        assert (await client.data(b"x\r\n.\r\n")).startswith("250 ")
        assert await client.ask("QUIT") == "221 2.0.0 Bye"
    assert inbox.only.client.tls == "TLSv1.3"
    assert inbox.only.data == b"x\r\n"


async def test_starttls_resets_the_session() -> None:
    async with serving(Inbox(), tls=server_context()) as server, server.talk() as client:
        await client.hello()
        await client.envelope()
        await client.start_tls(client_context())
        assert (await client.ask("DATA")).startswith("503 ")
        assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("503 5.5.1 Send EHLO")


async def test_commands_sent_in_clear_behind_starttls_are_forgotten() -> None:
    inbox = Inbox()
    async with serving(inbox, tls=server_context()) as server, server.talk() as client:
        await client.hello()
        await client.send(b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@example.org>\r\n")
        assert (await client.reply()).startswith("220 ")
        await client.writer.start_tls(client_context(), server_hostname="localhost")
        assert (await client.ask("NOOP")).startswith("250 2.0.0")
        assert (await client.ask("RCPT TO:<b@example.org>")).startswith("503 ")
        assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("503 5.5.1 Send EHLO")


async def test_a_broken_handshake_ends_only_that_session() -> None:
    async with serving(Inbox(), tls=server_context()) as server:
        async with server.talk() as client:
            await client.hello()
            assert (await client.ask("STARTTLS")).startswith("220 ")
            await client.send(b"this is no ClientHello\r\n" * 10)
            await client.closed()
        async with server.talk() as client:
            await under_tls(client)


async def test_a_client_that_leaves_during_the_handshake_is_forgotten() -> None:
    async with serving(Inbox(), tls=server_context(), max_connections=1) as server:
        async with server.talk() as client:
            await client.hello()
            assert (await client.ask("STARTTLS")).startswith("220 ")
        await until_admitted(server)


async def until_admitted(server: Server) -> None:
    """Connects until there is room again; a leaked connection would make this go on for ever."""
    while True:
        async with server.talk() as client:
            if (await client.reply()).startswith("220 "):
                return


async def test_implicit_tls_speaks_tls_from_the_first_octet() -> None:
    inbox = Inbox()
    async with (
        serving(inbox, tls=server_context(), implicit_tls=True, authenticate=joe) as server,
        server.talk(ssl=client_context(), server_hostname="localhost") as client,
    ):
        offered = await client.hello()
        assert "STARTTLS" not in offered
        assert "250 AUTH PLAIN LOGIN" in offered
        await client.envelope()
        assert (await client.data(b"x\r\n.\r\n")).startswith("250 ")
    assert inbox.only.client.tls == "TLSv1.3"


async def test_clear_text_on_the_implicit_tls_port_is_dropped() -> None:
    async with serving(Inbox(), tls=server_context(), implicit_tls=True) as server:
        async with server.talk() as client:
            await client.send(b"EHLO client.test\r\n")
            assert b"220" not in await client.reader.read()
        async with server.talk(ssl=client_context(), server_hostname="localhost") as client:
            await client.hello()


async def test_the_limit_on_connections_holds_before_the_handshake_too() -> None:
    async with (
        serving(Inbox(), tls=server_context(), implicit_tls=True, max_connections=1) as server,
        server.talk(),
        server.talk() as second,
    ):
        assert await second.closed()


async def test_a_listener_for_implicit_tls_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="certificate"):
        async with serving(Inbox(), implicit_tls=True):
            pass


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_new_certificate_holds_for_new_sessions(implicit: bool) -> None:
    def name(client: Talker) -> object:
        return client.writer.get_extra_info("peercert")["subjectAltName"][0]

    async with serving(Inbox(), tls=server_context("localhost"), implicit_tls=implicit) as server:
        for host in ("localhost", "mail.example"):
            options = {"ssl": client_context(), "server_hostname": host} if implicit else {}
            async with server.talk(**options) as client:
                await client.hello()
                if not implicit:
                    await client.ask("STARTTLS")
                    await client.writer.start_tls(client_context(), server_hostname=host)
                assert name(client) == ("DNS", host)
            server.intake.reconfigure(settings(), server_context("mail.example"), users=None)


# --- AUTH ---


def login_with(password: str, *, implicit: bool, port: int) -> None:
    if implicit:
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", port, context=client_context())
    else:
        client = smtplib.SMTP("localhost", port)
        client.starttls(context=client_context())
    with client:
        client.login("joe", password)
        client.sendmail("a@example.org", ["b@example.org"], "x")


@pytest.mark.parametrize("implicit", [False, True])
async def test_who_logs_in_may_send_from_anywhere(implicit: bool) -> None:
    inbox = Inbox()
    async with serving(
        inbox, tls=server_context(), authenticate=joe, allowed_networks=(), implicit_tls=implicit
    ) as server:
        await asyncio.to_thread(login_with, "secret", implicit=implicit, port=server.port)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            await asyncio.to_thread(login_with, "guess", implicit=implicit, port=server.port)
    assert inbox.only.client.user == "joe"


async def test_auth_in_clear_is_neither_offered_nor_taken() -> None:
    async with serving(Inbox(), tls=server_context(), authenticate=joe) as server, server.talk() as client:
        assert "AUTH" not in await client.hello()
        assert (await client.ask(PLAIN)).startswith("538 5.7.11")


async def test_auth_in_clear_can_be_allowed_by_network() -> None:
    near = {"plaintext_auth_networks": LOOPBACK}
    far = {"plaintext_auth_networks": (ip_network("192.0.2.0/24"),)}
    for networks, expected in ((near, "235 2.7.0"), (far, "538 5.7.11")):
        async with serving(Inbox(), authenticate=joe, **networks) as server, server.talk() as client:
            assert ("AUTH PLAIN LOGIN" in await client.hello()) == (networks is near)
            assert (await client.ask(PLAIN)).startswith(expected)


async def test_a_client_that_must_log_in_is_told_the_next_step() -> None:
    options = {"authenticate": joe, "allowed_networks": ()}
    async with serving(Inbox(), tls=server_context(), **options) as server, server.talk() as client:
        await client.hello()
        assert (
            await client.ask("MAIL FROM:<a@example.org>")
        ) == "530 5.7.0 Must issue a STARTTLS command first"
        await client.start_tls(client_context())
        await client.ask("EHLO client.test")
        assert (await client.ask("MAIL FROM:<a@example.org>")) == "530 5.7.0 Authentication required"
    async with serving(Inbox(), **options) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("550 5.7.1")


# The lines of one AUTH dialogue each, and the replies they must get.
AUTH_DIALOGUES: dict[str, list[tuple[str, str]]] = {
    "PLAIN at once": [(PLAIN, "235 2.7.0")],
    "PLAIN in any case": [(PLAIN.replace("PLAIN", "Plain"), "235 2.7.0")],
    "PLAIN asked for": [("AUTH PLAIN", "334 "), (PLAIN.split()[-1], "235 2.7.0")],
    "PLAIN for oneself by name": [(f"AUTH PLAIN {b64('joe', 'joe', 'secret')}", "235 2.7.0")],
    "PLAIN for somebody else": [(f"AUTH PLAIN {b64('ann', 'joe', 'secret')}", "535 5.7.8")],
    "LOGIN": [
        ("AUTH LOGIN", f"334 {b64('Username:')}"),
        (b64("joe"), f"334 {b64('Password:')}"),
        (b64("secret"), "235 2.7.0"),
    ],
    "LOGIN with the name at once": [(f"AUTH LOGIN {b64('joe')}", "334 "), (b64("secret"), "235 2.7.0")],
    "a wrong password, then the right one": [(WRONG, "535 5.7.8"), (PLAIN, "235 2.7.0")],
    "twice": [(PLAIN, "235 2.7.0"), (PLAIN, "503 5.5.1")],
    "in the middle of a transaction": [("MAIL FROM:<>", "250"), (PLAIN, "503 5.5.1")],
    "cancelled": [("AUTH PLAIN", "334 "), ("*", "501 5.7.0"), ("NOOP", "250")],
    "LOGIN cancelled at the password": [("AUTH LOGIN", "334 "), (b64("joe"), "334 "), ("*", "501 5.7.0")],
    "an empty response": [("AUTH PLAIN =", "501 5.5.2"), ("NOOP", "250")],
    "no base64": [("AUTH PLAIN !!", "501 5.5.2"), ("AUTH LOGIN", "334 "), ("joe!", "501 5.5.2")],
    "too few parts": [(f"AUTH PLAIN {b64('joe')}", "501 5.5.2")],
    "no UTF-8": [("AUTH PLAIN AP8A/w==", "501 5.5.2")],
    "an unknown mechanism": [("AUTH CRAM-MD5", "504 5.5.4"), ("AUTH XOAUTH2 eA==", "504 5.5.4")],
    "no mechanism": [("AUTH", "501 5.5.4"), ("AUTH ", "501 5.5.4"), (PLAIN, "235 2.7.0")],
    "a line without end": [("AUTH PLAIN", "334 "), ("A" * 13_000, "500 5.5.6"), ("NOOP", "250")],
}


@pytest.mark.parametrize("name", AUTH_DIALOGUES)
async def test_auth_dialogue(name: str) -> None:
    options = {"authenticate": joe, "plaintext_auth_networks": LOOPBACK}
    async with serving(Inbox(), **options) as server, server.talk() as client:
        await client.hello()
        for line, expected in AUTH_DIALOGUES[name]:
            reply = await client.ask(line)
            assert reply.startswith(expected), f"{line!r} → {reply!r}, expected {expected!r}"


async def test_auth_needs_ehlo() -> None:
    options = {"authenticate": joe, "plaintext_auth_networks": LOOPBACK}
    async with serving(Inbox(), **options) as server, server.talk() as client:
        await client.reply()
        assert (await client.ask(PLAIN)).startswith("503 5.5.1")


async def test_the_third_failed_login_ends_the_connection() -> None:
    options = {"authenticate": joe, "plaintext_auth_networks": LOOPBACK}
    async with serving(Inbox(), **options) as server, server.talk() as client:
        await client.hello()
        assert (await client.ask(WRONG)).startswith("535 ")
        assert (await client.ask(WRONG)).startswith("535 ")
        assert (await client.ask(WRONG)).startswith("421 4.7.0")
        assert await client.closed()


async def test_who_guesses_waits_longer_on_every_connection() -> None:
    options = {"authenticate": joe, "plaintext_auth_networks": LOOPBACK, "failed_login_delay": 3600.0}
    async with serving(Inbox(), **options) as server:
        async with server.talk() as client:
            await client.hello()
            assert (await client.ask(PLAIN)).startswith("235 ")
        async with server.talk() as client:
            await client.hello()
            assert (await client.ask(WRONG)).startswith("535 ")
        async with server.talk() as client:
            await client.hello()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.ask(PLAIN), timeout=0.1)


# What a client says and then leaves, without having heard what came of it.
LEAVING = {
    "in the middle of the exchange": ["AUTH LOGIN"],
    "while its password is looked at": [WRONG],
    "while the right one is": [PLAIN],
}


@pytest.mark.parametrize("name", LEAVING)
async def test_who_leaves_before_the_answer_has_failed(name: str) -> None:
    async def slow(user: str, password: str) -> bool:
        looked_at.set()
        await asyncio.Event().wait()
        return True

    looked_at = asyncio.Event()
    options = {"plaintext_auth_networks": LOOPBACK, "failed_login_delay": 3600.0}
    async with serving(Inbox(), authenticate=slow, **options) as server:
        async with server.talk() as client:
            await client.hello()
            for line in LEAVING[name]:
                await client.send(line.encode() + b"\r\n")
            if name.startswith("in the"):
                assert (await client.reply()).startswith("334 ")
            else:
                await looked_at.wait()
            at_once = struct.pack("ii", 1, 0)  # with a reset, not with a polite end
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            client.writer.transport.abort()
        await until(lambda: not server.intake.sessions, "it has gone")
        await asyncio.sleep(0)  # what it had begun hears of that a turn later
        failures = server.intake._services.failures
        assert failures.count("127.0.0.1", now=asyncio.get_running_loop().time()) == 1


async def test_every_exchange_that_comes_to_no_login_counts_and_none_that_never_began() -> None:
    options = {"authenticate": joe, "plaintext_auth_networks": LOOPBACK, "max_failed_logins": 3}
    async with serving(Inbox(), **options) as server, server.talk() as client:
        await client.hello()
        for line in ("AUTH", "AUTH CRAM-MD5", "AUTH GSSAPI eA=="):
            assert (await client.ask(line))[:3] in ("501", "504")
        assert (await client.ask("AUTH PLAIN")).startswith("334 ")
        assert (await client.ask("*")).startswith("501 5.7.0")
        assert (await client.ask("AUTH PLAIN !!")).startswith("501 5.5.2")
        assert (await client.ask(f"AUTH PLAIN {b64('ann', 'joe', 'secret')}")).startswith("421 4.7.0")
        assert await client.closed()


async def test_who_logs_in_after_all_waits_no_longer() -> None:
    options = {"plaintext_auth_networks": LOOPBACK}
    async with serving(Inbox(), authenticate=joe, **options) as server:
        async with server.talk() as client:
            await client.hello()
            assert (await client.ask(WRONG)).startswith("535 ")
            assert (await client.ask(PLAIN)).startswith("235 ")
        server.intake.reconfigure(settings(failed_login_delay=3600.0, **options), None, users=Anybody(joe))
        async with server.talk() as client:
            await client.hello()
            assert (await asyncio.wait_for(client.ask(PLAIN), timeout=30)).startswith("235 ")


async def test_a_user_store_in_trouble_is_no_wrong_password() -> None:
    async def broken(name: str, password: str) -> bool:
        raise OSError(f"no table for {name}")

    options = {"authenticate": broken, "plaintext_auth_networks": LOOPBACK}
    async with serving(Inbox(), **options) as server, server.talk() as client:
        await client.hello()
        for _ in range(4):
            assert (await client.ask(PLAIN)) == "454 4.7.0 Temporary authentication failure"


async def test_tls_works_on_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def session(implicit: bool) -> str | None:
        inbox = Inbox()
        options = {"ssl": client_context(), "server_hostname": "localhost"} if implicit else {}
        async with (
            serving(inbox, tls=server_context(), implicit_tls=implicit) as server,
            server.talk(**options) as client,
        ):
            await client.hello() if implicit else await under_tls(client)
            await client.envelope()
            assert (await client.data(b"x" * 200_000 + b"\r\n.\r\n")).startswith("250 ")
        return inbox.only.client.tls

    for implicit in (False, True):
        assert await asyncio.to_thread(uvloop.run, session(implicit)) == "TLSv1.3"


async def test_an_old_tls_version_is_named_as_it_is() -> None:
    inbox, old = Inbox(), client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(inbox, tls=server_context()) as server, server.talk() as client:
        await client.hello()
        await client.start_tls(old)
        await client.ask("EHLO client.test")
        await client.envelope()
        await client.data(b".\r\n")
    assert inbox.only.client.tls == "TLSv1.2"
