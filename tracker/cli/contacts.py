"""`candor contact …`: who is known, and what they said."""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tracker.cli.common import (
    CommandError,
    be_sure,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.cli.imports import import_
from tracker.cli.listing import list_
from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.errors import CandorError, InvalidValue
from tracker.moments import isoformat
from tracker.statements import parse_statement
from tracker.store.contacts import Person
from tracker.store.register import Effect, Recorded, Source
from tracker.store.rights import Anonymized


@click.group()
def contact() -> None:
    """People and their consent."""


@contact.command("set")
@click.argument("address")
@click.argument("values", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--as-of", help="When the person said it (ISO 8601 with time zone); now, when left out.")
@click.option(
    "--evidence", multiple=True, metavar="KEY=VALUE", help="Proof, e.g. form=https://… (repeatable)."
)
@json_option
@config_option
def set_(
    address: str,
    values: tuple[str, ...],
    as_of: str | None,
    evidence: tuple[str, ...],
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Record what a person said.

    Keys: tracking_consent (granted, denied, withdrawn, unknown), do_not_track (true, false, unset), country,
    group, and any attribute of your own.
    """
    try:
        fields = _pairs(values) | ({"as_of": as_of} if as_of else {})
        statement = parse_statement(address, fields, evidence=_pairs(evidence))
    except CandorError as error:
        raise CommandError(error) from error

    async def work(domain: Domain) -> Recorded:
        now = datetime.now(UTC)
        (recorded,) = await domain.register.record([statement], source=Source.CLI, actor=_actor(), now=now)
        return recorded

    recorded = with_domain(config_file, work, without="make")
    if as_json:
        show_json({"address": recorded.address, "effect": recorded.effect, "reason": recorded.reason})
    else:
        click.echo(
            f"{recorded.address}: {recorded.effect}" + (f" ({recorded.reason})" if recorded.reason else "")
        )
    if recorded.effect is Effect.NOT_EFFECTIVE:
        raise SystemExit(1)


@contact.command()
@click.argument("address")
@json_option
@config_option
def show(address: str, as_json: bool, config_file: Path | None) -> None:
    """Show what is kept of one person."""
    person = with_domain(config_file, lambda domain: domain.contacts.show(address))
    shown = _shown(person)
    if as_json:
        show_json(shown)
    else:
        show_table(
            ("what", "value"), [(key, value) for key, value in shown.items() if value not in (None, {})]
        )


@contact.command()
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def erase(address: str, yes: bool, config_file: Path | None) -> None:
    """Erase a person: events, ledger content and address go, a keyed hash stays so that nobody tracks them again."""
    if not yes:
        be_sure(f"Erase {address}? This cannot be undone")

    async def work(domain: Domain) -> tuple[int, dict[str, Any]]:
        now = datetime.now(UTC)
        removed = await domain.erasure.erase(address, actor=_actor(), now=now)
        return removed, await domain.rights.export(address, now)

    removed, left = with_domain(config_file, work)
    click.echo(f"erased, with {_number(removed, 'event')}")
    if waiting := left.get("queue"):
        click.echo(
            f"{_number(len(waiting), 'message')} to them still wait{'s' if len(waiting) == 1 else ''} in the queue: "
            "sent untracked, then forgotten",
            err=True,
        )


@contact.command()
@click.argument("address")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write it to a file, which nobody else on this machine may read.",
)
@config_option
def export(address: str, output: Path | None, config_file: Path | None) -> None:
    """Print everything that is kept of one person, as JSON (GDPR art. 15 and 20).

    Contact, what they said, every delivery with its message, attempts and events, what waits in the queue, requests.
    Of an erased person it says so, and what little stays.
    """
    found = with_domain(config_file, lambda domain: domain.rights.export(address, datetime.now(UTC)))
    if output is None:
        show_json(found)
        return
    try:
        _write_private(output, json.dumps(found, indent=2) + "\n")
    except OSError as error:
        raise CommandError(InvalidValue(f"{output}: cannot be written: {error.strerror}")) from None
    deliveries = found.get("deliveries", [])
    events = sum(len(one["events"]) for one in deliveries)
    what = f"{_number(len(deliveries), 'delivery')}, {_number(events, 'event')}"
    said = "the person was erased" if found["status"] == "erased" else what
    click.echo(printable(f"{said}: written to {output}"))


@contact.command()
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@config_option
def anonymize(address: str, yes: bool, as_json: bool, config_file: Path | None) -> None:
    """Cut a person loose from what they did: past events become counts without a name, and do_not_track is set."""
    if not yes:
        be_sure(f"Anonymise what {address} did? This cannot be undone")

    async def work(domain: Domain) -> Anonymized:
        now = datetime.now(UTC)
        return await domain.rights.anonymize(address, source=Source.CLI, actor=_actor(), now=now)

    found = with_domain(config_file, work)
    if as_json:
        show_json({"events": found.events, "deliveries": found.deliveries, "do_not_track": "true"})
    else:
        events = _number(found.events, "event")
        click.echo(
            f"do_not_track is true; {events} of {_number(found.deliveries, 'delivery')} made anonymous"
        )


contact.add_command(import_)
contact.add_command(list_)


def _number(number: int, what: str) -> str:
    plural = f"{what.removesuffix('y')}ies" if what.endswith("y") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o600)  # one that was there before, too
        file.write(text)


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise InvalidValue(f"{value!r}: expected KEY=VALUE")
        if any("\ud800" <= character <= "\udfff" for character in value):  # how Python passes such octets on
            raise InvalidValue(f"{value!r}: not UTF-8")
        pairs[key] = text
    return pairs


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"


def _shown(person: Person) -> dict[str, Any]:
    return {
        "address": person.address,
        "status": "erased" if person.erased else "active",
        "tracking_consent": Consent(person.consent),
        "consent_as_of": isoformat(person.consent_as_of) if person.consent_as_of else None,
        "consent_source": person.consent_source,
        "do_not_track": DoNotTrack(person.do_not_track),
        "country": person.country,
        "group": person.group,
        "attributes": person.attributes,
        "last_open_day": person.last_open_day,
        "created_at": isoformat(person.created_at),
    }
