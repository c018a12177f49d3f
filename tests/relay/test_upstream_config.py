"""`[upstream]` as people write it, and what it comes to."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import Authority
from support.commands import call
from support.transactions import to

from relay.config import Config, doubts, load
from relay.upstream import Routing, Tls, UpstreamSettings
from tracker.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "candor.toml"


def config_of(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file)


def routing_of(file: Path, text: str) -> Routing:
    return config_of(file, text).upstream.settings("relay.example")


def only(file: Path, text: str) -> UpstreamSettings:
    (server,) = routing_of(file, text).servers
    return server.settings


TWO = """
[[upstream.server]]
name = "a"
url = "smtp+starttls://a.example"
[[upstream.server]]
name = "b"
url = "smtp://b.example"
"""


def test_one_url_is_all_it_needs(file: Path) -> None:
    routing = routing_of(file, '[upstream]\nurl = "smtp+starttls://joe:p%40ss@mx.example:587"')
    (server,) = routing.servers
    assert (server.name, routing.default, routing.routes) == ("default", ("default",), ())
    assert (server.settings.host, server.settings.user, server.settings.password) == (
        "mx.example",
        "joe",
        "p@ss",
    )
    assert server.settings.hostname == "relay.example"


def test_every_option_reaches_the_settings(file: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client("relay.example")
    settings = only(
        file,
        f'[upstream]\nurl = "smtp://mx.example"\nuser = "joe"\npassword = "s3cret"\ntls = "require"\n'
        f'ca_file = "{authority.path}"\nclient_certificate = "{certificate}"\nclient_key = "{key}"\n'
        'max_connections = 3\nmessages_per_connection = 4\nconnection_lifetime = "5s"\nidle_timeout = "6s"\n'
        'connect_timeout = "7s"\ncommand_timeout = "8s"\nfinal_reply_timeout = "9s"',
    )
    assert (settings.user, settings.password, settings.tls) == ("joe", "s3cret", Tls.REQUIRE)
    assert (settings.ca_file, settings.client_certificate) == (str(authority.path), str(certificate))
    assert settings.client_key == str(key)
    assert (settings.max_connections, settings.messages_per_connection) == (3, 4)
    assert (settings.seconds_per_connection, settings.idle_seconds) == (5, 6)
    assert (settings.connect_timeout, settings.command_timeout, settings.data_timeout) == (7, 8, 9)


def test_the_defaults_of_the_configuration_are_those_of_the_settings(file: Path) -> None:
    assert only(file, '[upstream]\nurl = "smtp://mx.example"') == UpstreamSettings(
        scheme=only(file, "[upstream]\nurl = 'smtp://mx.example'").scheme,
        host="mx.example",
        hostname="relay.example",
    )


@pytest.mark.parametrize(
    ("text", "servers", "default"),
    [
        (TWO, "a b", "a b"),
        ('[upstream]\nurl = "smtp://mx.example"\n' + TWO, "default a b", "default a b"),
        (TWO + "routed_only = true", "a b", "a"),
        ('[[upstream.server]]\nname="a"\nurl="smtp://a"\nrouted_only=true', "default a", "default"),
        ('[upstream]\nurl = "capture:./x"', "default", "default"),
        ("", "default", "default"),
    ],
)
def test_what_no_route_fits_goes_to_the_url_and_to_every_server_that_is_not_kept_for_routes(
    text: str, servers: str, default: str, file: Path
) -> None:
    routing = routing_of(file, text)
    assert [server.name for server in routing.servers] == servers.split()
    assert routing.default == tuple(default.split())


def test_servers_have_what_upstream_says_but_never_its_login(file: Path) -> None:
    routing = routing_of(
        file,
        '[upstream]\nurl = "smtp://mx.example"\nuser = "joe"\npassword = "s3cret"\ntls = "verify"\n'
        'max_connections = 7\nidle_timeout = "9s"\n'
        '[[upstream.server]]\nname = "b"\nurl = "smtp://b.example"\nmax_connections = 2\npriority = 20\nweight = 5',
    )
    first, second = routing.servers
    assert (first.settings.user, second.settings.user, second.settings.password) == ("joe", None, None)
    assert (second.settings.max_connections, second.settings.idle_seconds, second.settings.tls) == (
        2,
        9,
        "verify",
    )
    assert (first.priority, second.priority, second.weight) == (10, 20, 5)


def test_several_processes_keep_to_a_limit_together(file: Path) -> None:
    text = "[upstream]\nmax_connections = 10\n" + TWO + "max_connections = 2"
    table = config_of(file, text).upstream
    limits = [one.settings.max_connections for one in table.settings("h", processes=4).servers]
    assert limits == [2, 1]


def test_routes_are_read_in_their_order(file: Path) -> None:
    routing = routing_of(
        file,
        TWO + '[[upstream.route]]\nrecipient = ["*.corp.example", "corp.example"]\nto = "b"\n'
        '[[upstream.route]]\nsender = "news@shop.example"\nuser = ["crm"]\nto = ["b", "a"]\n',
    )
    ways = [
        share.to
        for share in routing.shares(
            to("x@mx.corp.example", "y@example.net", sender="News@shop.example", user="crm")
        )
    ]
    assert ways == [("b",), ("b", "a")]


def test_a_password_comes_from_a_file_or_the_environment(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    url = 'url = "smtps://mx.example"\nuser = "joe"\n'
    assert only(file, f'[upstream]\n{url}password_file = "{secret}"').password == "s3cret"
    server = f'[[upstream.server]]\nname = "a"\n{url}password_file = "{secret}"'
    assert only(file, server).password == "s3cret"
    monkeypatch.setenv("CANDOR_UPSTREAM_PASSWORD", "from outside")
    assert only(file, f"[upstream]\n{url}").password == "from outside"
    assert only(file, server).password == "s3cret"
    monkeypatch.setenv(
        "CANDOR_UPSTREAM_SERVER",
        f'[{{"name": "z", "url": "smtps://z.example", "user": "joe", "password_file": "{secret}"}}]',
    )
    assert (only(file, "").host, only(file, "").password) == ("z.example", "s3cret")


WRONG = [
    ('[upstream]\nurl = "smtps://mx"\ntls = "opportunistic"', "TLS or nothing"),
    ('[upstream]\nurl = "smtp+starttls://mx"\ntls = "none"', "TLS or nothing"),
    ('[upstream]\nurl = "smtp://mx"\nuser = "joe"\npassword = "hunter2"', "in clear"),
    ('[upstream]\nurl = "smtp://mx"\ntls = "opportunistic"\nuser = "joe"\npassword = "hunter2"', "in clear"),
    ('[upstream]\nurl = "smtps://mx"\npassword = "hunter2"', "no user"),
    ('[upstream]\nurl = "smtps://joe:hunter2@mx"\npassword = "x"', "beside it"),
    ('[upstream]\nurl = "smtps://mx"\nclient_key = "{file}"', "client_key needs client_certificate"),
    ('[upstream]\nurl = "smtp://mx"\ntls = "none"\nclient_certificate = "{file}"', "forbids it"),
    ('[upstream]\nurl = "smtps://mx"\nclient_certificate = "{file}"', "cannot read a certificate"),
    ('[upstream]\nurl = "smtps://mx"\nca_file = "{file}"', "cannot read a certificate"),
    ('[upstream]\nurl = "smtps://mx"\nca_file = "/no/such"', "there is no file /no/such"),
    ('[upstream]\nurl = "capture:./elsewhere"\n' + TWO, "server a would send it"),
    (TWO.replace('"b"', '"a"'), "a is there twice"),
    (TWO + '[[upstream.route]]\nto = "c"', "leads to c; the servers are a, b"),
    (TWO + 'ca_file = "/no/such"', "server b: ca_file: there is no file"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[row[1] + str(n) for n, row in enumerate(WRONG)])
def test_what_cannot_work_is_told_before_the_start(text: str, words: str, file: Path) -> None:
    file.write_text(text.replace("{file}", str(file)), encoding="utf-8")
    result = call("config", "check", "--config", file)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert "hunter2" not in result.err
    assert result.err.startswith("candor: [upstream]: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            TWO + '[[upstream.route]]\nto = "a"\n[[upstream.route]]\nsender = "x.example"\nto = "b"',
            "number 1",
        ),
        (TWO + "routed_only = true", "b is routed_only"),
    ],
)
def test_what_is_hardly_meant_is_said(text: str, words: str, file: Path) -> None:
    public = '[tracker]\npublic_url = "https://t.example.com"\n'
    (doubt,) = doubts(config_of(file, public + text))
    assert words in doubt


def test_a_server_that_sends_makes_dead_links_a_doubt(file: Path) -> None:
    (doubt,) = doubts(config_of(file, TWO))
    assert "public_url" in doubt


def test_what_is_shown_says_the_same_and_no_password(file: Path, tmp_path: Path) -> None:
    file.write_text(
        '[upstream]\nurl = "smtps://mx.example"\nuser = "joe"\npassword = "hunter2"\n'
        '[[upstream.server]]\nname = "a"\nurl = "smtps://ann:hunter2@a.example"\nweight = 3\n'
        '[[upstream.server]]\nname = "b"\nurl = "smtps://b.example"\nuser = "bob"\npassword = "hunter2"\n'
        '[[upstream.route]]\nsender = "*.x.example"\nto = ["a", "default"]\n'
    )
    result = call("config", "show", "--config", file)
    assert "hunter2" not in result.out
    shown = tmp_path / "shown.toml"
    shown.write_text(result.out.replace("…", "hunter2"))
    assert load(shown).upstream == load(file).upstream


def test_a_config_error_names_the_table(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[upstream\] server.0: password_file: .* cannot be read"):
        config_of(file, '[[upstream.server]]\nname = "a"\nurl = "smtps://a"\npassword_file = "/no/such"')
