"""`candor message`, `candor event`: what happened, and to whom."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    show_json,
    show_json_lines,
    show_table,
    with_domain,
)
from tracker.cli.story import SHORT_ID, show_message
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.moments import shown as moment_shown

_SHORTEST_ID = 6


def message_commands(words: Mapping[str, str]) -> click.Group:
    """`candor message`. `words` has a sentence for each reason why something stayed as it was; what those reasons are
    is known to whoever makes the messages, and not here."""

    @click.group()
    def message() -> None:
        """Messages and their deliveries."""

    @message.command("list")
    @click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
    @json_option
    @config_option
    def list_messages(limit: int, as_json: bool, config_file: Path | None) -> None:
        """List the latest messages.

        The other commands take an id as it is shown here, or any beginning of it that is not another's too; --json
        shows them whole.
        """
        found = with_domain(config_file, lambda domain: domain.deliveries.list(limit=limit))
        if as_json:
            show_json(found)
            return
        if not found:
            click.echo("no message is on record")
            return
        rows = [
            (
                one["id"][:SHORT_ID],
                moment_shown(one["received_at"]),
                one["from"],
                one["subject"],
                _states(one["deliveries"]),
            )
            for one in found
        ]
        show_table(("id", "received", "from", "subject", "deliveries"), rows)

    @message.command()
    @click.argument("id")
    @json_option
    @config_option
    def show(id: str, as_json: bool, config_file: Path | None) -> None:
        """Show one message: what was decided for whom, what became of it, which links were wrapped, and what stayed
        as it was and why.

        ID may be cut after 6 digits or more. Of links that stayed only the host is on record, since such links often
        lead to one person's own page; `candor rewrite show FILE` tells all from the message itself.
        """
        prefix = message_id_argument(id)

        async def work(domain: Domain) -> dict[str, Any]:
            return await domain.deliveries.show(await whole_id(domain, prefix))

        found = with_domain(config_file, work)
        if as_json:
            show_json(_explained(found, words))
        else:
            show_message(found, words)

    return message


def message_id_argument(text: str) -> str:
    """A message's id or its beginning, in lower case. Raises CommandError."""
    if not re.fullmatch(rf"[0-9a-fA-F]{{{_SHORTEST_ID},32}}", text):
        raise CommandError(
            InvalidValue(
                f"{text!r} is not the id of a message: expected 32 hex digits, or the first {_SHORTEST_ID} or more"
            )
        )
    return text.lower()


async def whole_id(domain: Domain, prefix: str) -> bytes:
    """The id of the message that `prefix` begins. Raises NotFound, InvalidValue, StoreUnavailable."""
    return bytes.fromhex(prefix) if len(prefix) == 32 else await domain.deliveries.find(prefix)


def _explained(found: dict[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """With the reasons' sentences beside their names."""
    kept = [one | {"explanation": words.get(one["reason"], "")} for one in found["kept"]]
    return found | {"untouched_explanation": words.get(found["untouched"]), "kept": kept}


@click.group()
def event() -> None:
    """Opens and clicks of identified deliveries."""


@event.command("list")
@click.option("--message", "message_id", help="Only those of one message.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="The latest so many; without --json 50 when left out."
)
@json_option
@config_option
def list_events(message_id: str | None, limit: int | None, as_json: bool, config_file: Path | None) -> None:
    """List events, oldest first; with --json one object a line."""
    prefix = message_id_argument(message_id) if message_id else None
    most = limit if as_json else limit or 50

    async def work(domain: Domain) -> list[dict[str, Any]]:
        wanted = await whole_id(domain, prefix) if prefix else None
        return await domain.events.list(message=wanted, limit=most)

    found = with_domain(config_file, work)
    if as_json:
        show_json_lines(found)
        return
    if not found:
        click.echo(f"no event of {'this message' if prefix else 'any message'} is on record")
        return
    rows = [
        (
            moment_shown(one["at"]),
            one["kind"],
            one["recipient"] or "",
            one["url"] or "",
            one["verdict"],
            one["client"],
        )
        for one in found
    ]
    show_table(("at", "kind", "recipient", "link", "verdict", "client"), rows)


def _states(counted: dict[str, Any]) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(counted.items()))
