"""One message as people read it: who got what and why, every try for each, what was wrapped, and what stayed.

Fits a terminal of 80 columns: ids are cut, and the tries are lines, not a table.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tracker.cli.common import printable, show_table
from tracker.moments import shown

SHORT_ID = 8
"""Hex digits of an id in lists: one in four thousand million is the same."""
STATUS_WORDS = "status:"
"""In front of a status in `words`: its sentence, in which `{id}` is the message's."""
_NOT_KEPT = "(not kept)"
_NOT_KEPT_NOTE = (
    "(not kept): a report to the sender of an earlier message; whom it went to is not written down with it, "
    "nor an answer that names them"
)

_HOST_AWAY_NOTE = (
    "tracking-host-away: our own tracking host did not answer when this was sent, so pixel and links were left alone; "
    "`candor doctor` says how it is now"
)


def show_message(found: dict[str, Any], words: Mapping[str, str]) -> None:
    """`words` has a sentence for each reason why something stayed as it was, and for states that want one."""
    click.echo(printable(found["subject"]))
    click.echo(printable(f"from {found['from']}, {shown(found['received_at'])}, mailing {found['mailing']}"))
    click.echo(f"id {found['id']}, {found['size']:,} octets")
    if found["tags"]:
        click.echo(printable(f"tags: {', '.join(found['tags'])}"))
    for name, value in found["metadata"].items():
        click.echo(printable(f"{name}: {value}"))
    if found["untouched"]:
        why = words.get(found["untouched"], "")
        click.echo(f"sent as it came: {found['untouched']}{why and '. '}{why}")
    click.echo("")
    rows = [
        (_name(one), one["mode"], one["reason"], one["status"], one["id"][:SHORT_ID])
        for one in found["deliveries"]
    ]
    show_table(("recipient", "mode", "reason", "status", "delivery"), rows)
    if any(_name(one) == _NOT_KEPT for one in found["deliveries"]):
        click.echo(_NOT_KEPT_NOTE)
    if any(one["reason"] == "tracking-host-away" for one in found["deliveries"]):
        click.echo(_HOST_AWAY_NOTE)
    for status in sorted({one["status"] for one in found["deliveries"]}):
        if meaning := words.get(STATUS_WORDS + status):
            sentence = f"{status}: {meaning.format(id=found['id'][:SHORT_ID])}"
            click.echo(textwrap.fill(sentence, 79, subsequent_indent="  ", break_on_hyphens=False))
    show_tries([(one["id"][:SHORT_ID], one["attempts"]) for one in found["deliveries"]])
    links = {link["number"]: link for one in found["deliveries"] for link in one["links"]}
    if links:
        wrapped = [(number, link["url"], link["text"]) for number, link in sorted(links.items())]
        show_table(("link", "leads to", "text"), wrapped)
    if found["kept"]:
        show_table(("stayed", "part", "times", "because"), [_kept_row(one, words) for one in found["kept"]])
    if found["kept_more"]:
        click.echo(f"… and {found['kept_more']} more that stayed")


def show_tries(tried: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Every try of each `(name, tries)`, first to last, and what was reported later: two short lines each."""
    if not any(tries for _, tries in tried):
        return
    click.echo("")
    click.secho("tries, and what was reported later", bold=True)
    for name, tries in tried:
        for one in tries:
            where = ", ".join(filter(None, (one["host"], one["tls"])))
            became = "bounced (expired)" if _expired(one) else one["status"]
            click.echo(printable(f"{name}  {shown(one['at'])}  {became}{where and '  '}{where}"))
            if words := answer(one):
                click.echo(printable(f"    {words}"))
    click.echo("")


def _expired(one: Mapping[str, Any]) -> bool:
    """Given up although it had only been put off."""
    return one["status"] == "bounced" and 400 <= (one["code"] or 0) < 500


def answer(one: Mapping[str, Any] | None) -> str:
    """Upstream's own words with their codes; nothing where there were none."""
    if one is None:
        return ""
    return " ".join(" ".join(str(one[key]) for key in ("code", "enhanced", "text") if one[key]).split())


def _name(one: Mapping[str, Any]) -> str:
    return str(one["recipient"] or ("(erased)" if one["erased"] else _NOT_KEPT))


def _kept_row(one: Mapping[str, Any], words: Mapping[str, str]) -> tuple[object, ...]:
    why = words.get(one["reason"], "")
    because = f"{one['reason']}: {why}" if why else one["reason"]
    return one["where"] or "–", one["part"] or "–", one["count"], because
