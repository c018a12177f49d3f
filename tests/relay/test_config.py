"""The relay's part of the configuration, and the example file, which must name every option with its default."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from relay.config import Config, OverrideTable, RelayTable, doubts, load, within
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
    config = loaded(file, uncommented(EXAMPLE.read_text(encoding="utf-8")))
    assert [user.track for user in config.relay.user] == ["full"]


def test_a_gap_in_the_example_would_be_named() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert gaps(re.sub(r"(?m)^max_connections.*\n", "", text)) == ["[upstream] max_connections: missing"]
    assert gaps(re.sub(r"(?m)^# track = .*\n", "", text)) == ["[[relay.user]] track: missing"]
    assert gaps(re.sub(r"(?m)^# password_hash = .*\n", "", text)) == ["[[relay.user]] password_hash: missing"]
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
    ('[[relay.user]]\nname = "joe"', "[relay] user.0.password_hash", "required", ""),
    ('[[relay.user]]\nname = ""\npassword_hash = "$argon2"', "[relay] user.0.name", "at least 1", "''"),
    ('[[relay.user]]\nname = "j"\npassword_hash = "$argon2"\ntrack = "all"', "user.0.track", "'full'", "'all'"),
    ('[upstream]\nurl = "ftp://x"', "[upstream] url", "smtp", ""),
    ("[upstream]\nmax_connections = 0", "[upstream] max_connections", "greater than or equal to 1", "0"),
    ('[queue]\nlifetime = "5 weeks"', "[queue] lifetime", '"5d"', "'5 weeks'"),
    ('[queue]\nlifetime = "0s"', "[queue] lifetime", 'more than "0s"', "0s"),
    ('[queue]\nfirst_retry = "0s"', "[queue] first_retry", 'at least "100ms"', "0s"),
    ('[queue]\nlongest_retry = "50ms"', "[queue] longest_retry", 'at least "100ms"', "50ms"),
    ('[rewrite]\nskip_patterns = ["("]', "[rewrite] skip_patterns", "not a regular expression", "'('"),
    ("[rewrite]\nmax_links = -1", "[rewrite] max_links", "greater than or equal to 0", "-1"),
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


def test_what_the_file_says_of_upstream_reaches_its_settings(file: Path) -> None:
    authorities = file.with_name("ca.pem")
    authorities.touch()
    config = loaded(
        file,
        '[upstream]\nurl = "smtp+starttls://joe:p%40ss@mx.example:587"\nmax_connections = 3\n'
        f'verify_certificate = false\nca_file = "{authorities}"',
    )
    settings = config.upstream.settings("relay.example")
    assert (settings.max_connections, settings.tls_verify, settings.ca_file) == (3, False, str(authorities))
    assert settings.hostname == "relay.example"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[upstream]\nurl = "smtp://127.0.0.1:25"', "public_url"),
        (f'[[relay.user]]\nname = "shop"\npassword_hash = "{HASH}"', "TLS"),
        ('[override]\nusers = ["shop"]\nlawful_basis = "recall"', "lawful_basis_confirmed_by"),
        ('[relay]\nallowed_networks = ["0.0.0.0/0"]', "whole world"),
    ],
)
def test_what_is_hardly_meant_is_said(text: str, word: str, file: Path) -> None:
    (doubt,) = doubts(loaded(file, text))
    assert word in doubt


def test_the_defaults_leave_no_doubt(file: Path) -> None:
    assert doubts(loaded(file, "")) == []


def test_lists_come_from_the_environment_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANDOR_RELAY_ALLOWED_NETWORKS", "10.0.0.0/8, ::1/128")
    assert loaded(file, "").relay.allowed_networks == ("10.0.0.0/8", "::1/128")
    monkeypatch.setenv("CANDOR_RELAY_ALLOWED_NETWORKS", '["10.0.0.0/8"]')
    assert loaded(file, "").relay.allowed_networks == ("10.0.0.0/8",)
