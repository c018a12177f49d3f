"""The relay's part of the configuration, and the example file, which must name every option with its default."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from relay.config import Config, OverrideTable, RelayTable, doubts, load, within
from relay.service import intake_settings
from tracker.config import RELAY_TABLES
from tracker.config import Config as TrackerConfig
from tracker.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
HASH = "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "candor.toml"


def loaded(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file)


# --- the example ---


def uncommented(text: str) -> str:
    """The example with every option in it switched on."""
    return re.sub(r"(?m)^# ?(?=\[{1,2}[\w.]+\]|\w+ = )", "", text)


def gaps(text: str) -> list[str]:
    """What the example lacks, has and should not have, or says otherwise than the code."""
    document = tomllib.loads(uncommented(text))
    found = []
    defaults = Config().model_dump(mode="json")
    for table, field in Config.model_fields.items():
        kind: Any = field.annotation
        if (entry := _entry(kind)) is not None:
            (example,) = document.pop(table)
            found += _compare(f"[[{table}]]", entry, example, entry(**example).model_dump(mode="json"))
            continue
        found += _compare(f"[{table}]", kind, document.pop(table, {}), defaults[table])
    return found + [f"[{table}]: no such table" for table in document]


def _compare(name: str, kind: type[BaseModel], keys: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    found = []
    for key, field in kind.model_fields.items():
        if key not in keys:
            found.append(f"{name} {key}: missing")
        elif (entry := _entry(field.annotation)) is not None:
            (example,) = keys[key]  # one entry shows them all; its values are nobody's defaults
            heading = f"[[{name.strip('[]')}.{key}]]"
            found += [f"{heading} {one}: missing" for one in entry.model_fields if one not in example]
            found += [f"{heading} {one}: no such key" for one in example if one not in entry.model_fields]
        elif not field.is_required() and keys[key] != defaults[key]:
            found.append(f"{name} {key}: the example says {keys[key]!r}, the default is {defaults[key]!r}")
    return found + [f"{name} {key}: no such key" for key in keys if key not in kind.model_fields]


def _entry(annotation: Any) -> type[BaseModel] | None:
    """The table whose entries `[[…]]` lists; None for any other kind of option."""
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple else None
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def test_the_example_names_every_option_with_its_default() -> None:
    found = gaps(EXAMPLE.read_text(encoding="utf-8"))
    assert not found, "config.example.toml:\n" + "\n".join(found)


def test_the_example_as_it_stands_is_the_configuration_without_any() -> None:
    assert load(EXAMPLE) == Config()


def test_the_example_with_everything_switched_on_is_right(file: Path) -> None:
    text = uncommented(EXAMPLE.read_text(encoding="utf-8"))
    config = loaded(file, text.replace("$argon2id$...", HASH))
    assert [user.track for user in config.relay.user] == ["full"]


def test_a_gap_in_the_example_would_be_named() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert gaps(re.sub(r"(?m)^# weight.*\n", "", text)) == ["[[upstream.server]] weight: missing"]
    assert gaps(re.sub(r"(?m)^lifetime.*\n", "", text)) == ["[queue] lifetime: missing"]
    assert gaps(re.sub(r"(?m)^# track = .*\n", "", text)) == ["[[relay.user]] track: missing"]
    assert gaps(re.sub(r"(?m)^# password_hash = .*\n", "", text)) == [
        "[[admin.user]] password_hash: missing",
        "[[relay.user]] password_hash: missing",
    ]
    assert gaps(text + '\n# colour = "red"\n')[0].endswith("colour: no such key")
    assert gaps(text + "\n[sound]\nvolume = 11\n") == ["[sound]: no such table"]
    (one,) = gaps(text.replace('lifetime = "5d"', 'lifetime = "6d"'))
    assert one == "[queue] lifetime: the example says '6d', the default is '5d'"


def test_the_tracker_passes_over_the_relays_tables_and_no_others() -> None:
    assert set(Config.model_fields) - set(TrackerConfig.model_fields) == RELAY_TABLES


# --- what is refused ---

WRONG = [
    ("[relay]\nport = 25", "[relay] port", "no such key", "allowed_networks, bare_newlines, certificate"),
    ('[relay]\nlisten = "25"', "[relay] listen", "host:port", "'25'"),
    ('[relay]\nlisten_tls = "x"', "[relay] listen_tls", "host:port", "'x'"),
    ('[relay]\nlisten_tls = "127.0.0.1:465"', "[relay]", "listen_tls needs certificate", "private_key"),
    ('[relay]\ncertificate = "a.pem"', "[relay]", "certificate and private_key go together", "neither"),
    ('[relay]\nallowed_networks = ["10.0.0.1/8"]', "[relay] allowed_networks.0", "10.0.0.0/8", "host bits"),
    ('[relay]\nallowed_networks = "10.0.0.0/8"', "[relay] allowed_networks", "tuple", "10.0.0.0/8"),
    ('[relay]\nmax_message_size = "25"', "[relay] max_message_size", '"25MB"', "'25'"),
    ("[relay]\nmax_message_size = 25", "[relay] max_message_size", "in quotes", "25"),
    ("[relay]\nmax_recipients = 99", "[relay] max_recipients", "greater than or equal to 100", "99"),
    ('[relay]\nbare_newlines = "keep"', "[relay] bare_newlines", "'refuse' or 'normalize'", "'keep'"),
    ('[relay]\nidle_timeout = "1s"', "[relay] idle_timeout", 'at least "10s"', "1s"),
    ('[relay]\ndata_timeout = "0s"', "[relay] data_timeout", 'at least "10s"', "0s"),
    ('[relay]\nlowest_data_rate = "fast"', "[relay] lowest_data_rate", '"500KB"', "'fast'"),
    ('[relay]\nclient_rate = "100"', "[relay] client_rate", '"100/m"', "'100'"),
    ("[relay]\nmax_errors = 0", "[relay] max_errors", "greater than or equal to 1", "0"),
    ('[relay]\nproxy_protocol_from = ["10.0.0.1"]\nplaintext_auth_from = ["lo"]', "plaintext_auth_from.0", "network", "'lo'"),
    (f'[[relay.user]]\nname = "j"\npassword_hash = "{HASH}"\nrate = "9/x"', "user.0.rate", '"100/m"', "'9/x'"),
    (f'[[relay.user]]\nname = "j"\npassword_hash = "{HASH}"\nsenders = ["x"]', "user.0.senders.0", "@shop", "'x'"),
    (f'[[relay.user]]\nname = "j"\npassword_hash = "{HASH}"\nsenders = ["a@*.x"]', "senders.0", "@*.shop", "'a@*.x'"),
    (f'[[relay.user]]\nname = "j"\npassword_hash = "{HASH}"\ntags = [" "]', "user.0.tags", "printable", "' '"),
    ('[[relay.user]]\nname = "joe"', "[relay] user.0.password_hash", "required", ""),
    (f'[[relay.user]]\nname = ""\npassword_hash = "{HASH}"', "[relay] user.0.name", "at least 1", "''"),
    (f'[[relay.user]]\nname = "j"\npassword_hash = "{HASH}"\ntrack = "all"', "user.0.track", "'full'", "'all'"),
    ('[upstream]\nurl = "ftp://x"', "[upstream] url", "smtp", ""),
    ('[upstream]\ntls = "maybe"', "[upstream] tls", "'require' or 'verify'", "'maybe'"),
    ('[[upstream.server]]\nname = "a"', "[upstream] server.0.url", "required", ""),
    ('[[upstream.server]]\nname = "A b"\nurl = "smtp://a"', "[upstream] server.0.name", "pattern", "'A b'"),
    ('[[upstream.server]]\nname = "default"\nurl = "smtp://a"', "server.0.name", "take another", "'default'"),
    ('[[upstream.server]]\nname = "a"\nurl = "smtp://a"\nhue = 1', "server.0.hue", "no such key", "priority"),
    ('[[upstream.route]]\nto = []', "[upstream] route.0.to", "at least 1", ""),
    ('[[upstream.route]]\nto = "a"\nsender = "a b"', "[upstream] route.0.sender", "*.example.org", "'a b'"),
    ("[upstream]\nmax_connections = 0", "[upstream] max_connections", "greater than or equal to 1", "0"),
    ('[queue]\nlifetime = "5 weeks"', "[queue] lifetime", '"5d"', "'5 weeks'"),
    ('[queue]\nlifetime = "0s"', "[queue] lifetime", 'more than "0s"', "0s"),
    ('[queue]\nfirst_retry = "0s"', "[queue] first_retry", 'at least "100ms"', "0s"),
    ('[queue]\nlongest_retry = "50ms"', "[queue] longest_retry", 'at least "100ms"', "50ms"),
    ('[rewrite]\nskip_patterns = ["("]', "[rewrite] skip_patterns", "not a regular expression", "'('"),
    ('[bounces]\ndomain = "localhost"', "[bounces] domain", "bounces.example.com", "'localhost'"),
    ('[bounces]\ndomain = "b@x.example"', "[bounces] domain", "bounces.example.com", "'b@x.example'"),
    ('[bounces]\ndomain = "[192.0.2.1]"', "[bounces] domain", "bounces.example.com", "'[192.0.2.1]'"),
    ('[bounces]\nfeedback = "f@x"', "[bounces] feedback", "before the @", "'f@x'"),
    ("[suppression]\nafter = 0", "[suppression] after", "greater than or equal to 1", "0"),
    ("[rewrite]\nmax_links = -1", "[rewrite] max_links", "greater than or equal to 0", "-1"),
    ('[[goal]]\nname = "a b"', "[[goal]] 0.name", "pattern", "'a b'"),
    ('[[goal]]\nname = "a"\nmodel = "last"', "[[goal]] 0.model", "'position'", "'last'"),
    ('[[goal]]\nname = "a"\ncolour = "red"', "[[goal]] 0.colour", "no such key", "window_days"),
    ('[[goal]]\nname = "a"\nvalue = "5"', "[[goal]] 0", "needs a currency", "'5'"),
    ('[[goal]]\nname = "a"\nvalue = "5,0"\ncurrency = "eur"', "[[goal]] 0", "12.50", "'5,0'"),
    ('[[goal]]\nname = "a"\n[[goal]]\nname = "a"', "[[goal]]", "same name", ""),
    ('[tracking]\nclick_id_parameter = "c d"', "[tracking] click_id_parameter", "pattern", "'c d'"),
    ('[override]\nnetworks = ["all"]', "[override] networks.0", "expected a network", "'all'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "where", "wrong", "shown"), WRONG, ids=[row[0] for row in WRONG])
def test_an_error_names_file_table_key_and_what_is_allowed(
    text: str, where: str, wrong: str, shown: str, file: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text)
    said = str(caught.value)
    assert said.startswith(f"{file}: [")
    for part in (where, wrong, shown):
        assert part in said


SECRET = "hunter2"
USER = f'[[relay.user]]\nname = "joe"\npassword_hash = "{HASH}"\n'


@pytest.mark.parametrize(
    "text",
    [
        f'[[relay.user]]\nname = "joe"\npassword_hash = "{SECRET}"',
        f'[[relay.user]]\nname = "joe"\npassword_hash = ["{SECRET}"]',
        f'[relay]\nuser = "{SECRET}"',
        f'[relay]\ncertificate = "a.pem"\n{USER}',
        USER + USER,
        f'[upstream]\nurl = "smtp+starttls://joe:{SECRET}@mx.example:x"',
        f'[upstream]\nurl = "ftp://joe:{SECRET}@mx.example"',
        f'[upstream]\nurl = "smtp://joe:{SECRET}@mx.example"',
        f'[upstream]\nurl = "smtp+starttls://joe:{SECRET}@"',
        f'[upstream]\nurl = ["smtp://joe:{SECRET}@mx.example"]',
        f'[upstream]\npassword = ["{SECRET}"]',
        f'[[upstream.server]]\nname = "a"\npassword = "{SECRET}"',
        f'[[upstream.server]]\nname = "a"\nurl = "ftp://joe:{SECRET}@mx.example"',
        f'[[upstream.server]]\nname = "a"\nurl = "smtp://mx.example"\npassword = "{SECRET}"\npassword_file = "x"',
        f'[store]\nurl = "mysql://joe:{SECRET}@db.example/x"',
        f'upstream = "smtp://joe:{SECRET}@mx.example"',
        f'[override]\nurl = "smtp://joe:{SECRET}@mx.example"',
    ],
)
def test_no_error_repeats_a_secret(text: str, file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text)
    assert SECRET not in str(caught.value)
    assert HASH not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_name_that_stands_twice_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match="user joe is there twice"):
        loaded(file, USER + USER)


# --- what it means ---


@pytest.mark.parametrize(
    ("basis", "by", "user", "address", "permitted"),
    [
        ("contract", "dpo@x.example", "crm", "203.0.113.1", True),
        ("contract", "dpo@x.example", None, "10.1.2.3", True),
        ("contract", "dpo@x.example", "joe", "203.0.113.1", False),
        ("contract", "dpo@x.example", None, "203.0.113.1", False),
        ("contract", "", "crm", "10.1.2.3", False),
        ("", "dpo@x.example", "crm", "10.1.2.3", False),
        (" ", "\t", "crm", "10.1.2.3", False),
    ],
)
def test_consent_is_passed_over_only_on_a_named_and_confirmed_ground_by_who_is_listed(
    basis: str, by: str, user: str | None, address: str, permitted: bool
) -> None:
    table = OverrideTable(
        users=("crm",), networks=("10.0.0.0/8",), lawful_basis=basis, lawful_basis_confirmed_by=by
    )
    assert table.permits(user, address) is permitted


def test_by_default_nobody_may_pass_over_consent() -> None:
    assert not OverrideTable().permits("crm", "127.0.0.1")


@pytest.mark.parametrize(
    ("address", "networks", "lies"),
    [
        ("127.0.0.1", ("127.0.0.0/8",), True),
        ("::ffff:127.0.0.1", ("127.0.0.0/8",), True),
        ("::1", ("127.0.0.0/8", "::1/128"), True),
        ("128.0.0.1", ("127.0.0.0/8", "::1/128"), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("", ("0.0.0.0/0",), False),
        ("localhost", ("0.0.0.0/0",), False),
        ("127.0.0.1", (), False),
    ],
)
def test_an_address_lies_in_a_network_or_not(address: str, networks: tuple[str, ...], lies: bool) -> None:
    assert within(address, networks) is lies


def test_a_relay_without_a_name_has_its_machines() -> None:
    assert RelayTable(hostname="mx.example").name == "mx.example"
    assert RelayTable().name


def test_what_the_file_says_of_rewriting_reaches_the_rules(file: Path) -> None:
    config = loaded(file, '[rewrite]\nskip_hosts = ["a.example"]\nmax_links = 7\nwrap_outlook = false')
    rules = config.rewrite.rules("https://T.example.com:8443/base")
    assert (rules.skip_hosts, rules.max_links, rules.wrap_outlook) == (("a.example",), 7, False)
    assert rules.own_hosts == ("t.example.com",)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[upstream]\nurl = "smtp://127.0.0.1:25"', "public_url"),
        (f'[[relay.user]]\nname = "shop"\npassword_hash = "{HASH}"', "TLS"),
        ('[override]\nusers = ["shop"]\nlawful_basis = "recall"', "lawful_basis_confirmed_by"),
        ('[relay]\nallowed_networks = ["0.0.0.0/0"]', "whole world"),
        ("[suppression]\ncomplaints = true", "[bounces] domain"),
        (f'[relay]\nplaintext_auth_from = ["10.0.0.0/8"]\n{USER}', "in clear"),
        (f'[relay]\nplaintext_auth_from = ["0.0.0.0/0"]\n{USER}', "in clear"),
    ],
)
def test_what_is_hardly_meant_is_said(text: str, word: str, file: Path) -> None:
    (doubt,) = doubts(loaded(file, text))
    assert word in doubt


BOUNCES = '[bounces]\ndomain = "b.example.com"\n'
READ = f'{BOUNCES}postmaster = "ops@example.com"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'{BOUNCES}[relay]\nlisten = "0.0.0.0:25"', ["postmaster@b.example.com"]),
        (READ, ["cannot come in"]),
        (f'{READ}[relay]\nlisten = "[::1]:25"\n', ["cannot come in"]),
        (f'{READ}[relay]\nlisten = "10.0.0.1:25"', []),
        (f'{READ}[relay]\nlisten = ":25"', []),
        (f'{READ}[relay]\nproxy_protocol_from = ["127.0.0.1"]', []),
    ],
)
def test_a_bounce_domain_that_nobody_reaches_or_reads_is_doubted(
    text: str, words: list[str], file: Path
) -> None:
    found = doubts(loaded(file, text))
    assert len(found) == len(words)
    assert all(word in doubt for word, doubt in zip(words, found, strict=True))


def test_the_defaults_leave_no_doubt(file: Path) -> None:
    assert doubts(loaded(file, "")) == []


def test_what_the_file_says_of_a_user_reaches_them(file: Path) -> None:
    rights = 'tags = ["a"]\nrate = "5 recipients/h"\nsenders = ["@shop.example"]\n'
    (table,) = loaded(file, USER + rights).relay.user
    user = table.user()
    assert (user.tags, str(user.rate), user.senders) == (("a",), "5 recipients/h", ("@shop.example",))


def test_what_the_file_says_of_limits_reaches_the_intake(file: Path) -> None:
    """Each key of its own, so that none is wired to another's place."""
    config = loaded(
        file,
        "[relay]\nmax_connections = 11\nmax_connections_per_client = 12\nmax_errors = 13\nmax_failed_logins = 14\n"
        "max_junk_commands = 15\n"
        'max_recipients = 150\nmax_header_size = "16KB"\nmax_message_size = "17KB"\nmax_memory = "18KB"\n'
        'idle_timeout = "19s"\ndata_timeout = "20s"\nlowest_data_rate = "0B"\nclient_rate = "22/m"\n'
        'proxy_protocol_from = ["10.1.0.0/16"]\nplaintext_auth_from = ["10.2.0.0/16"]\n',
    )
    found = intake_settings(config)
    assert (found.max_connections, found.max_connections_per_client, found.max_errors) == (11, 12, 13)
    assert (found.max_failed_logins, found.max_junk_commands) == (14, 15)
    assert (found.max_recipients, found.max_header_size) == (150, 16_000)
    assert (found.max_message_size, found.max_memory, found.command_timeout) == (17_000, 18_000, 19)
    assert (found.data_timeout, found.lowest_data_rate, str(found.client_rate)) == (20, 0, "22/m")
    assert list(map(str, found.proxy_networks)) == ["10.1.0.0/16"]
    assert list(map(str, found.plaintext_auth_networks)) == ["10.2.0.0/16"]


def test_lists_come_from_the_environment_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDOR_RELAY_ALLOWED_NETWORKS", "10.0.0.0/8, ::1/128")
    assert loaded(file, "").relay.allowed_networks == ("10.0.0.0/8", "::1/128")
    monkeypatch.setenv("CANDOR_RELAY_ALLOWED_NETWORKS", '["10.0.0.0/8"]')
    assert loaded(file, "").relay.allowed_networks == ("10.0.0.0/8",)
