"""`candor dkim generate|show`, and what the configuration says of keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.commands import call
from support.dkim import ed25519_key, pem, rsa_key

from relay.cli.dkim import zone_line
from relay.config import DkimTable, load
from relay.signing import public_record, read_private_key
from tracker.errors import ConfigError


def test_a_key_is_made_for_its_owner_alone_and_its_record_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("dkim", "generate", "--domain", "Bücher.Example", "--selector", "s2026")
    file = tmp_path / "candor-data" / "dkim" / "s2026.xn--bcher-kva.example.pem"
    assert result.code == 0
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    record = public_record(read_private_key(file.read_bytes()))
    assert result.out == zone_line("s2026._domainkey.xn--bcher-kva.example", record) + "\n"
    assert "PRIVATE" not in result.out + result.err
    (tmp_path / "candor.toml").write_text(result.err[result.err.index("[[dkim.key]]") :])
    assert call("dkim", "show", "--config", "candor.toml").out == result.out
    assert call("config", "check", "--config", "candor.toml").out == "candor.toml: right\n"


@pytest.mark.parametrize(
    ("options", "kind"), [(["--ed25519"], "k=ed25519; p="), (["--bits", "1024"], "k=rsa; p=MIGf")]
)
def test_other_keys_are_made_too(options: list[str], kind: str, tmp_path: Path) -> None:
    result = call("dkim", "generate", "--domain", "x.example", "--file", tmp_path / "k.pem", *options)
    assert f'candor._domainkey.x.example. IN TXT "v=DKIM1; {kind}' in result.out


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "k.pem"
    file.write_text("mine")
    result = call("dkim", "generate", "--domain", "x.example", "--file", file)
    assert (result.code, result.out, file.read_text()) == (2, "", "mine")
    assert "is there already" in result.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--domain", "no domain"], "--domain: expected a domain"),
        (["--domain", "[192.0.2.1]"], "--domain: expected a domain"),
        (["--domain", "x.example", "--selector", "a..b"], "--selector: expected a selector"),
        (["--domain", "x.example", "--bits", "512"], "1024<=x<=4096"),
        (["--domain", "x.example", "--file", "/proc/no/such/k.pem"], "cannot be written"),
    ],
)
def test_what_cannot_be_made_is_said(options: list[str], said: str, tmp_path: Path) -> None:
    result = call("dkim", "generate", "--file", tmp_path / "k.pem", *options)
    assert result.code != 0
    assert said in result.err
    assert not (tmp_path / "k.pem").exists()


def test_a_long_record_is_several_strings_that_are_one_text() -> None:
    record = public_record(rsa_key())
    line = zone_line("s._domainkey.x.example", record)
    strings = re.findall(r'"([^"]*)"', line)
    assert "".join(strings) == record
    assert max(map(len, strings)) == 255


def test_without_a_key_there_is_nothing_to_show() -> None:
    result = call("dkim", "show")
    assert (result.code, result.out) == (0, "")
    assert "nothing is signed" in result.err


# --- the configuration ---


def configured(folder: Path, octets: bytes, *, mode: int = 0o600, name: str = "k.pem") -> Path:
    (folder / "k.pem").write_bytes(octets)
    (folder / "k.pem").chmod(mode)
    file = folder / "candor.toml"
    file.write_text(f'[[dkim.key]]\ndomain = "x.example"\nselector = "s"\nprivate_key = "{folder / name}"\n')
    return file


@pytest.mark.parametrize(
    ("octets", "name", "said"),
    [
        (b"", "no.pem", "there is no file"),
        (b"", ".", "cannot be read: Is a directory"),
        (b"secret", "k.pem", "there is no private key in it"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "k.pem", "neither RSA nor Ed25519"),
    ],
)
def test_a_key_that_cannot_be_used_is_said_before_mail_comes(
    octets: bytes, name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where a store is made
    file = configured(tmp_path, octets, name=name)
    for command in (("config", "check"), ("dkim", "show"), ("relay",)):
        result = call(*command, "--config", file)
        assert result.code == 2, command
        assert result.err.startswith("candor: [[dkim.key]] s._domainkey.x.example: ")
        assert said in result.err
        assert "secret" not in result.err


def test_a_key_in_place_of_its_file_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "candor.toml"
    text = pem(ed25519_key()).decode()
    file.write_text(f'[[dkim.key]]\ndomain = "x.example"\nselector = "s"\nprivate_key = """{text}"""\n')
    result = call("config", "check", "--config", file)
    assert result.code == 2
    assert "the name of a file, not the key itself" in result.err
    assert not any(line in result.err for line in text.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("key", "mode", "said"),
    [
        (rsa_key(), 0o600, None),
        (rsa_key(), 0o640, None),
        (ed25519_key(), 0o400, None),
        (rsa_key(), 0o644, "chmod 600"),
        (ed25519_key(), 0o602, "chmod 600"),
        (rsa_key(1024), 0o600, "1024 bits"),
    ],
)
def test_a_key_that_is_hardly_meant_so_is_warned_of(
    key: object, mode: int, said: str | None, tmp_path: Path
) -> None:
    result = call("config", "check", "--config", configured(tmp_path, pem(key), mode=mode))
    assert result.code == 0
    assert result.err.count("warning:") == (said is not None)
    assert (said or "") in result.err


KEY = '[[dkim.key]]\ndomain = "x.example"\nselector = "s"\nprivate_key = "k.pem"\n'


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ('[dkim]\nforeign_signatures = "keep"', "[dkim] foreign_signatures", "'untouched' or 'remove'"),
        ('[dkim]\nvalid_for = "5m"', "[dkim] valid_for", 'at least "1h"'),
        (KEY.replace("x.example", "x y"), "[dkim] key.0.domain", "expected a domain"),
        (KEY.replace('"s"', '"s.-"'), "[dkim] key.0.selector", "expected a selector"),
        (KEY.replace("private_key", "key_file"), "[dkim] key.0.private_key", "required"),
        (KEY + KEY.replace("x.example", "X.example"), "[dkim] key", "s._domainkey.x.example is there twice"),
    ],
)
def test_what_is_wrong_in_the_table_is_named(text: str, where: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "candor.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert where in str(caught.value)
    assert said in str(caught.value)


def test_what_the_table_says_reaches_those_who_sign(tmp_path: Path) -> None:
    file = configured(tmp_path, pem(ed25519_key()))
    file.write_text('[dkim]\nforeign_signatures = "remove"\nvalid_for = "7d"\n' + file.read_text())
    signers = load(file).dkim.signers()
    assert (signers.remove_foreign, signers.sign_unchanged, signers.valid_for) == (True, True, 7 * 86400)
    assert [key.algorithm for key in signers.keys["x.example"]] == ["ed25519-sha256"]
    assert DkimTable().signers().keys == {}
