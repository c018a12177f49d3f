"""`candor demo`: the main job, worked through before one's eyes. Mail is captured, nothing leaves the machine."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

import aiohttp
import aiosmtplib
import click

from relay.capture import captured
from relay.cli.serve import MailNumbers
from relay.config import Config, RelayTable, UpstreamTable
from relay.demonstration.arrangements import arranged
from relay.demonstration.seeding import Lived, seed
from relay.originals import Originals
from relay.service import Relay, desk
from tracker import log
from tracker.admin.navigation import GROUPS
from tracker.cli.common import CommandError, run, show_table
from tracker.cli.figures import show_figures
from tracker.cli.reports import show_message_report
from tracker.cli.serve import Faces, until_stopped
from tracker.config import AdminTable, StoreTable, TokensTable, TrackerTable
from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.jobs import nightly
from tracker.reports.message import report_message
from tracker.reports.overview import overview
from tracker.statements import Statement
from tracker.store.register import Source
from tracker.verdict import TOO_SOON

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SENDER = "news@shop.example"
_EXAMPLE = "people.example"
_PIXEL = re.compile(r'src="?(http://[^">\s]+/o/[^">\s]+)')
_LINK = re.compile(r'href="?(http://[^">\s]+/c/[^">\s]+)')
_PAGE = re.compile(r"(http://[^\s\">]+/p/[A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """Somebody with something to say about tracking."""

    name: str
    story: str
    consent: Consent | None = None
    do_not_track: DoNotTrack | None = None
    erased: bool = False

    @property
    def address(self) -> str:
        return f"{self.name}@{_EXAMPLE}"


PERSONAS = (
    Persona(name="grace", story="agreed to tracking", consent=Consent.GRANTED),
    Persona(name="dennis", story="declined", consent=Consent.DENIED),
    Persona(name="wilma", story="agreed once, withdrew since", consent=Consent.WITHDRAWN),
    Persona(name="uma", story="never said anything (unknown)"),
    Persona(
        name="donna", story="agreed, but not by name", consent=Consent.GRANTED, do_not_track=DoNotTrack.TRUE
    ),
    Persona(name="earl", story="asked to be erased", erased=True),
)


@click.command()
@click.option(
    "--keep", "folder", type=click.Path(file_okay=False, path_type=Path), help="Keep the data in this folder."
)
@click.option("--rich", is_flag=True, help="A month of a whole company's mail, for the operator's pages.")
@click.option("--no-wait", is_flag=True, help="End when all is said, also on a terminal.")
def demo(folder: Path | None, rich: bool, no_wait: bool) -> None:
    """Show the main job working: six people, one mail, and what is (not) measured of each.

    With --rich: a month of mail of a company with three brands, so that every page of the operator has something to
    show. Everything runs in this process on loopback with SQLite, in a folder of its own; mail is captured in a Maildir.
    On a terminal the pages stay open until Ctrl-C.
    """
    log.configure("readable", "error")
    waits = sys.stdout.isatty() and not no_wait
    show = _month if rich else _demo
    try:
        if folder is not None:
            run(show(folder, waits))
        else:
            with tempfile.TemporaryDirectory(prefix="candor-demo-") as temporary:
                run(show(Path(temporary), waits))
    except CandorError as error:
        raise CommandError(error) from error


async def _month(folder: Path, waits: bool) -> None:
    """A month that was, and its pages."""
    if (folder / "candor.db").exists():
        raise CandorError(
            f"{folder} holds a store already: the month goes into a folder of its own, so name one that is empty"
        )
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    config = arranged(_config(folder))
    _say("A month of mail")
    click.echo("   Lived through by the relay and the tracker themselves; this takes some seconds.")
    lived: list[Lived] = []

    async def live(domain: Domain) -> None:
        lived.append(await seed(domain, config, folder, now=datetime.now(UTC)))

    async with _running(config, live) as domain:
        for one in lived:
            click.echo(f"   {', '.join(one.brands)}: {one.people} people, {one.copies} copies delivered\n")
        until = datetime.now(UTC)
        found = await overview(domain, since=until - timedelta(days=31), until=until)
        show_figures(found.now.figures)
        if waits:
            _say("Pages to visit")
            for entry in (entry for group in GROUPS for entry in group.entries):
                click.echo(f"   {entry.title:<14} http://{config.admin.listen}{entry.href}")
            click.echo(f"   {'mailboxes':<14} {folder / 'captured'}  (a Maildir: what is sent from now on)")
            click.echo("\nCtrl-C ends it.")
            await until_stopped()


async def _demo(folder: Path, waits: bool) -> None:
    config = _config(folder)
    async with _running(config) as domain:
        _say("1. People, and what they said")
        await _tell(domain)
        show_table(("person", "story"), [(one.address, one.story) for one in PERSONAS])

        _say("2. One mail to all six, by SMTP")
        reply = await _send(config)
        click.echo(f"   the relay answered: {reply}\n")
        kept = await asyncio.to_thread(captured, folder / "captured")
        copies = {person: _html(copy) for person, copy in kept}
        show_table(
            ("person", "received"), [(one.address, _describe(copies[one.address])) for one in PERSONAS]
        )

        click.echo(
            f'   Uma never said anything, so [consent] unknown = "{config.consent.unknown}" decided for her. Where consent'
            ' must come\n   first, set it to "deny": then her copy is like Dennis\'s.'
        )

        _say("3. Grace, Uma and Donna open it and follow a link; so does Dennis")
        await _wait_until_read()
        for name in ("grace", "uma", "donna", "dennis"):
            click.echo(f"   {name}: {await _read(copies[f'{name}@{_EXAMPLE}'])}")

        _say("4. Grace changes her mind, and follows the old link again")
        click.echo(f"   her page says: {await _decline(copies[f'grace@{_EXAMPLE}'])}")
        click.echo(f"   her link: {await _click(copies[f'grace@{_EXAMPLE}'])}")

        _say("5. What is on record")
        (message,) = await domain.deliveries.list(limit=1)
        message_id = bytes.fromhex(message["id"])
        rows = [
            (one["kind"], one["recipient"], one["url"] or "", one["verdict"])
            for one in await domain.events.list()
        ]
        show_table(("event", "person", "link", "verdict"), rows)
        show_message_report(await report_message(domain, message_id))
        click.echo(
            f"\nDonna is counted in no cell of her own: fewer than {config.anonymity.min_group} people were asked to be"
            " counted anonymously, so she is part of the sender's month."
        )
        if waits:
            await _stay(config, folder, copies)


@asynccontextmanager
async def _running(
    config: Config, before: Callable[[Domain], Awaitable[None]] | None = None
) -> AsyncIterator[Domain]:
    """Relay, worker, tracker and SQLite in this process. `before`: what is to happen first, with nobody listening."""
    domain = await Domain.open(config)
    numbers = MailNumbers()
    numbers.sheet.take(0)
    service = Relay(config, domain, metrics=numbers.mail)
    previews = Originals(domain, config)
    faces = Faces(domain, numbers, service.look, previews=previews, desk=desk(domain, service))
    jobs = nightly(domain)
    try:
        if before is not None:
            await before(domain)
        await faces.start()
        await service.start()
        jobs.start()
        yield domain
    finally:
        await jobs.stop()
        await service.stop()
        await faces.stop()
        await domain.close()


def _config(folder: Path) -> Config:
    web = _free_port(8080)
    return Config(
        relay=RelayTable(listen=f"127.0.0.1:{_free_port(2525)}", hostname="relay.example"),
        upstream=UpstreamTable(url=f"capture:{folder / 'captured'}"),
        tracker=TrackerTable(
            listen=f"127.0.0.1:{web}",
            public_url=f"http://127.0.0.1:{web}",
            journal=str(folder / "journal"),
        ),
        admin=AdminTable(listen=f"127.0.0.1:{_free_port(8081)}"),
        store=StoreTable(url=f"sqlite:///{folder / 'candor.db'}"),
        tokens=TokensTable(keys_file=str(folder / "keys.toml")),
    )


def _free_port(wanted: int) -> int:
    """The wanted port, or any other that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CandorError("there is no free port on 127.0.0.1")


async def _tell(domain: Domain) -> None:
    now = datetime.now(UTC)
    said = [
        Statement(
            address=one.address,
            consent=one.consent,
            do_not_track=one.do_not_track,
            evidence={"form": "the demo's sign-up form"},
        )
        for one in PERSONAS
        if one.consent is not None
    ]
    await domain.register.record(said, source=Source.API, actor="demo", now=now)
    for one in PERSONAS:
        if one.erased:
            await domain.erasure.erase(one.address, actor="demo", now=now)


async def _send(config: Config) -> str:
    host, _, port = config.relay.listen.rpartition(":")
    client = aiosmtplib.SMTP(hostname=host, port=int(port), use_tls=False, start_tls=False)
    async with client:
        _, reply = await client.sendmail(SENDER, [one.address for one in PERSONAS], _mail().as_bytes())
    return reply


def _mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"The Shop <{SENDER}>"
    message["To"] = "Friends of the shop <friends@shop.example>"
    message["Subject"] = "Apples are here"
    message["X-Candor-Campaign"] = "apples"
    message["X-Candor-Tag"] = "autumn"
    message.set_content(
        "Apples are here: https://shop.example/apples\n\nYour choice: {{tracking_preferences_url}}\n"
    )
    message.add_alternative(
        '<!doctype html>\n<html><body>\n<h1>Apples are here</h1>\n<p><a href="https://shop.example/apples?kind=russet&amp;'
        'box=2">See the apples</a> or <a href="https://shop.example/stories">read a story</a>.</p>\n'
        '<p><a href="{{tracking_preferences_url}}">May we see whether you read this?</a></p>\n</body></html>\n',
        subtype="html",
    )
    return message


def _html(copy: bytes) -> str:
    """What a mail program would show."""
    body = BytesParser(policy=default).parsebytes(copy).get_body(("html",))
    return str(body.get_content()) if body is not None else ""


def _describe(copy: str) -> str:
    links, pixel = len(_LINK.findall(copy)), bool(_PIXEL.search(copy))
    if not links and not pixel:
        return "no pixel, no wrapped link"
    return f"{'a pixel' if pixel else 'no pixel'}, {links} wrapped links"


async def _wait_until_read() -> None:
    """Nobody reads a mail in the moment it arrives, and whoever seems to is taken for a machine."""
    await asyncio.sleep(TOO_SOON + 0.2)


async def _read(copy: str) -> str:
    """Loads the pixel and follows the first link, as a mail program would."""
    pixel = _PIXEL.search(copy)
    if pixel is None:
        return "sees the mail as it was written; there is nothing to load, and the links lead straight on"
    async with (
        aiohttp.ClientSession(headers={"User-Agent": BROWSER}) as browser,
        browser.get(pixel[1]) as response,
    ):
        octets = len(await response.read())
    return f"pixel of {octets} octets, link leads to {await _click(copy)}"


async def _click(copy: str) -> str:
    link = _LINK.search(copy)
    if link is None:
        return "is not wrapped"
    async with (
        aiohttp.ClientSession(headers={"User-Agent": BROWSER}) as browser,
        browser.get(link[1], allow_redirects=False) as response,
    ):
        return f"{response.headers['Location']} ({response.status})"


async def _decline(copy: str) -> str:
    page = _PAGE.search(copy)
    if page is None:
        raise CandorError("the demo's mail has no preference link")
    async with (
        aiohttp.ClientSession() as browser,
        browser.post(page[1], data={"choice": "decline"}) as response,
    ):
        said = re.search(r'role="status">([^<]+)<', await response.text())
    return said[1] if said else f"status {response.status}"


async def _stay(config: Config, folder: Path, copies: dict[str, str]) -> None:
    """The pages stay open until somebody ends it."""
    pages = [(one.address, page[1]) for one in PERSONAS if (page := _PAGE.search(copies[one.address]))]
    _say("Pages to visit")
    for address, url in pages:
        click.echo(f"   {address}\n     {url}")
    click.echo(f"   health     http://{config.admin.listen}/healthz")
    click.echo(f"   mailboxes  {folder / 'captured'}  (a Maildir: mutt -f opens it)")
    click.echo(
        f"   relay      {config.relay.listen}  (send it something: swaks --server {config.relay.listen} …)"
    )
    click.echo("\nCtrl-C ends it.")
    await until_stopped()


def _say(text: str) -> None:
    click.secho(f"\n{text}\n", bold=True)
