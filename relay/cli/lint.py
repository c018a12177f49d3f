"""`candor lint`: what a message's headers and marks, of ours and of other services, do here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from relay.aliases import ALIASES, SERVICES
from relay.aliases.marks import MARKS
from relay.cli.mailfiles import read_mail
from relay.config import load
from relay.linting import Line, Lint, lint
from tracker.cli.common import CommandError, config_option, json_option, printable, show_json, show_table
from tracker.errors import CandorError, InvalidValue

BEGIN, END = "<!-- the table: made by `make docs` -->", "<!-- end of the table -->"


@click.command("lint")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    hidden=True,
    help="Put the whole table into this page, between its marks.",
)
@json_option
@config_option
def lint_command(file: Path | None, page: Path | None, as_json: bool, config_file: Path | None) -> None:
    """Say what each control header and each mark in FILE does here, what it did at the service it is from, and which
    mean nothing here. FILE may be - for standard input.

    Ends with 1 where something was not understood: it is read as asking for less. What a header's value says of
    persons is not shown.
    """
    try:
        if page is not None:
            _write(page)
        elif file is None:
            raise InvalidValue("which FILE?")
        else:
            _lint(file, as_json, config_file)
    except CandorError as error:
        raise CommandError(error) from None


def _lint(file: Path, as_json: bool, config_file: Path | None) -> None:
    compat = load(config_file).compat
    mail = read_mail(file)
    found = lint(mail.data, compat.aliases, compat.ses_configuration_sets)
    if as_json:
        show_json(_as_json(mail.name, found))
    else:
        _show(mail.name, found)
    if found.is_misread:
        raise SystemExit(1)


def _as_json(name: str, found: Lint) -> dict[str, object]:
    options = found.options
    return {
        "file": name,
        "misread": found.is_misread,
        "lines": [asdict(line) for line in found.lines],
        "opens": options.opens,
        "clicks": options.clicks,
        "html_links": options.html_links,
        "text_links": options.text_links,
        "tags": list(options.tags),
        "campaign": options.campaign,
        "metadata": dict(options.metadata),
    }


def _show(name: str, found: Lint) -> None:
    if not found.lines:
        click.echo(f"{printable(name)}: no header and no mark in it is meant for a relay")
        return
    rows = [(line.what, line.service, _did(line), _does(line)) for line in found.lines]
    show_table(("header or mark", "of", "there", "here"), rows)
    for sentence in _outcome(found):
        click.echo(printable(sentence))


def _did(line: Line) -> str:
    return f"{line.there} ({line.grade})" if line.grade not in ("", "documented") else line.there or "–"


def _does(line: Line) -> str:
    said = "not understood, so read as asking for less; " if line.misread else ""
    return f"{said}{line.here}" + (f" ({line.times} times)" if line.times > 1 else "")


def _outcome(found: Lint) -> list[str]:
    options = found.options
    asks = [
        words
        for words, wanted in (
            ("no pixel", not options.opens),
            ("no wrapped links", not options.clicks),
            ("no wrapped links in HTML", options.clicks and not options.html_links),
            ("no wrapped links in plain text", options.clicks and not options.text_links),
        )
        if wanted
    ]
    sentences = [f"asks for: {', '.join(asks)}" if asks else "asks for nothing less than consent allows"]
    if options.campaign:
        sentences.append(f"campaign: {options.campaign}")
    if options.tags:
        sentences.append(f"tags: {', '.join(options.tags)}")
    return sentences + [f"{name}: {value}" for name, value in options.metadata]


# --- the page ---


def markdown() -> str:
    """The whole table, for docs/compatibility.md."""
    lines = []
    for service, title in SERVICES.items():
        lines += [f"### {title}", "", "| header | there | here | known from |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{row.header}` | {row.there} | {row.here} | {row.grade} |"
            for row in ALIASES
            if row.service == service
        ]
        lines.append("")
    lines += [
        "### Marks in HTML",
        "",
        "| mark | of | there | here | known from |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{one.written}` | {one.service} | {one.there} | {one.here} | {one.grade} |" for one in MARKS
    ]
    return "\n".join((*lines, ""))


def _write(page: Path) -> None:
    """Raises InvalidValue."""
    try:
        before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    except OSError as error:
        raise InvalidValue(f"{page}: cannot read it: {error.strerror}") from None
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise InvalidValue(f"{page}: the marks are missing between which the table stands")
    page.write_text(f"{before}{BEGIN}\n\n{markdown()}\n{END}{behind}", encoding="utf-8")
