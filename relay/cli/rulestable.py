"""The whole rulebook as tables: what is wrapped, where the pixel goes, what is left and why, and the lists in effect.

Shown by `candor rewrite rules`, and as Markdown in `docs/rewriting.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from relay.config import Config
from relay.reasons import TABLE, Scope
from relay.rulebook import OPT_OUT_CLASSES, OPT_OUT_MARKS, Rules
from tracker.cli.common import show_table
from tracker.errors import InvalidValue

BEGIN, END = "<!-- rules: made by `make docs` -->", "<!-- end of rules -->"

WRAPPED = (
    (
        "the first href of <a> and <area> that leads to http:// or https:// and a host",
        '<a href="https://shop.example/apples">',
        "",
    ),
    (
        "the same inside Outlook's conditional comments, VML among it; a visible twin shares its number",
        '<!--[if mso]><v:roundrect href="https://shop.example/">',
        "wrap_outlook",
    ),
    ("a link without a scheme, as https", '<a href="//shop.example/">', "protocol_relative"),
    ("bare URLs of the text part", "see https://shop.example/", "wrap_plain_text"),
    (
        "links whose visible text is an address",
        '<a href="https://shop.example/">shop.example</a>',
        "wrap_visible_urls",
    ),
)
PIXEL = (
    (
        "where the author wrote {{open_pixel}}, {{ses:openTracker}} or <opentag/>, the first that is shown",
        "<p>{{open_pixel}}</p>",
        "",
    ),
    ("behind <body> where a header asks for it", "X-Mailgun-Track-Pixel-Location-Top: yes", ""),
    ("before the last </body> that is a tag, else at the end of the part", "…</p>[pixel]</body>", ""),
    (
        "behind <body> where the part would pass 100 KiB: mail programs clip what is longer",
        "<body>[pixel]…",
        "",
    ),
)
TITLES = {
    Scope.MESSAGE: "Messages that are left as they came",
    Scope.PART: "Parts that are left",
    Scope.LINK: "Links that are left",
    Scope.PIXEL: "Bodies without a pixel",
    Scope.PLACEHOLDER: "Placeholders and marks that are left",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule. `option` is the key that changes it, of `[rewrite]` where no table is named; `now` what it says."""

    name: str
    explanation: str
    example: str
    option: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    title: str
    rows: tuple[Row, ...]


def sections(rules: Rules) -> list[Section]:
    """Every rule there is, under these settings."""
    found = [
        Section(title="What is wrapped", rows=tuple(_row("", *row, rules) for row in WRAPPED)),
        Section(title="Where the pixel goes", rows=tuple(_row("", *row, rules) for row in PIXEL)),
    ]
    for scope, title in TITLES.items():
        rows = tuple(
            _row(reason, row.explanation, row.example, row.option, rules)
            for reason, row in TABLE.items()
            if row.scope is scope
        )
        found.append(Section(title=title, rows=rows))
    return found


def _row(name: str, explanation: str, example: str, option: str, rules: Rules) -> Row:
    value = getattr(rules, option, None)
    if isinstance(value, tuple):
        now = f"{len(value)} listed below"
    else:
        now = "" if value is None else str(value).lower()
    return Row(
        name=str(name),
        explanation=explanation,
        example=example,
        option=f"[rewrite] {option}" if option and not option.startswith("[") else option,
        now=now,
    )


def lists(rules: Rules) -> dict[str, tuple[str, ...]]:
    """The lists in effect."""
    marks = tuple(name if value is None else f'{name}="{value}"' for name, value in OPT_OUT_MARKS)
    classes = tuple(f'class="{name}"' for name in sorted(OPT_OUT_CLASSES))
    return {
        "[rewrite] skip_hosts": rules.skip_hosts,
        "[rewrite] skip_patterns": rules.skip_patterns,
        "[rewrite] unsubscribe_patterns": rules.unsubscribe_patterns,
        "[rewrite] wrapped_hosts": rules.wrapped_hosts,
        "[tracker] public_url (our own hosts)": rules.own_hosts,
        "marks of authors, not configurable": (*marks, *classes, "https+notrack://"),
    }


def as_json(rules: Rules) -> dict[str, Any]:
    document = {
        section.title: [{key.name: getattr(row, key.name) for key in fields(row)} for row in section.rows]
        for section in sections(rules)
    }
    return {"rules": document, "lists": lists(rules)}


def show_rules(rules: Rules) -> None:
    """Tables on a terminal, plain text elsewhere."""
    if sys.stdout.isatty():
        for section in sections(rules):
            rows = [(row.name, row.explanation, row.example, _option(row)) for row in section.rows]
            show_table(("reason", "", "example", "changed by"), rows, title=section.title)
        for name, values in lists(rules).items():
            show_table((name,), [(value,) for value in values])
        return
    for section in sections(rules):
        click.echo(f"{section.title}\n")
        for row in section.rows:
            click.echo(f"  {row.name + ': ' if row.name else ''}{row.explanation}")
            if row.example:
                click.echo(f"      example: {row.example.replace('`', '')}")
            if row.option:
                click.echo(f"      changed by: {_option(row)}")
        click.echo("")
    for name, values in lists(rules).items():
        click.echo(f"{name}\n")
        click.echo("".join(f"  {value}\n" for value in values))


def _option(row: Row) -> str:
    return f"{row.option} (now {row.now})" if row.now else row.option


def markdown() -> str:
    """The tables with their defaults, for the page."""
    return "\n".join(_markdown(Config().rewrite.rules("https://TRACKING-HOST")))


def _markdown(rules: Rules) -> Iterator[str]:
    for section in sections(rules):
        named = any(row.name for row in section.rows)
        optional = any(row.option for row in section.rows)
        header = ["reason"] * named + ["what it means" if named else "what", "example"]
        yield from (f"### {section.title}", "", *_table([*header, *["changed by"] * optional]))
        for row in section.rows:
            cells = [f"`{row.name}`"] * named + [_prose(row.explanation), _code(row.example)]
            default = f" (default {row.now})" if row.now in ("true", "false") else ""
            yield _line([*cells, *[_code(row.option) + default] * optional])
        yield ""
    yield from ("### The lists, with their defaults", "")
    for name, values in lists(rules).items():
        yield from (f"{name}:", "", "```", *values, "```", "")


def _table(header: Sequence[str]) -> tuple[str, str]:
    return _line(header), _line(["---"] * len(header))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _prose(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")


def _code(text: str) -> str:
    """Code as code; words, which mark their code themselves, as they are."""
    if not text:
        return ""
    escaped = text.replace("|", "\\|")
    is_code = set(text) & set('<[{"') and "`" not in text
    return f"`{escaped}`" if is_code else escaped


def put_into_page(page: Path) -> None:
    """The tables of the page made anew, between its two marks. Raises InvalidValue where they are missing."""
    try:
        text = page.read_text(encoding="utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, behind = rest.partition(END)
        if not (begin and end):
            raise InvalidValue(f"{page}: there is no {BEGIN!r} with {END!r} behind it")
        page.write_text(f"{before}{BEGIN}\n\n{markdown()}\n{END}{behind}", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{page}: cannot be read or written: {error}") from None
