"""`candor api …`: keys are made, shown once, listed and revoked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracker.cli.api import api


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "candor.toml"
    file.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/candor.db"\n[tokens]\nkeys_file = "{tmp_path}/keys.toml"\n'
    )
    return file


def test_a_key_is_shown_once_listed_and_revoked(config: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(api, [*words, "--config", str(config)])
        assert result.exit_code == 0, result.output
        return result.stdout

    made = run("key", "create", "shop", "--scope", "events:read", "--scope", "contacts:read")
    token = made.splitlines()[-1]
    assert token.startswith("candor_")
    (listed,) = json.loads(run("key", "list", "--json"))
    assert (listed["name"], listed["scopes"]) == ("shop", ["contacts:read", "events:read"])
    assert (listed["last_used"], listed["revoked_at"]) == (None, None)
    table = run("key", "list")
    assert "never" in table
    assert token not in table
    assert "opens nothing any more" in run("key", "revoke", "shop")
    assert json.loads(run("key", "list", "--json"))[0]["revoked_at"] is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("key", "create", "shop"), "Missing option '--scope'"),
        (("key", "create", "shop", "--scope", "all"), "is not one of"),
        (("key", "create", "my shop", "--scope", "events:read"), "no name for a key"),
        (("key", "revoke", "nobody"), "there is no key 'nobody' that holds"),
    ],
)
def test_what_cannot_be_is_said(words: tuple[str, ...], said: str, config: Path) -> None:
    CliRunner().invoke(api, ["key", "create", "first", "--scope", "events:read", "--config", str(config)])
    result = CliRunner().invoke(api, [*words, "--config", str(config)])
    assert result.exit_code != 0
    assert said in result.output


def test_the_operations_are_listed_and_written_into_a_page(tmp_path: Path) -> None:
    assert "/api/v1/contacts/{id}" in CliRunner().invoke(api, ["operations"]).output
    page = tmp_path / "api.md"
    page.write_text("a\n<!-- operations -->\nwas here\n<!-- end of operations -->\nb\n")
    for _ in range(2):
        assert CliRunner().invoke(api, ["operations", "--page", str(page)]).exit_code == 0
    text = page.read_text()
    assert "`GET /events`" in text
    assert "was here" not in text
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    page.write_text("nothing")
    assert "no place marked" in CliRunner().invoke(api, ["operations", "--page", str(page)]).output
