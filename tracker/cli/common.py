"""What the commands share: the configuration option, running, and showing things to people and programs."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from tracker import log
from tracker.config import RELAY_TABLES, Config, load
from tracker.desk import Desk
from tracker.domain import Domain
from tracker.errors import CandorError, ConfigError, InvalidAddress, InvalidValue
from tracker.store.holders import Holder

T = TypeVar("T")

config_option = click.option(
    "--config",
    "config_file",
    envvar="CANDOR_CONFIG",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration file; without one every option has its default.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@dataclass(frozen=True, slots=True)
class Beside:
    """What the whole command gives to ours (as click's `obj`): who else keeps something of people in the store, and
    what of mail can be seen and done by way of it."""

    holders: Callable[[], Sequence[Holder]]
    desk: Callable[[Domain], Desk]


def holders_beside() -> Sequence[Holder]:
    """Called within a command."""
    beside = _beside()
    return beside.holders() if beside is not None else ()


def desk_beside(domain: Domain) -> Desk | None:
    """Called within a command."""
    beside = _beside()
    return beside.desk(domain) if beside is not None else None


def _beside() -> Beside | None:
    context = click.get_current_context(silent=True)
    return context.find_object(Beside) if context is not None else None


class CommandError(click.ClickException):
    """An error as people see it: one sentence, no traceback. Exit code 1, or 2 where the call was wrong."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.wrong_call = isinstance(error, ConfigError | InvalidAddress | InvalidValue)

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return 2 if self.wrong_call else 1

    def show(self, file: Any = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"candor: {printable(line)}", err=True)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a command's work, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


Without = Literal["refuse", "make", "pretend"]
"""Where there is no store yet, a command that reads has nothing to say (`refuse`), one that writes makes it (`make`), and
one that only tries something tries it on an empty one that goes with it (`pretend`)."""


def _own_tables(config_file: Path | None) -> Config:
    return load(config_file, Config, foreign=RELAY_TABLES)


def with_domain(
    config_file: Path | None,
    work: Callable[[Domain], Awaitable[T]],
    *,
    reading: Callable[[Path | None], Config] = _own_tables,
    without: Without = "refuse",
) -> T:
    """Opens the tracking domain with the configuration as `reading` reads it, does the work, closes it. `without`: what
    is done where there is no store yet. Errors are shown, not raised."""

    async def main() -> T:
        config = reading(config_file)
        log.configure(config.log.format, "warning", lasting=False)  # standard output is the command's own
        file = Path(config.store.url.removeprefix("sqlite:///"))
        fresh = config.store.url.startswith("sqlite:///") and not file.exists()  # noqa: ASYNC240 - a command
        with ExitStack() as stack:
            if fresh and without == "refuse":
                raise CandorError(f"there is no store yet: {file} is not there; --config names another")
            if fresh and without == "pretend":
                config = _elsewhere(
                    config, stack.enter_context(tempfile.TemporaryDirectory(prefix="candor-"))
                )
            domain = await Domain.open(config)
            domain.holders.extend(holders_beside())
            if (
                fresh and without == "make"
            ):  # in the wrong folder, or without --config, that is not what was meant
                click.echo(f"candor: made a new store, {printable(file)}", err=True)
            try:
                return await work(domain)
            finally:
                await domain.close()

    try:
        return run(main())
    except CandorError as error:
        raise CommandError(error) from error


def _elsewhere(config: Config, folder: str) -> Config:
    store = config.store.model_copy(update={"url": f"sqlite:///{folder}/candor.db"})
    tokens = config.tokens.model_copy(update={"keys_file": f"{folder}/keys.toml"})
    return config.model_copy(update={"store": store, "tokens": tokens})


def be_sure(question: str) -> None:
    """Asks, and goes on only with a yes. Raises CommandError where nobody is there to answer."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)  # the question's line
        raise CommandError(CandorError("nobody answers: with --yes it is done without asking")) from None
    if not agreed:
        raise click.Abort


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on the terminal, nothing where there is none; gives the function that moves it."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda advanced: bar.update(task, advance=advanced)


def show_json(value: Any) -> None:
    """ASCII only: what came from mail must not steer a terminal, and every program reads the escapes."""
    click.echo(json.dumps(value, indent=2))


def show_json_lines(values: Iterable[Any]) -> None:
    for value in values:
        click.echo(json.dumps(value))


_WHOLE = ("id", "delivery", "message")
"""Columns that are copied from: never broken."""


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table for people. Cells are shown as they are: what came from mail cannot style or break it."""
    if title:
        click.echo(title)  # as the table's own it would be wrapped to the table's width
    table = Table(header_style="bold")
    cells = [[printable(cell) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        if column in _WHOLE:
            widest = max((len(row[index]) for row in cells), default=0)
            table.add_column(column, no_wrap=True, min_width=widest)
        else:
            table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console().print(table)


_OTHERWISE = 160
"""Columns where the output is no terminal."""


def console() -> Console:
    """Wide enough not to cut ids where the output is no terminal."""
    return Console(width=None if sys.stdout.isatty() else _OTHERWISE, highlight=False)


def printable(cell: object) -> str:
    """Text without control characters: a subject must not steer the reader's terminal."""
    text = "" if cell is None else str(cell)
    return "".join(character if character.isprintable() else "·" for character in text)
