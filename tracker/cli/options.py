"""Options that all reports share: what they are about, and how they are written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from tracker.admin.period import Days
from tracker.cli.common import CommandError, show_json, show_table
from tracker.errors import InvalidValue
from tracker.moments import isoformat
from tracker.moments import shown as moment_shown
from tracker.spreadsheet import as_csv

T = TypeVar("T")
_DATE = click.DateTime(["%Y-%m-%d"])

limit_option = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000), help="At most so many rows."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How a report is written: tables for people unless one of these is asked for."""

    as_json: bool
    as_csv: bool

    def rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Mapping[str, str],
        *,
        json: Any = None,
        nothing: str = "nothing",
        people: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """A list. `columns`: keys of the rows, and how people read them; `json` and `people`: what programs and people
        get instead of the rows."""
        plain = [
            {key: isoformat(v) if isinstance(v, datetime) else v for key, v in row.items()} for row in rows
        ]
        if self.as_json:
            show_json(plain if json is None else json)
        elif self.as_csv:
            sys.stdout.write(as_csv(list(columns), plain).decode())
        elif not rows:
            click.echo(nothing)
        else:
            cells = [[_cell(row.get(key)) for key in columns] for row in people or rows]
            show_table(tuple(columns.values()), cells)


def output_options(command: Callable[..., T]) -> Callable[..., T]:
    """`--json` and `--csv`; the command is given an `output`."""

    @click.option("--csv", "as_csv", is_flag=True, help="Write CSV, for spreadsheets.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @wraps(command)
    def with_output(*args: Any, as_csv: bool, as_json: bool, **more: Any) -> T:
        if as_json and as_csv:
            raise CommandError(InvalidValue("--json and --csv: one or the other"))
        return command(*args, output=Output(as_json=as_json, as_csv=as_csv), **more)

    return with_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The days that somebody asked for; what they did not say is None."""

    first: date | None
    last: date | None
    back: int

    def days(self, zone: ZoneInfo) -> Days:
        """Whole days of the zone, as the pages have them. Raises CommandError."""
        last = self.last or datetime.now(zone).date()
        first = self.first or last - timedelta(days=self.back)
        if first > last:
            raise CommandError(InvalidValue(f"--from {first} lies after --to {last}"))
        return Days(first=first, last=last, zone=zone)

    def since(self, zone: ZoneInfo) -> datetime:
        """Where only the beginning counts: so many days before now, or the day that was named."""
        if self.first is not None:
            return datetime.combine(self.first, time(), zone)
        return datetime.now(UTC) - timedelta(days=self.back)


def period_options(
    *, back: int = 30, ends: bool = True, zone: str = "the time zone of [admin]"
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """`--from` and `--to`, or `--days`; the command is given `asked`. `ends`: there is a `--to`.
    `zone`: whose days they are, for the help."""

    def decorate(command: Callable[..., T]) -> Callable[..., T]:
        @click.option(
            "--days",
            type=click.IntRange(1, 3660),
            help=f"So many days back, instead of --from.  [default: {back}]",
        )
        @click.option("--from", "first", type=_DATE, help=f"First day ({zone}).")
        @wraps(command)
        def with_period(
            *args: Any,
            days: int | None,
            first: datetime | None,
            last: datetime | None = None,
            **more: Any,
        ) -> T:
            return command(*args, asked=_asked(days, first, last, back), **more)

        to = click.option("--to", "last", type=_DATE, help="Last day; today, when left out.")
        return to(with_period) if ends else with_period

    return decorate


def _asked(days: int | None, first: datetime | None, last: datetime | None, back: int) -> Asked:
    if days is not None and first is not None:
        raise CommandError(InvalidValue("--days and --from: one or the other"))
    return Asked(first=first.date() if first else None, last=last.date() if last else None, back=days or back)


def _cell(value: Any) -> object:
    return moment_shown(isoformat(value)) if isinstance(value, datetime) else value
