"""`candor token show`, `candor keys list` and `candor keys rotate`: what one of our links says, and what it is sealed with."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from tracker import keyring
from tracker.cli.common import CommandError, config_option, json_option, show_json, show_table
from tracker.config import RELAY_TABLES, Config, load
from tracker.errors import CandorError, TokenError
from tracker.moments import isoformat
from tracker.tokens import Kind, read


@click.group()
def token() -> None:
    """Our links, read back."""


@token.command()
@click.argument("url")
@json_option
@config_option
def show(url: str, as_json: bool, config_file: Path | None) -> None:
    """Show where one of our links leads, which delivery it belongs to and which key sealed it."""
    try:
        config = load(config_file, Config, foreign=RELAY_TABLES)
        found = read(_token_in(url), keyring.load(Path(config.tokens.keys_file)))
    except CandorError as error:
        raise CommandError(error) from error
    subject = "mailing" if found.kind is Kind.OPEN and found.mode == "aggregate" else "delivery"
    shown = {
        "kind": found.kind.name.lower(),
        "mode": found.mode.value,
        "override": found.override,
        subject: found.subject.hex(),
        "sent_at": isoformat(found.sent_at) if found.sent_at.year > 1970 else None,
        "link": found.link or None,
        "destination": found.destination or None,
        "suffix": found.suffix or None,
        "key": found.key_id.hex(),
    }
    if as_json:
        show_json(shown)
    else:
        show_table(("what", "value"), [(key, value) for key, value in shown.items() if value is not None])


@click.group()
def keys() -> None:
    """The key ring."""


@keys.command("list")
@json_option
@config_option
def list_(as_json: bool, config_file: Path | None) -> None:
    """Show which keys there are, and what each is used for. Two nodes with the same file show the same."""
    try:
        config = load(config_file, Config, foreign=RELAY_TABLES)
        found = keyring.listed(Path(config.tokens.keys_file))
    except CandorError as error:
        raise CommandError(error) from error
    rows = [
        {
            "id": one.id.hex(),
            "created": isoformat(one.made) if one.made is not None else None,
            "state": "active" if one.newest else "retired",
            "used_for": "new links (of a relay from its next start on), and those sent"
            if one.newest
            else "links sent",
        }
        for one in found
    ]
    if as_json:
        show_json(rows)
    else:
        cells = [(row["id"], row["created"] or "", row["state"], row["used_for"]) for row in rows]
        show_table(("key", "created", "state", "used for"), cells)


@keys.command()
@config_option
def rotate(config_file: Path | None) -> None:
    """Add a key for new links; old keys go on verifying for ever.

    Running trackers verify links of the new key within seconds; new links use it after the next start of the relay.
    With several nodes give the file to all of them first.
    """
    try:
        config = load(config_file, Config, foreign=RELAY_TABLES)
        ring = keyring.rotate(Path(config.tokens.keys_file))
    except CandorError as error:
        raise CommandError(error) from error
    click.echo(f"key {ring.newest.id.hex()} is the newest of {len(ring.keys)} in {config.tokens.keys_file}")


def _token_in(text: str) -> str:
    """The token of a URL of ours, or the token itself. Raises TokenError."""
    try:
        path = urlsplit(text).path if "/" in text else text
    except ValueError as error:
        raise TokenError(f"{text!r} is no URL: {error}") from None
    word = path.rpartition("/")[2].removesuffix(".gif")
    if not word:
        raise TokenError(f"{text!r} holds no token: expected a link such as https://t.example.com/c/TOKEN")
    return word
