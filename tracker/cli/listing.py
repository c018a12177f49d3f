"""`candor contact list`: everybody who is known, as a table or as a CSV file that `candor contact import` reads back."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click
from sqlalchemy import Connection, select

from tracker.cli.common import CommandError, config_option, show_table, with_domain
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.store.schema import contacts

_COLUMNS = (
    "address",
    "tracking_consent",
    "as_of",
    "do_not_track",
    "do_not_track_as_of",
    "country",
    "group",
)
_PAGE = 2000


@click.command("list")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV: everybody, all that an import reads.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the CSV to this file."
)
@click.option("--limit", default=50, show_default=True, help="People in the table; CSV holds everybody.")
@config_option
def list_(as_csv: bool, output: Path | None, limit: int, config_file: Path | None) -> None:
    """List who is known; erased people have no name to list.

    As CSV with --csv or -o: what is held of each person and since when, ready for `candor contact import`. What proves
    it stays in the register: `candor consent proof ADDRESS`.
    """
    if not as_csv and output is None:
        people = with_domain(config_file, lambda domain: _first(domain, limit))
        show_table(("address", "tracking_consent", "do_not_track", "country", "group"), people)
        return
    try:
        number = with_domain(config_file, lambda domain: _write(domain, output))
    except OSError as error:
        raise CommandError(CandorError(f"{output or 'standard output'}: {error.strerror}")) from None
    if output is not None:
        click.echo(f"{number} people in {output}", err=True)


async def _first(domain: Domain, limit: int) -> list[tuple[Any, ...]]:
    people: list[tuple[Any, ...]] = []
    async for row in _everybody(domain):
        if len(people) == limit:
            break
        people.append((row.address, row.tracking_consent, row.do_not_track, row.country, row.grp))
    return people


async def _write(domain: Domain, output: Path | None) -> int:
    """Goes over the people twice: which attributes there are is known only after all of them."""
    attributes: dict[str, None] = {}
    async for row in _everybody(domain):
        attributes.update(dict.fromkeys(row.attributes))
    number = 0
    with nullcontext(sys.stdout) if output is None else _opened(output) as text:
        rows = csv.writer(text, lineterminator="\r\n" if output is not None else "\n")
        rows.writerow((*_COLUMNS, *attributes))
        async for row in _everybody(domain):
            rows.writerow((*_cells(row), *(row.attributes.get(name, "") for name in attributes)))
            number += 1
    return number


def _cells(row: Any) -> tuple[str, ...]:
    """What was never said stays empty, or `unset`: an empty do_not_track would be read as false."""
    said, apart_said = row.consent_as_of, row.do_not_track_as_of
    return (
        row.address,
        row.tracking_consent if said else "",
        said.isoformat() if said else "",
        row.do_not_track,
        apart_said.isoformat() if apart_said else "",
        row.country or "",
        row.grp or "",
    )


def _opened(file: Path) -> TextIO:
    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o600)  # people's addresses: for its owner only

    return open(file, "w", encoding="utf-8", newline="", opener=opener)


async def _everybody(domain: Domain) -> AsyncIterator[Any]:
    """Page by page, in the order in which they became known; whoever is new meanwhile may be among them."""
    last = 0
    while page := await domain.database.read(partial(_page, after=last), within=30.0):
        for row in page:
            yield row
        last = page[-1].id


def _page(connection: Connection, after: int) -> list[Any]:
    query = select(contacts).where(contacts.c.id > after, contacts.c.address.is_not(None))
    return list(connection.execute(query.order_by(contacts.c.id).limit(_PAGE)))
