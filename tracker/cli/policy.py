"""`candor policy show` and `candor explain`: what the rules say, and what follows from them for one person."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tracker.address import normalize
from tracker.cli.common import CommandError, config_option, json_option, show_json, show_table, with_domain
from tracker.config import RELAY_TABLES, Config, load
from tracker.consent import Question, Reading, Step, steps
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.policy import CLASSES, PRESETS, Policy, Rule, circumstances
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
        configured = load(config_file, Config, foreign=RELAY_TABLES).consent.policy()
    except CandorError as error:
        raise CommandError(error) from error
    rules = [*configured.rules, *(rule for name in configured.presets for rule in PRESETS[name])]
    if as_json:
        show_json({"rules": [*map(_as_json, rules)], "otherwise": _otherwise(configured)})
        return
    rows = [(n, rule.name, _fits(rule), *_says(rule)) for n, rule in enumerate(rules, 1)]
    rest = f"unset do_not_track reads as {'true' if configured.do_not_track_unset else 'false'}"
    rows.append((len(rows) + 1, "[consent]", _EVERYBODY, str(configured.unknown), rest))
    show_table(("", "rule", "for", "unknown", "also"), rows)
    if configured.presets:
        click.echo(
            "Whose country is not known gets the least that any of the presets gives. A preset without a country is "
            "for whom no other covers.\nPresets are built to follow the regulators' texts; they are no legal advice."
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

    async def work(domain: Domain) -> tuple[list[Step], Reading]:
        normal = normalize(address)
        contact = (
            (await domain.contacts.ask((normal,)))[normal]
            if moment is None
            else await domain.register.held_at(normal, moment)
        )
        about = circumstances(contact, address=normal, sender=author, message_class=message_class)
        reading = domain.policy.reading(about)
        return list(steps(Question(contact=contact, reading=reading))), reading

    found, reading = with_domain(config_file, work)
    decision = found[-1].decision
    assert decision is not None  # noqa: S101 - the last step carries it
    if as_json:
        show_json(
            {
                "at": (moment or datetime.now(UTC)).isoformat(),
                "mode": decision.mode,
                "reason": decision.reason,
                "opens": decision.opens,
                "clicks": decision.clicks,
                "rule": reading.source,
                "steps": [{"asked": step.asked, "found": step.found} for step in found],
            }
        )
        return
    rows = [
        (n, step.asked, step.found, step.decision.mode if step.decision else "")
        for n, step in enumerate(found, 1)
    ]
    show_table(("", "asked", "found", "mode"), rows)
    click.echo(f"{decision.mode}: {decision.reason}")


_CRITERIA = ("countries", "domains", "groups", "senders", "classes")


def _fits(rule: Rule) -> str:
    said = [f"{name}: {', '.join(getattr(rule, name))}" for name in _CRITERIA if getattr(rule, name)]
    return "; ".join(said) or _EVERYBODY


def _says(rule: Rule) -> tuple[str, str]:
    also = []
    if rule.do_not_track_unset is not None:
        also.append(f"unset do_not_track reads as {'true' if rule.do_not_track_unset else 'false'}")
    if rule.withdrawal_link:
        also.append("tracked only if the mail carries {{tracking_preferences_url}}")
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
