"""`candor config check|show`: is the configuration right, and what does it say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from relay.config import Config, doubts, load
from relay.service import checked
from tracker.cli.common import CommandError, config_option, json_option, show_json
from tracker.config import without_password
from tracker.errors import CandorError

_HIDDEN = {("store", "url")}


@click.group()
def config() -> None:
    """The configuration."""


@config.command()
@config_option
def check(config_file: Path | None) -> None:
    """Check the configuration: every table, key and value, and the files it names."""
    for doubt in doubts(_checked(config_file)):
        click.echo(f"warning: {doubt}", err=True)
    click.echo(f"{config_file or 'the defaults'}: right")


@config.command()
@json_option
@config_option
def show(as_json: bool, config_file: Path | None) -> None:
    """Show what holds, defaults included, passwords left out."""
    found = _checked(config_file)
    document = {table: _shown(table, getattr(found, table)) for table in type(found).model_fields}
    if as_json:
        show_json(document)
        return
    for table in [table for table, keys in document.items() if keys == []]:
        click.echo(f"{table} = []")  # what belongs to no table comes first in TOML
    for table, keys in document.items():
        if isinstance(keys, list):
            _show_entries(table, keys)
            continue
        click.echo(f"[{table}]")
        for key, value in keys.items():
            click.echo(f"{key} = {_toml(value)}")
        click.echo("")


def _show_entries(table: str, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        click.echo(f"[[{table}]]")
        for key, value in entry.items():
            click.echo(f"{key} = {_toml(value)}")
        click.echo("")


def _checked(config_file: Path | None) -> Config:
    try:
        found = load(config_file)
        checked(found)
        found.dkim.signers()
    except CandorError as error:
        raise CommandError(error) from error
    return found


def _shown(table: str, model: BaseModel | tuple[BaseModel, ...]) -> dict[str, Any] | list[dict[str, Any]]:
    if isinstance(model, tuple):
        return [one.model_dump(mode="json") for one in model]
    document = model.model_dump(mode="json")
    for key in document:
        if (table, key) in _HIDDEN:
            document[key] = without_password(document[key])
    for server in (document, *document.get("server", ())) if table == "upstream" else ():
        server["url"] = without_password(server["url"])
        server["password"] = server["password"] and "…"
    for user in document["user"] if table == "relay" else ():
        user["password_hash"] = "…"  # noqa: S105
    return document


def _toml(value: Any) -> str:
    """The value as TOML would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(value)
