"""`candor suppression …`: to whom mail is skipped, and the way out."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click

from relay.store import suppression as store
from relay.store.suppression import Listed, Reason, Suppressing
from tracker.address import normalize
from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    show_json_lines,
    show_table,
    with_domain,
)
from tracker.domain import Domain
from tracker.errors import CandorError, InvalidAddress
from tracker.moments import isoformat

_AT_ONCE = 1000
_COLUMNS = ("address", "reason", "since", "note")
_SHOWN = 50


@click.group()
def suppression() -> None:
    """Addresses that mail is not sent to."""


@suppression.command("list")
@click.option(
    "--limit", type=click.IntRange(min=1), help="The latest so many; without --json 50 when left out."
)
@json_option
@config_option
def list_(limit: int | None, as_json: bool, config_file: Path | None) -> None:
    """List suppressed addresses, latest first; with --json one object a line."""
    most = limit if as_json else limit or _SHOWN
    rows = [_row(one) for one in _listed(config_file, most)]
    if as_json:
        show_json_lines(rows)
    else:
        show_table(
            ("address", "reason", "since", "note"),
            [(one["address"] or "(erased)", one["reason"], one["since"], one["note"]) for one in rows],
        )


@suppression.command()
@click.argument("addresses", nargs=-1, required=True)
@click.option("--note", default="", help="Why, for whoever reads the list.")
@config_option
def add(addresses: tuple[str, ...], note: str, config_file: Path | None) -> None:
    """Put addresses on the list: mail to them is skipped from now on."""
    now = datetime.now(UTC)
    listed = [
        Listed(address=address, reason=Reason.MANUAL, since=now, note=note) for address in _normal(addresses)
    ]
    with_domain(config_file, lambda domain: _put(domain, listed), without="make")
    click.echo(f"{len(listed)} on the list")


@suppression.command()
@click.argument("addresses", nargs=-1, required=True)
@config_option
def remove(addresses: tuple[str, ...], config_file: Path | None) -> None:
    """Take addresses off the list; their bounces are forgotten too."""
    normal = _normal(addresses)

    async def work(domain: Domain) -> list[str]:
        return await domain.database.change(
            lambda connection: [one for one in normal if not store.remove(connection, one, domain.ring)]
        )

    absent = with_domain(config_file, work)
    for address in absent:
        click.echo(printable(f"{address}: not on the list"), err=True)
    click.echo(f"{len(normal) - len(absent)} taken off the list")
    if absent:
        raise SystemExit(1)


@suppression.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@config_option
def import_(file: IO[str], config_file: Path | None) -> None:
    """Import a CSV file, or a list with one address a line ("-": standard input).

    Columns: address (or email), reason, since, note. Other columns are passed over; a row with a bad address is named
    and the others are imported. Whoever is on the list already stays there as they are.
    """
    listed: list[Listed] = []
    refused: list[str] = []
    name = getattr(file, "name", "<stdin>")
    try:
        for line, row in _rows(file):
            try:
                listed.append(_read(row))
            except (CandorError, ValueError) as error:
                refused.append(f"{name}:{line}: {error}")
    except (csv.Error, UnicodeDecodeError) as error:
        raise CommandError(InvalidAddress(f"{name}: not a CSV file in UTF-8: {error}")) from error
    with_domain(config_file, lambda domain: _put(domain, listed), without="make")
    for text in refused[:_SHOWN]:
        click.echo(printable(text), err=True)
    if len(refused) > _SHOWN:
        click.echo(f"… and {len(refused) - _SHOWN} more", err=True)
    click.echo(f"{len(listed)} imported, {len(refused)} refused")
    if refused:
        raise SystemExit(1)


@suppression.command()
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=True), default="-")
@config_option
def export(file: IO[str], config_file: Path | None) -> None:
    """Export the list as CSV, as `import` reads it. Erased people have no address to be exported."""
    listed = _listed(config_file, None)
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(one) for one in listed if one.address is not None)
    if erased := sum(one.address is None for one in listed):
        click.echo(f"candor: {erased} erased left out", err=True)
    if file is not sys.stdout:
        file.flush()


def _listed(config_file: Path | None, limit: int | None) -> list[Listed]:
    return with_domain(
        config_file,
        lambda domain: domain.database.read(
            lambda connection: store.listed(connection, limit=limit), within=60.0
        ),
    )


async def _put(domain: Domain, listed: Sequence[Listed]) -> None:
    # Nobody twice in one statement: the later line would only be passed over.
    unique = list({one.address: one for one in reversed(listed)}.values())
    suppressing = Suppressing(ring=domain.ring)
    for start in range(0, len(unique), _AT_ONCE):
        await domain.database.write(*suppressing.listing(unique[start : start + _AT_ONCE]), within=60.0)


def _normal(addresses: Sequence[str]) -> list[str]:
    try:
        return list(dict.fromkeys(map(normalize, addresses)))
    except CandorError as error:
        raise CommandError(error) from error


def _rows(file: IO[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, values by column); a file whose first line is an address has no header."""
    reader = csv.reader(file)
    columns: list[str] = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if not columns:
            columns = [cell.strip().lower() for cell in row]
            if not any("@" in cell for cell in columns):
                if not {"address", "email"} & set(columns):
                    raise csv.Error("expected a column address or email")
                continue
            columns = ["address"]
        yield reader.line_num, dict(zip(columns, row, strict=False))


def _read(row: dict[str, str]) -> Listed:
    given = (row.get("since") or "").strip()
    since = datetime.fromisoformat(given) if given else datetime.now(UTC)
    words = [reason.value for reason in Reason]
    reason = (row.get("reason") or Reason.MANUAL.value).strip()
    if reason not in words:
        raise ValueError(f"reason {reason!r}: expected one of {', '.join(words)}")
    return Listed(
        address=normalize(row.get("address") or row.get("email") or ""),
        reason=Reason(reason),
        since=since if since.tzinfo is not None else since.replace(tzinfo=UTC),
        note=" ".join((row.get("note") or "").replace("\0", "").split())[:200],
    )


def _row(one: Listed) -> dict[str, Any]:
    return {
        "address": one.address,
        "reason": one.reason.value,
        "since": isoformat(one.since),
        "note": one.note,
    }
