"""`candor rewrite --verify`: many messages rewritten and proved, and what was tracked of them and what was left."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from relay.cli.mailfiles import mail_in, read_mail
from relay.kept import is_filled_in
from relay.preview import Preview, Previewer
from relay.reasons import EXPLANATIONS, TABLE, Reason, Scope
from tracker.cli.common import printable, progress, show_table
from tracker.consent import Mode
from tracker.errors import CandorError

TRACKED, WRAPPED, LOOKED_INTO, PLACED = "tracked", "wrapped", "looked-into", "placed"
_DONE = {
    TRACKED: "pixel or links were put in",
    WRAPPED: "leads over the tracker",
    LOOKED_INTO: "a body, looked into",
    PLACED: "put in",
}


@dataclass(slots=True, kw_only=True)
class Tally:
    """Sums over messages. Parts, links and pixels are those of messages that were looked into."""

    messages: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    links: Counter[str] = field(default_factory=Counter)
    pixels: Counter[str] = field(default_factory=Counter)
    had_bare_lf: int = 0
    were_html: int = 0
    skipped: int = 0
    octets: int = 0
    changed: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, preview: Preview) -> None:
        plan, verification = preview.plan, preview.verification
        tracked = preview.has_pixel or bool(preview.wrapped)
        untracked = (
            preview.decision.reason if preview.decision.mode is Mode.UNTRACKED else Reason.LINE_TOO_LONG
        )
        self.messages[TRACKED if tracked else str(untracked)] += 1
        self.parts.update(part.reason or LOOKED_INTO for part in plan.parts)
        self.links[WRAPPED] += len(preview.wrapped)
        left = [one for one in plan.kept if TABLE[one.reason].scope is Scope.LINK]
        self.links.update(one.reason for one in left if not is_filled_in(one))
        self.links[Reason.LINE_TOO_LONG] += (
            len(plan.links) - len(preview.wrapped) if preview.decision.clicks else 0
        )
        if tracked:
            self.pixels[PLACED if preview.has_pixel else _why_no_pixel(preview)] += 1
        self.octets += len(preview.data)
        self.changed += verification.octets
        self.problems += [
            {"file": name, "part": one.part, "line": one.line, "problem": one.text}
            for one in verification.problems
        ]
        if plan.untouched is Reason.INTERNAL_ERROR:
            self.complain(name, EXPLANATIONS[Reason.INTERNAL_ERROR])

    def complain(self, name: str, problem: str) -> None:
        self.problems.append({"file": name, "part": "", "line": 0, "problem": problem})

    def as_json(self) -> dict[str, Any]:
        return {
            "files": self.messages.total(),
            "skipped": self.skipped,
            "had_bare_lf": self.had_bare_lf,
            "were_html": self.were_html,
            "bytes": {"changed": self.changed, "of": self.octets},
            "messages": _shares(self.messages),
            "parts": _shares(self.parts),
            "links": _shares(self.links),
            "pixels": _shares(self.pixels),
            "problems": self.problems,
        }


def _why_no_pixel(preview: Preview) -> str:
    scoped = (one.reason for one in preview.plan.kept if TABLE[one.reason].scope is Scope.PIXEL)
    if preview.decision.opens:
        return next(scoped, Reason.LINE_TOO_LONG)
    if not preview.plan.has_pixel_place:
        return next(scoped, Reason.NO_HTML)
    return preview.decision.reason


def _shares(counted: Counter[str]) -> list[dict[str, Any]]:
    whole = counted.total()
    return [
        {"what": str(what), "count": count, "share": count / whole, "explanation": _words(what)}
        for what, count in counted.most_common()
        if count
    ]


def _words(what: str) -> str:
    try:
        return _DONE.get(what) or EXPLANATIONS[Reason(what)]
    except ValueError:
        return "decided for the recipient"


def prove(paths: Sequence[Path], previewer: Previewer) -> Tally:
    """Each message rewritten and held against what it was. Raises CandorError for what is no file."""
    files = list(mail_in(paths))
    tally = Tally(skipped=files.count(None))
    with progress("verifying", len(files)) as advance:
        for file in filter(None, files):
            _prove_one(file, previewer, tally)
            advance(1)
    return tally


def _prove_one(path: Path, previewer: Previewer, tally: Tally) -> None:
    try:
        file = read_mail(path)
    except CandorError as error:
        tally.complain(str(path), str(error))
        return
    tally.had_bare_lf += file.had_bare_lf
    tally.were_html += file.was_html
    try:
        tally.add(file.name, previewer.preview(file.data))
    except Exception as error:  # noqa: BLE001 - a proof that breaks down is none, and the others go on
        tally.complain(file.name, f"the proof broke down: {type(error).__name__}: {error}")


def show_tally(tally: Tally) -> None:
    """The sums as tables, what was wrong last."""
    found = tally.as_json()
    for what in ("messages", "parts", "links", "pixels"):
        if found[what]:
            show_table((what, "number", "share", "that is"), _rows(found[what]))
    if tally.skipped:
        click.echo(f"{tally.skipped} files are no mail and were skipped")
    if tally.had_bare_lf:
        click.echo(
            f"{tally.had_bare_lf} files had bare LF line ends, which were read as CRLF, as mail is sent"
        )
    if tally.were_html:
        click.echo(f"{tally.were_html} HTML files were taken as bodies of messages, as UTF-8")
    click.echo(f"{tally.changed:,} of {tally.octets:,} bytes changed")
    for one in tally.problems:
        place = f", part {one['part']}, line {one['line']}" if one["part"] else ""
        click.echo(printable(f"{one['file']}{place}: {one['problem']}"), err=True)
    verdict = f"{len(tally.problems)} differences" if tally.problems else "no difference but what may differ"
    click.echo(f"{found['files']} messages: {verdict}", err=bool(tally.problems))
    sys.stdout.flush()


def _rows(shares: Iterable[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [(one["what"], f"{one['count']:,}", f"{one['share']:.1%}", one["explanation"]) for one in shares]
