"""`candor contact import`: consent from a file."""

from __future__ import annotations

import csv
import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    progress,
    show_json,
    show_table,
    with_domain,
)
from tracker.contactfile import ABOUT_REFUSAL, ContactFile, Refused
from tracker.domain import Domain
from tracker.errors import CandorError, StoreError, StoreUnavailable
from tracker.importing import Counted, Import

_INTERRUPTED = 130
"""As shells have it for Ctrl-C."""
_MOST_PRINTED = 50
_MOST_IN_JSON = 10_000


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Read and check everything, change nothing.")
@click.option("--resume", is_flag=True, help="Go on where an earlier import of the very same file stopped.")
@click.option(
    "--refused",
    "refused_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rows that were not taken to this CSV file, each with line and reason.",
)
@json_option
@config_option
def import_(
    file: Path,
    dry_run: bool,
    resume: bool,
    refused_file: Path | None,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Import contacts from a CSV file with a header line.

    Columns: address (or email), tracking_consent, do_not_track, country, group, as_of, evidence; any other column
    becomes an attribute. An empty do_not_track means false; a column that is not there leaves its value alone.
    Refused rows are listed with their line; all others are imported. An import that was interrupted keeps what it
    has taken down: --resume goes on behind it.
    """
    first: list[Refused] = []
    task: Import | None = None

    async def work(domain: Domain) -> Counted:
        nonlocal task
        contacts = ContactFile(file)
        if contacts.passed_over:
            names = " and ".join(contacts.passed_over)
            said = f"addresses are read from the column {contacts.columns[contacts.address]}; {names} becomes an attribute"
            click.echo(f"candor: {said}", err=True)
        with (
            _refusals(refused_file, contacts) as write,
            progress("importing", contacts.size) as advance,
        ):

            def refused(one: Refused) -> None:
                write(one)
                if len(first) < _MOST_IN_JSON:
                    first.append(one)

            task = Import(domain, contacts, actor=_actor(), refused=refused, advance=_by_position(advance))
            return await _run(task, resume=resume, dry_run=dry_run)

    try:
        counted = with_domain(config_file, work, without="pretend" if dry_run else "make")
    except KeyboardInterrupt:
        click.echo(f"candor: interrupted: {_kept(task, dry_run=dry_run)}", err=True)
        raise SystemExit(_INTERRUPTED) from None
    first.sort(key=lambda one: one.line)
    numbers = _numbers(counted, resumed=resume)
    if as_json:
        listed = [{"line": one.line, "reason": one.reason} for one in first]
        show_json(numbers | {"refusals": listed})
    else:
        _show(numbers, first, file, dry_run=dry_run, refused_file=refused_file)
    if counted.refused or numbers["not_effective"]:
        raise SystemExit(1)


async def _run(task: Import, *, resume: bool, dry_run: bool) -> Counted:
    try:
        return await task.run(resume=resume, dry_run=dry_run)
    except (StoreUnavailable, StoreError) as error:
        kept = "what was taken down stays; the same command with --resume goes on there"
        raise type(error)(f"{error}; {kept}") from error


def _kept(task: Import | None, *, dry_run: bool) -> str:
    if task is None or dry_run:
        return "nothing was changed"
    # Without the transaction that was under way.
    rows = sum(task.counted.effects.values()) + task.counted.before
    return f"what was taken down stays, about {rows:,} rows; the same command with --resume goes on there"


def _by_position(advance: Callable[[int], None]) -> Callable[[int], None]:
    """A bar that is told how far it has come, not how much further."""
    before = 0

    def forward(position: int) -> None:
        nonlocal before
        advance(position - before)
        before = position

    return forward


def _numbers(counted: Counted, *, resumed: bool) -> dict[str, int]:
    before = {"taken_before": counted.before} if resumed else {}
    effects = {effect.value.replace("-", "_"): number for effect, number in counted.effects.items()}
    return {"read": counted.read, **before, **effects, "refused": counted.refused}


def _show(
    numbers: dict[str, int], first: list[Refused], file: Path, *, dry_run: bool, refused_file: Path | None
) -> None:
    # What would change is known only when it is weighed against the register.
    known = ("read", "refused") if dry_run else tuple(numbers)
    counted = [(key.replace("_", " "), numbers[key]) for key in known]
    show_table(("rows", "number"), counted, title="Nothing was changed (dry run)" if dry_run else None)
    for one in first[:_MOST_PRINTED]:
        click.echo(printable(f"{file}:{one.line}: {one.reason}"), err=True)
    more = numbers["refused"] + numbers["not_effective"] - _MOST_PRINTED
    if refused_file is not None and more <= -_MOST_PRINTED:
        click.echo(printable(f"every row was taken: {refused_file} holds none"), err=True)
    elif refused_file is not None:
        click.echo(printable(f"every row that was not taken stands in {refused_file}"), err=True)
    elif more > 0:
        click.echo(f"… and {more} more; --refused FILE writes them all", err=True)


@contextmanager
def _refusals(file: Path | None, contacts: ContactFile) -> Iterator[Callable[[Refused], None]]:
    """Gives what writes a row of the file, if there is to be one. It holds addresses: only its owner may read it."""
    if file is None:
        yield lambda one: None
        return

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o600)

    try:
        opened = open(file, "w", encoding="utf-8", newline="", opener=opener)  # noqa: SIM115 - closed below
    except OSError as error:
        raise CommandError(CandorError(f"{file}: cannot be written: {error.strerror}")) from None
    with opened as text:
        rows = csv.writer(text)
        rows.writerow([*ABOUT_REFUSAL, *contacts.columns[contacts.own :]])
        yield lambda one: rows.writerow([one.line, one.reason, *one.cells[contacts.own :]])


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"
