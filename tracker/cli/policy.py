"""`candor policy show` and `candor explain`: what the rules say, and what follows from them for one person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from tracker.address import normalize
from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.config import RELAY_TABLES, Config, load
from tracker.consent import Decision, Mode, Question, Reading, Step, steps
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.policy import CLASSES, PRESETS, Circumstances, Policy, Rule, circumstances
from tracker.statements import parse_moment

_EVERYBODY = "everybody"


@click.group()
def policy() -> None:
    """The rules for people who have said nothing."""


@policy.command()
@json_option
@config_option
def show(as_json: bool, config_file: Path | None) -> None:
    """Print every rule in effect, in the order they are asked.

    The first rule of your own that fits decides, then the presets by the person's country, then [consent]. None of
    them can lift a refusal.
    """
    try:
        config = load(config_file, Config, foreign=RELAY_TABLES)
    except CandorError as error:
        raise CommandError(error) from error
    configured = config.consent.policy()
    rules = [*configured.rules, *(rule for name in configured.presets for rule in PRESETS[name])]
    if as_json:
        show_json({"rules": [*map(_as_json, rules)], "otherwise": _otherwise(configured)})
        return
    rows = [
        (n, rule.name, _fits(rule), *_says(rule, footer=config.preferences.footer))
        for n, rule in enumerate(rules, 1)
    ]
    rest = f"unset do_not_track reads as {'true' if configured.do_not_track_unset else 'false'}"
    rows.append((len(rows) + 1, "[consent]", _EVERYBODY, str(configured.unknown), rest))
    show_table(("", "rule", "for", "of whom nothing is known", "also"), rows)
    if configured.presets:
        click.echo(
            "People whose country is not known get the least that any of the presets or [consent] gives. "
            "A preset without countries is for people whom no preset of a country covers.\n"
            "Presets are built to follow the regulators' texts; they are no legal advice."
        )


@click.command()
@click.argument("address")
@click.option("--from", "sender", default="", help="The author's address, for rules about senders.")
@click.option("--class", "message_class", type=click.Choice(CLASSES), help="The kind of mail.")
@click.option("--at", help="With consent as it was then (ISO 8601 with time zone); now, when left out.")
@json_option
@config_option
def explain(
    address: str,
    sender: str,
    message_class: str | None,
    at: str | None,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Show, step by step, what would be measured of a mail to ADDRESS.

    With --at, consent is what the register knew at that time; country, group and the policy are today's.
    """
    try:
        moment = parse_moment("--at", at) if at is not None else None
        author = normalize(sender) if sender else ""
    except CandorError as error:
        raise CommandError(error) from error

    async def work(domain: Domain) -> Explained:
        normal = normalize(address)
        contact = (
            (await domain.contacts.ask((normal,)))[normal]
            if moment is None
            else await domain.register.held_at(normal, moment)
        )
        about = circumstances(contact, address=normal, sender=author, message_class=message_class)
        reading = domain.policy.reading(about)
        footer = domain.config.preferences.footer
        return Explained(about, reading, list(steps(Question(contact=contact, reading=reading))), footer)

    found = with_domain(config_file, work)
    if as_json:
        show_json({"at": (moment or datetime.now(UTC)).isoformat(), **_explained(found)})
    else:
        _show_explained(found)


class Explained(NamedTuple):
    """What a decision was made of, and its steps."""

    about: Circumstances
    reading: Reading
    steps: list[Step]
    footer: bool
    """A withdrawal link that is missing is put in."""

    @property
    def decision(self) -> Decision:
        decision = self.steps[-1].decision
        assert decision is not None  # noqa: S101 - the last step carries it
        return decision


def _explained(found: Explained) -> dict[str, Any]:
    decision = found.decision
    return {
        "mode": decision.mode,
        "reason": decision.reason,
        "opens": decision.opens,
        "clicks": decision.clicks,
        "rule": found.reading.source,
        "withdrawal_link": found.reading.withdrawal_link,
        "steps": [{"asked": step.asked, "found": step.found} for step in found.steps],
    }


def _show_explained(found: Explained) -> None:
    rows = [
        (n, step.asked, step.found, step.decision.mode if step.decision else "")
        for n, step in enumerate(found.steps, 1)
    ]
    show_table(("", "asked", "found", "mode"), rows)
    decision, about = found.decision, found.about
    click.echo(f"{decision.mode} ({decision.reason}): {_MEANS[decision.mode]}")
    author = about.sender or "any author (--from says which)"
    kind = about.message_class or "marketing, as without X-Candor-Class (--class says otherwise)"
    click.echo(printable(f"Assumed: HTML mail that may be changed, from {author}; {kind}."))
    if found.reading.withdrawal_link and decision.mode is not Mode.UNTRACKED:
        without = (
            "has it put in as a footer ([preferences] footer), and is not tracked where there is no place for one"
            if found.footer
            else "is not tracked; [preferences] footer = true puts it in"
        )
        click.echo(f"The mail has to carry {{{{tracking_preferences_url}}}}. Mail without it {without}.")


_MEANS = {
    Mode.UNTRACKED: "nothing is measured, the mail goes out without pixel and wrapped links",
    Mode.HYGIENE: "a pixel; only the day of the last open is kept",
    Mode.AGGREGATE: "a pixel that is the same for everybody; opens are counted for the whole mailing",
    Mode.ANONYMOUS: "a pixel and wrapped links; they are counted without a name",
    Mode.IDENTIFIED: "a pixel and wrapped links; opens and clicks are kept with the person",
}


_CRITERIA = ("countries", "domains", "groups", "senders", "classes")


def _fits(rule: Rule) -> str:
    said = [f"{name}: {', '.join(getattr(rule, name))}" for name in _CRITERIA if getattr(rule, name)]
    return "; ".join(said) or _EVERYBODY


def _says(rule: Rule, *, footer: bool) -> tuple[str, str]:
    also = []
    if rule.do_not_track_unset is not None:
        also.append(f"unset do_not_track reads as {'true' if rule.do_not_track_unset else 'false'}")
    if rule.withdrawal_link:
        otherwise = ", in a footer if need be" if footer else ""
        also.append(f"tracked only if the mail carries {{{{tracking_preferences_url}}}}{otherwise}")
    if not rule.device:
        also.append("no device kept")
    if not rule.place:
        also.append("no country kept")
    return str(rule.unknown or "(left open)"), "; ".join(also)


def _as_json(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        **{name: list(getattr(rule, name)) for name in _CRITERIA},
        "unknown": rule.unknown,
        "do_not_track_unset": rule.do_not_track_unset,
        "withdrawal_link": rule.withdrawal_link,
        "keep_device": rule.device,
        "keep_place": rule.place,
    }


def _otherwise(configured: Policy) -> dict[str, Any]:
    return {"unknown": configured.unknown, "do_not_track_unset": configured.do_not_track_unset}
