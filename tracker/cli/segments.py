"""`candor segment …`: saved selections over people."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.domain import Domain
from tracker.errors import CandorError, InvalidValue
from tracker.moments import isoformat
from tracker.moments import shown as moment_shown
from tracker.segments.selection import Chosen, Selection, Size, saved
from tracker.segments.terms import AnyNode, asks_for_behaviour, definition, from_definition
from tracker.segments.wording import parse, shown
from tracker.spreadsheet import as_csv
from tracker.store.segments import Saved, checked_name

F = TypeVar("F", bound=Callable[..., Any])
COLUMNS = ("address", "group", "country", "tracking_consent", "do_not_track")
_FIRST = 10


@click.group()
def segment() -> None:
    """Saved selections over people: by attributes, group, country, domain, consent, and what they do.

    Written like: group is Sales and not opened campaign apples in 30 days. Whoever may not be measured by name today is
    in no segment that asks what people did, or did not do.
    """


def _named(command: F) -> F:
    """NAME, or --where for one that is not saved."""
    where = click.option(
        "--where", metavar="CONDITIONS", help="Of these conditions, in place of a saved one."
    )
    return click.argument("name", required=False)(where(command))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    name: str | None
    node: AnyNode | None

    async def selection(self, domain: Domain) -> Selection:
        now = datetime.now(UTC)
        if self.node is not None:
            return Selection(domain, self.node, now)
        return await saved(domain, self.name or "", now)


def _wanted(name: str | None, where: str | None) -> _Wanted:
    if (name is None) == (where is None):
        raise CommandError(InvalidValue("expected the NAME of a saved segment, or --where CONDITIONS"))
    return _Wanted(name=name, node=None if where is None else _parsed(where))


@segment.command("list")
@json_option
@config_option
def list_(as_json: bool, config_file: Path | None) -> None:
    """List the saved segments."""
    found = with_domain(config_file, lambda domain: domain.segments.list())
    if as_json:
        show_json([_told(one) for one in found])
    elif found:
        rows = [
            (one.name, _text(one), moment_shown(isoformat(one.changed_at)), one.changed_by) for one in found
        ]
        show_table(("name", "who is in it", "changed", "by"), rows)
    else:
        click.echo('no segment is saved yet: candor segment save NAME "opened 3 times in 30 days"')


@segment.command("show")
@click.argument("name")
@json_option
@config_option
def show(name: str, as_json: bool, config_file: Path | None) -> None:
    """Show one segment: its conditions, who saved it, when."""
    found = with_domain(config_file, lambda domain: domain.segments.get(name))
    if as_json:
        show_json(_told(found))
        return
    rows = [
        ("name", found.name),
        ("who is in it", _text(found)),
        ("created", f"{moment_shown(isoformat(found.created_at))}, by {found.created_by}"),
        ("changed", f"{moment_shown(isoformat(found.changed_at))}, by {found.changed_by}"),
    ]
    show_table(("what", "value"), rows)


@segment.command("save")
@click.argument("name")
@click.argument("conditions")
@click.option("--replace", is_flag=True, help="In the place of one of that name.")
@config_option
def save(name: str, conditions: str, replace: bool, config_file: Path | None) -> None:
    """Save a segment under a name. CONDITIONS of "-" are read from standard input.

    \b
    group, country, domain, consent, do_not_track is VALUE, VALUE…; attribute NAME is VALUE…
    received, opened, clicked [N times] [campaign NAME | message ID] [link PATTERN] [in N days]
    quiet for N days; converted [N times] [goal NAME] [in N days]
    joined by and, or, not and brackets; none stands for no value.
    """
    node = _parsed(sys.stdin.read() if conditions == "-" else conditions)
    try:
        checked_name(name)
    except CandorError as error:
        raise CommandError(error) from error

    async def work(domain: Domain) -> None:
        now = datetime.now(UTC)
        await domain.segments.save(name, definition(node), by=_actor(), now=now, replace=replace)

    with_domain(config_file, work, without="make")
    click.echo(printable(f"saved {name}: {shown(node)}"))
    if asks_for_behaviour(node):
        click.echo("it asks what people do: only those who may be measured by name are in it", err=True)


@segment.command("delete")
@click.argument("name")
@config_option
def delete(name: str, config_file: Path | None) -> None:
    """Delete a segment; the people in it stay as they are."""
    with_domain(config_file, lambda domain: domain.segments.delete(name))
    click.echo(printable(f"deleted {name}"))


@segment.command("count")
@_named
@json_option
@config_option
def count(name: str | None, where: str | None, as_json: bool, config_file: Path | None) -> None:
    """Count who is in a segment now, and show the first of them."""
    wanted = _wanted(name, where)

    async def work(domain: Domain) -> Size:
        return await (await wanted.selection(domain)).size(first=_FIRST)

    found = with_domain(config_file, work)
    if as_json:
        show_json({"people": found.people})
        return
    click.echo(f"{found.people} {'person' if found.people == 1 else 'people'}")
    if found.first:
        show_table(COLUMNS, [tuple(row_of(one).values()) for one in found.first])
        if found.people > len(found.first):
            click.echo(f"and {found.people - len(found.first)} more: candor segment export")


@segment.command("export")
@_named
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to a file, which nobody else on this machine may read.",
)
@config_option
def export(name: str | None, where: str | None, output: Path | None, config_file: Path | None) -> None:
    """Write who is in a segment now as CSV, safe to open in a spreadsheet."""
    wanted = _wanted(name, where)

    async def work(domain: Domain) -> int:
        chosen, number = await wanted.selection(domain), 0
        with nullcontext(sys.stdout.buffer) if output is None else _opened(output) as file:
            file.write(as_csv(COLUMNS, ()))
            async for some in chosen.people():
                file.write(as_csv(COLUMNS, map(row_of, some), heading=False))
                number += len(some)
        return number

    try:
        number = with_domain(config_file, work)
    except OSError as error:
        raise CommandError(CandorError(f"{output or 'standard output'}: {error.strerror}")) from None
    if output is not None:
        click.echo(f"{number} {'person' if number == 1 else 'people'} in {output}", err=True)


def row_of(one: Chosen) -> dict[str, Any]:
    """By `COLUMNS`."""
    return {
        "address": one.address,
        "group": one.group,
        "country": one.country,
        "tracking_consent": one.consent,
        "do_not_track": one.do_not_track,
    }


def _opened(file: Path) -> BinaryIO:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)  # one that was there before, too
    return os.fdopen(descriptor, "wb")


def _parsed(text: str) -> AnyNode:
    try:
        return parse(text)
    except CandorError as error:
        raise CommandError(error) from error


def _text(one: Saved) -> str:
    try:
        return shown(from_definition(one.definition))
    except InvalidValue as error:
        return f"({error})"


def _told(one: Saved) -> dict[str, Any]:
    return {
        "name": one.name,
        "conditions": _text(one),
        "definition": one.definition,
        "created_at": isoformat(one.created_at),
        "created_by": one.created_by,
        "changed_at": isoformat(one.changed_at),
        "changed_by": one.changed_by,
    }


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
