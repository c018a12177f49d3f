"""`candor doctor`: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import click

from relay.cli import findings
from relay.cli.records import Names
from relay.config import Config, load
from relay.findings import at_once
from relay.service import checked
from tracker import keyring, log
from tracker.cli.common import CommandError, config_option, json_option, printable, run, show_json
from tracker.config import parse_listen
from tracker.desk import Finding, Found
from tracker.errors import CandorError, KeyRingError, StoreError

_MARKS = {
    Finding.OK: ("ok", "green"),
    Finding.WARNING: ("warning", "yellow"),
    Finding.WRONG: ("WRONG", "red"),
}


def _nameserver(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        parse_listen(value or "127.0.0.1:53")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


@click.command()
@click.option("--no-dns", is_flag=True, help="Ask DNS nothing about DKIM, SPF, DMARC and MX.")
@click.option(
    "--nameserver", default="", callback=_nameserver, help="Ask this one (host:port) instead of the system's."
)
@json_option
@config_option
def doctor(no_dns: bool, nameserver: str, as_json: bool, config_file: Path | None) -> None:
    """Look at everything that mail and links need: configuration, keys, store, disk, clock, upstream, the tracking host
    from outside, DKIM and DNS. Sends no mail. Exit code 1 when something is wrong.
    """
    try:
        config = load(config_file)
        checked(config)
    except CandorError as error:
        raise CommandError(error) from error
    log.configure(config.log.format, "error", lasting=False)
    names = None if no_dns else Names(nameserver)
    found = run(_examined(config, names, show=not as_json))
    if as_json:
        show_json(
            [
                {"about": one.about, "state": one.state, "found": one.found, "advice": one.advice}
                for one in found
            ]
        )
    if any(one.state is Finding.WRONG for one in found):
        raise SystemExit(1)


async def _examined(config: Config, names: Names | None, *, show: bool) -> list[Found]:
    found: list[Found] = []

    def note(one: Found) -> None:
        found.append(one)
        if show:
            _show(one)

    for one in at_once(config):
        note(one)
    domain, of_store = await findings.of_store(config)
    for one in of_store:
        note(one)
    async for one in findings.of_upstream(config):
        note(one)
    try:
        ring = domain.ring if domain is not None else keyring.load(Path(config.tokens.keys_file))
        async for one in findings.of_tracking_hosts(config, ring, domain):
            note(one)
    except StoreError as error:
        note(_store_away(error))
    except KeyRingError:
        pass  # said above, and without keys there is no link to ask for
    finally:
        if domain is not None:
            await domain.close()
    for one in findings.of_names(config, names) if names is not None else ():
        note(one)
    return found


def _store_away(error: StoreError) -> Found:
    return Found(about="store", state=Finding.WRONG, found=str(error), advice="look at its disk and its log")


def _show(one: Found) -> None:
    word, colour = _MARKS[one.state]
    click.echo(f"{click.style(f'{word:8}', fg=colour)} {printable(one.about)}: {printable(one.found)}")
    if one.advice:
        click.echo(f"{'':9}→ {printable(one.advice)}")
