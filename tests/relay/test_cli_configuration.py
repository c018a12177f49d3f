"""`candor config check|show` and `candor user hash`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from support.commands import call

from relay.cli.configuration import without_password
from relay.config import Config, load
from tracker.config import StoreTable
from tracker.passwords import hash_password

SECRET = "hunter2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "candor.toml"


def test_a_right_configuration_is_said_to_be_right(file: Path) -> None:
    file.write_text('[relay]\nlisten = "127.0.0.1:2526"\n')
    assert call("config", "check", "--config", file).out == f"{file}: right\n"
    assert call("config", "check").out == "the defaults: right\n"


def test_each_thing_that_is_wrong_has_its_line(file: Path) -> None:
    file.write_text('[relay]\nlisten = "x"\nport = 25\n[store]\nurl = "x"\n')
    result = call("config", "check", "--config", file)
    assert (result.code, result.out) == (2, "")
    lines = result.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"candor: {file}: [") for line in lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[relay]\ncertificate = "no.pem"\nprivate_key = "no.key"',
            "[relay] certificate: there is no file no.pem",
        ),
        ('[upstream]\nurl = "smtp+starttls://mx.example:587"\nca_file = "no.pem"', "no.pem"),
        ('[upstream]\nurl = "smtp://joe:hunter2@mx.example:587"', "[upstream]"),
        ('[relay]\nlisten_tls = "127.0.0.1:465"', "certificate"),
        ('[[relay.user]]\nname = "shop"\npassword_hash = "$argon2id$…"', "password_hash"),
        ('[bounces]\ndomain = "b.example.com"\npostmaster = "x@b.example.com"', "outside the bounce domain"),
        ('[bounces]\npostmaster = "x"', "that somebody reads"),
    ],
)
def test_checking_looks_at_what_the_configuration_names(text: str, said: str, file: Path) -> None:
    file.write_text(text)
    for command in ("check", "show"):
        result = call("config", command, "--config", file)
        assert (result.code, result.out) == (2, "")
        assert said in result.err
        assert SECRET not in result.err
        assert result.err.count("\n") == 1


def test_what_is_shown_is_a_configuration_that_says_the_same(file: Path, tmp_path: Path) -> None:
    file.write_text(
        '[relay]\nwait_for_upstream = "1500ms"\nmax_message_size = "7KiB"\nallowed_networks = []\n'
        f'[[relay.user]]\nname = "j\\"oe"\npassword_hash = "{hash_password("x")}"\n'
        '[rewrite]\nskip_patterns = ["\\\\bx\\\\b"]\n[queue]\nlifetime = "36h"\n[tokens]\nkeys_file = "C:\\\\keys \\u00e4"\n'
    )
    shown = tmp_path / "shown.toml"
    shown.write_text(call("config", "show", "--config", file).out.replace('"…"', f'"{hash_password("x")}"'))
    was, now = load(file), load(shown)
    assert now.relay.user[0].name == 'j"oe'
    assert now.model_copy(update={"relay": now.relay.model_copy(update={"user": was.relay.user})}) == was


def test_without_a_file_the_defaults_are_shown() -> None:
    assert tomllib.loads(call("config", "show").out) == Config().model_dump(mode="json")
    assert call("config", "show", "--json").json == Config().model_dump(mode="json")


def test_no_password_is_shown(file: Path) -> None:
    file.write_text(
        f'[upstream]\nurl = "smtp+starttls://joe:{SECRET}@mx.example:587"\n'
        f'[store]\nurl = "postgresql://candor:{SECRET}@db/candor?sslpassword={SECRET}&sslmode=require"\n'
        f'[[relay.user]]\nname = "joe"\npassword_hash = "{hash_password(SECRET)}"\n'
    )
    for options in ((), ("--json",)):
        result = call("config", "show", *options, "--config", file)
        assert result.code == 0
        assert SECRET not in result.out
        assert "argon2" not in result.out
        assert "mx.example:587" in result.out
        assert "sslmode=require" in result.out


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("capture:./candor-data/captured", "capture:./candor-data/captured"),
        ("smtp://mx.example:25", "smtp://mx.example:25"),
        ("smtps://joe:a:b@c@mx.example", "smtps://joe:…@mx.example"),
        ("smtps://joe@mx.example", "smtps://joe@mx.example"),
        ("sqlite:///./candor.db", "sqlite:///./candor.db"),
        (
            "postgresql:///candor?host=/run&user=x&password=y",
            "postgresql:///candor?host=/run&user=x&password=…",
        ),
        ("postgresql://h/candor?PassWord=y#z", "postgresql://h/candor?PassWord=…#z"),
    ],
)
def test_a_url_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert without_password(url) == shown


@given(
    password=st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/?#"), min_size=1
    )
)
def test_no_password_survives_in_any_url(password: str) -> None:
    assert without_password(f"postgresql://u:{password}@h/d") == "postgresql://u:…@h/d"


def test_a_store_in_a_file_of_its_own_name_is_taken(file: Path, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"postgresql://candor:{SECRET}@db/candor\n")
    file.write_text(f'[store]\nurl_file = "{tmp_path / "url"}"\n')
    assert load(file).store == StoreTable(url=f"postgresql://candor:{SECRET}@db/candor")
    assert SECRET not in call("config", "show", "--config", file).out


def test_a_password_becomes_a_hash_that_the_configuration_takes(file: Path) -> None:
    result = call("user", "hash", input=f"{SECRET}\n")
    assert result.code == 0
    assert PasswordHasher().verify(result.out.strip(), SECRET)
    file.write_text(f'[[relay.user]]\nname = "joe"\npassword_hash = "{result.out.strip()}"\n')
    assert load(file).relay.user[0].name == "joe"


@pytest.mark.parametrize("input", ["", "\n"])
def test_no_password_is_none(input: str) -> None:
    result = call("user", "hash", input=input)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("candor: no password given")


def test_a_key_file_that_everybody_can_read_is_warned_of(file: Path) -> None:
    keys = file.with_name("keys.toml")
    file.write_text(f'[tokens]\nkeys_file = "{keys}"\n')
    keys.touch(0o600)
    assert call("config", "check", "--config", file).err == ""
    keys.chmod(0o644)
    assert "chmod 600" in call("config", "check", "--config", file).err
