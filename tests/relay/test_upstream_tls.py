"""TLS and logging in: what is demanded is had or nothing is sent, and a failure never costs anyone mail."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.certificates import Authority
from support.transactions import client_of, to
from support.upstream import Rule, ScriptedUpstream, adding, drop, endless, garbage, hang, on, say

from relay.outcome import Outcome, Status
from relay.upstream import SmtpUpstream, Tls, parse_url
from relay.upstream.connection import tls_context

USERS = {"ann@example.org": "s3cret/:@%"}
LOGIN = "ann%40example.org:s3cret%2F%3A%40%25@"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def starttls(server: ScriptedUpstream, login: str = "") -> str:
    return f"smtp+starttls://{login}127.0.0.1:{server.port}"


def implicit(server: ScriptedUpstream, login: str = "") -> str:
    return f"smtps://{login}127.0.0.1:{server.port}"


def opportunistic(server: ScriptedUpstream, login: str = "") -> str:
    return f"smtp://{login}127.0.0.1:{server.port}"


ENCRYPTED = pytest.mark.parametrize("scheme", [starttls, implicit])


async def send(url: str, **settings: Any) -> tuple[Outcome, list[str]]:
    """The outcome, and the events of the log that are errors."""
    with capture_logs() as logged:
        async with client_of(url, **settings) as client:
            (outcome,) = await client.send(to("ann@example.net"))
    return outcome, [line["event"] for line in logged if line["log_level"] == "error"]


@ENCRYPTED
async def test_mail_goes_encrypted_to_an_upstream_that_proves_who_it_is(
    authority: Authority, scheme: Callable[..., str]
) -> None:
    async with ScriptedUpstream(tls=authority.server(), implicit_tls=scheme is implicit) as server:
        outcome, errors = await send(scheme(server), ca_file=str(authority.path))
    assert outcome.status is Status.ACCEPTED
    assert outcome.tls == server.received[0].tls == "TLSv1.3"
    assert errors == []


@ENCRYPTED
@pytest.mark.parametrize("name", ["unknown authority", "another.example"])
async def test_a_certificate_that_proves_nothing_stops_the_mail_loudly(
    authority: Authority, tmp_path: Path, scheme: Callable[..., str], name: str
) -> None:
    trusted = {"another.example": str(authority.path)}
    certificate = authority.server(*([name] if name in trusted else []))
    async with ScriptedUpstream(tls=certificate, implicit_tls=scheme is implicit) as server:
        outcome, errors = await send(scheme(server), ca_file=trusted.get(name))
        assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.7.5")
        assert errors == ["upstream-not-verified"]
        outcome, errors = await send(scheme(server), tls=Tls.REQUIRE)
        assert (outcome.status, outcome.tls, errors) == (Status.ACCEPTED, "TLSv1.3", [])
    assert len(server.received) == 1


async def test_mail_waits_for_starttls_where_it_is_demanded() -> None:
    async with ScriptedUpstream(users=USERS) as server:
        outcome, errors = await send(starttls(server, LOGIN))
    assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.7.4")
    assert errors == ["upstream-without-tls"]
    assert server.verbs == ["EHLO"]


@pytest.mark.parametrize(
    "rule",
    [
        on("starttls", act)
        for act in (say("454 4.7.0 Not now"), say("502 What?"), drop(), garbage(), endless(), hang())
    ],
)
async def test_starttls_that_fails_is_no_bounce_and_nothing_goes_in_clear(
    authority: Authority, rule: Rule
) -> None:
    patience = 0.4 if rule.act.kind == "hang" else 30.0
    async with ScriptedUpstream(rule, tls=authority.server(), users=USERS) as server:
        outcome, _ = await send(
            starttls(server, LOGIN), ca_file=str(authority.path), command_timeout=patience
        )
    assert outcome.status is Status.DEFERRED
    assert outcome.reply.is_temporary
    assert set(server.verbs) <= {"EHLO", "STARTTLS"}


@ENCRYPTED
async def test_an_upstream_that_speaks_no_tls_is_loud_and_no_bounce(scheme: Callable[..., str]) -> None:
    rules = on("starttls", say("220 2.0.0 Go"))
    async with ScriptedUpstream(rules, extensions=("STARTTLS",)) as server:
        outcome, errors = await send(scheme(server))
    assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.7.5")
    assert errors == ["upstream-tls-failed"]


async def test_words_slipped_in_before_the_handshake_are_not_believed(authority: Authority) -> None:
    rules = on("starttls", adding("250-upstream.test\r\n250-DSN\r\n250 AUTH PLAIN"))
    async with (
        ScriptedUpstream(rules, tls=authority.server(), extensions=("SIZE",)) as server,
        client_of(starttls(server), ca_file=str(authority.path)) as client,
    ):
        (outcome,) = await client.send(to("ann@example.net", ret="FULL"))
    assert (outcome.status, outcome.dsn, outcome.tls) == (Status.ACCEPTED, False, "TLSv1.3")
    assert "RET" not in server.received[0].sender


async def test_opportunistic_tls_is_used_where_it_is_offered_whoever_signed_for_it(
    authority: Authority,
) -> None:
    async with ScriptedUpstream(tls=authority.server("another.example")) as server:
        outcome, errors = await send(opportunistic(server))
    assert (outcome.status, outcome.tls, errors) == (Status.ACCEPTED, "TLSv1.3", [])


@pytest.mark.parametrize(
    "rule",
    [on("starttls", act) for act in (say("454 4.7.0 Not now"), say("220 2.0.0 Go"))],
    ids=["refused", "no handshake"],
)
async def test_opportunistic_tls_that_fails_does_not_hold_the_mail(authority: Authority, rule: Rule) -> None:
    async with ScriptedUpstream(rule, tls=authority.server()) as server:
        outcome, errors = await send(opportunistic(server))
    assert (outcome.status, outcome.tls, errors) == (Status.ACCEPTED, None, [])


async def test_opportunistic_tls_that_fails_holds_a_password_back(authority: Authority) -> None:
    rules = on("starttls", say("220 2.0.0 Go"))
    async with ScriptedUpstream(rules, tls=authority.server(), users=USERS) as server:
        outcome, _ = await send(opportunistic(server, LOGIN))
    assert outcome.status is Status.DEFERRED
    assert "AUTH" not in server.verbs


@ENCRYPTED
async def test_we_log_in_over_tls(authority: Authority, scheme: Callable[..., str]) -> None:
    async with ScriptedUpstream(
        tls=authority.server(), implicit_tls=scheme is implicit, users=USERS
    ) as server:
        outcome, errors = await send(scheme(server, LOGIN), ca_file=str(authority.path))
    assert (outcome.status, errors) == (Status.ACCEPTED, [])
    assert server.received[0].user == "ann@example.org"
    assert server.verbs.count("AUTH") == 1


@pytest.mark.parametrize("mechanisms", ["LOGIN", "CRAM-MD5 LOGIN PLAIN", "GSSAPI LOGIN", "CRAM-MD5"])
async def test_we_log_in_with_what_is_offered(authority: Authority, mechanisms: str) -> None:
    async with ScriptedUpstream(tls=authority.server(), users=USERS, mechanisms=mechanisms) as server:
        outcome, _ = await send(starttls(server, LOGIN), ca_file=str(authority.path))
    assert outcome.status is Status.ACCEPTED
    assert server.received[0].user == "ann@example.org"


async def test_a_mechanism_that_was_only_announced_is_passed_over(authority: Authority) -> None:
    rules = on("auth", say("504 5.5.4 Not really"), match="PLAIN")
    async with ScriptedUpstream(rules, tls=authority.server(), users=USERS) as server:
        outcome, _ = await send(starttls(server, LOGIN), ca_file=str(authority.path))
    assert outcome.status is Status.ACCEPTED
    assert server.received[0].user == "ann@example.org"


async def test_a_refused_login_is_loud_tried_once_and_no_bounce(authority: Authority) -> None:
    async with ScriptedUpstream(tls=authority.server(), users=USERS) as server:
        outcome, errors = await send(starttls(server, "ann:wrong@"), ca_file=str(authority.path))
    assert (outcome.status, outcome.reply.code) == (Status.DEFERRED, 451)
    assert "535 5.7.8" in outcome.reply.text
    assert errors == ["upstream-refused-login"]
    assert server.verbs.count("AUTH") == 1
    assert "MAIL" not in server.verbs


async def test_an_upstream_that_wants_a_login_we_have_not_is_loud_and_no_bounce() -> None:
    async with ScriptedUpstream(users=USERS) as server:
        outcome, errors = await send(opportunistic(server))
    assert outcome.status is Status.DEFERRED
    assert "530 5.7.0" in outcome.reply.text
    assert errors == ["upstream-wants-login"]


async def test_an_upstream_without_a_login_gets_no_mail_from_a_user(authority: Authority) -> None:
    async with ScriptedUpstream(tls=authority.server()) as server:
        outcome, errors = await send(starttls(server, LOGIN), ca_file=str(authority.path))
    assert (outcome.status, errors) == (Status.DEFERRED, ["upstream-offers-no-login"])
    assert server.received == []


async def test_a_password_goes_in_clear_to_this_machine_only() -> None:
    async with ScriptedUpstream(users=USERS) as server:
        outcome, _ = await send(opportunistic(server, LOGIN))
    assert outcome.status is Status.ACCEPTED
    assert server.received[0].user == "ann@example.org"


async def test_a_password_never_goes_in_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedUpstream(users=USERS) as server:
        settings = parse_url(opportunistic(server, LOGIN))
        monkeypatch.setattr("relay.upstream.settings.is_loopback", lambda host: False)
        client = SmtpUpstream(settings)
        (outcome,) = await client.send(to("ann@example.net"))
        await client.close(grace=0)
    assert (outcome.status, outcome.reply.enhanced) == (Status.DEFERRED, "4.7.0")
    assert server.verbs == ["EHLO"]


@ENCRYPTED
async def test_a_client_certificate_is_shown(authority: Authority, scheme: Callable[..., str]) -> None:
    certificate, key = authority.client("relay.example.org")
    files = {"client_certificate": str(certificate), "client_key": str(key), "ca_file": str(authority.path)}
    context = authority.server(client_certificates=True)
    async with ScriptedUpstream(tls=context, implicit_tls=scheme is implicit) as server:
        with_it, _ = await send(scheme(server), **files)
        without, _ = await send(scheme(server), ca_file=str(authority.path))
    assert [with_it.status, without.status] == [Status.ACCEPTED, Status.DEFERRED]


async def test_kept_connections_stay_encrypted(authority: Authority) -> None:
    large = (b"Subject: x\r\n\r\n", b".a line\r\n" * 100_000)
    async with (
        ScriptedUpstream(tls=authority.server()) as server,
        client_of(starttls(server), ca_file=str(authority.path)) as client,
    ):
        for _ in range(3):
            await client.send(to("ann@example.net", content=large))
    assert [mail.tls for mail in server.received] == ["TLSv1.3"] * 3
    assert all(mail.data == b"".join(large) for mail in server.received)
    assert server.connections == 1


@ENCRYPTED
def test_uvloop_hands_a_connection_over_as_asyncio_does(
    authority: Authority, scheme: Callable[..., str]
) -> None:
    uvloop = pytest.importorskip("uvloop")
    large = (b"Subject: x\r\n\r\n", b".a line\r\n" * 40_000)

    async def scenario() -> list[Status]:
        settings = {"ca_file": str(authority.path)}
        async with (
            ScriptedUpstream(tls=authority.server(), implicit_tls=scheme is implicit) as server,
            client_of(scheme(server), **settings) as client,
        ):
            outcomes = [await client.send(to("ann@example.net", content=large)) for _ in range(2)]
            assert server.connections == 1
            await server.hang_up()
            outcomes.append(await client.send(to("ann@example.net", content=large)))
            assert [mail.data for mail in server.received] == [b"".join(large)] * 3
            return [outcome.status for (outcome,) in outcomes]

    assert uvloop.run(scenario()) == [Status.ACCEPTED] * 3


def test_a_certificate_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for wrong in (
        {"ca_file": str(broken)},
        {"ca_file": str(tmp_path / "none")},
        {"client_certificate": str(broken)},
    ):
        with pytest.raises(ValueError, match=r"cannot read a certificate for mail\.example\.org:465"):
            SmtpUpstream(replace(parse_url("smtps://mail.example.org"), **wrong))


def test_only_a_demanded_certificate_is_verified() -> None:
    modes = {
        url: tls_context(parse_url(url)).verify_mode for url in ("smtp://h", "smtps://h", "smtp+starttls://h")
    }
    assert modes == {
        "smtp://h": ssl.CERT_NONE,
        "smtps://h": ssl.CERT_REQUIRED,
        "smtp+starttls://h": ssl.CERT_REQUIRED,
    }


# The modes, each beside what the URL's scheme says by itself.


@pytest.mark.parametrize(
    ("scheme", "mode", "offered", "trusted", "encrypted"),
    [
        (opportunistic, None, True, False, True),
        (opportunistic, None, False, False, False),
        (opportunistic, Tls.NONE, True, True, False),
        (opportunistic, Tls.OPPORTUNISTIC, True, False, True),
        (opportunistic, Tls.REQUIRE, True, False, True),
        (opportunistic, Tls.REQUIRE, False, False, None),
        (opportunistic, Tls.VERIFY, True, True, True),
        (opportunistic, Tls.VERIFY, True, False, None),
        (opportunistic, Tls.VERIFY, False, True, None),
        (starttls, None, True, True, True),
        (starttls, None, True, False, None),
        (starttls, Tls.REQUIRE, True, False, True),
        (starttls, Tls.REQUIRE, False, False, None),
        (starttls, Tls.VERIFY, True, False, None),
        (implicit, None, True, True, True),
        (implicit, None, True, False, None),
        (implicit, Tls.REQUIRE, True, False, True),
        (implicit, Tls.VERIFY, True, False, None),
    ],
)
async def test_as_much_tls_is_had_as_is_asked(
    authority: Authority,
    scheme: Callable[..., str],
    mode: Tls | None,
    offered: bool,
    trusted: bool,
    encrypted: bool | None,
) -> None:
    """`encrypted` is None where nothing may be sent."""
    settings = {"ca_file": str(authority.path) if trusted else None, "tls": mode}
    if mode is None:
        del settings["tls"]
    context = authority.server() if offered else None
    async with ScriptedUpstream(tls=context, implicit_tls=scheme is implicit) as server:
        outcome, errors = await send(scheme(server), **settings)
    if encrypted is None:
        assert (outcome.status, len(errors)) == (Status.DEFERRED, 1)
        assert "MAIL" not in server.verbs
    else:
        assert (outcome.status, outcome.tls is not None, errors) == (Status.ACCEPTED, encrypted, [])
        assert (server.received[0].tls is not None) is encrypted


@pytest.mark.parametrize("mode", [Tls.REQUIRE, Tls.VERIFY])
async def test_a_stripped_starttls_is_loud_and_brings_out_no_password(
    monkeypatch: pytest.MonkeyPatch, mode: Tls
) -> None:
    monkeypatch.setattr("relay.upstream.settings.is_loopback", lambda host: False)
    async with ScriptedUpstream(users=USERS) as server:  # offers AUTH, and no STARTTLS
        url = f"smtp+starttls://{LOGIN}127.0.0.1:{server.port}"
        outcome, errors = await send(url, tls=mode)
    assert (outcome.status, errors) == (Status.DEFERRED, ["upstream-without-tls"])
    assert server.verbs == ["EHLO"]
