"""`candor tracker`: the public listener and the operator's, without anything of mail."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from tracker import log
from tracker.admin.app import AdminFace
from tracker.cli.common import CommandError, config_option, holders_beside, run
from tracker.cli.signals import Reloading, Signals
from tracker.config import RELAY_TABLES, Config, load, parse_listen
from tracker.domain import Domain
from tracker.errors import CandorError, ConfigError
from tracker.jobs import nightly
from tracker.keyring import load as load_keys
from tracker.keywatch import KeyWatch
from tracker.processes import MOST_WORKERS, Parent, Ties, claim
from tracker.reload import TRACKER_CHANGES
from tracker.web.app import PublicFace
from tracker.web.linksonly import LinksFace

T = TypeVar("T")

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=1,
    show_default=True,
    help="Processes that share the port.",
)


@click.command()
@click.option(
    "--links-only",
    is_flag=True,
    help="Lead links on with nothing but the key file: no store, nothing is counted.",
)
@workers_option
@config_option
def tracker(config_file: Path | None, workers: int, links_only: bool) -> None:
    """Serve pixels, redirects and preference pages."""

    def read() -> Config:
        return load(config_file, Config, foreign=RELAY_TABLES)

    def program(ties: Ties | None) -> Coroutine[Any, Any, None]:
        if links_only:
            return serve_links(reloading.config, read, ties, workers=workers)
        return serve(reloading.config, read, ties, workers=workers, admin=ties is None or ties.number == 0)

    def start() -> Reloading[Config]:
        config = read()
        log.configure(config.log.format, config.log.level)
        return Reloading(config, read, TRACKER_CHANGES, lambda _: None)

    reloading = starting(start)
    if workers == 1:
        starting(lambda: run(program(None)))
        return
    parent = Parent(
        work=lambda ties: exit_code(lambda: run(program(ties))),
        workers=workers,
        prepare=lambda: exit_code(
            lambda: run(prepare(reloading.config, reloading.config.tracker.listen, store=not links_only))
        ),
        reload=reloading.now,
    )
    raise SystemExit(parent.run())


async def serve(
    config: Config, read: Callable[[], Config], ties: Ties | None, *, workers: int, admin: bool
) -> None:
    """The tracker's faces until somebody stops them: alone, or as one worker of several."""
    if ties is not None:
        log.speaker.worker = ties.number
    signals = Signals(ties)
    domain = await Domain.open_patiently(config)
    domain.holders.extend(holders_beside())
    faces, jobs = Faces(domain, admin=admin), nightly(domain)
    try:
        await faces.start(share_port=workers > 1)
        jobs.start()
        if ties is not None:
            ties.ready()
        quiet = ties is not None
        await signals.until_stopped(Reloading(config, read, TRACKER_CHANGES, domain.reconfigure, quiet=quiet))
    finally:
        await jobs.stop()
        await faces.stop()
        await domain.close()


async def serve_links(config: Config, read: Callable[[], Config], ties: Ties | None, *, workers: int) -> None:
    """Links alone, until somebody stops it."""
    if ties is not None:
        log.speaker.worker = ties.number
    signals = Signals(ties)
    face = LinksFace(config)
    try:
        await face.start(share_port=workers > 1)
        if ties is not None:
            ties.ready()
        apply = face.reconfigure
        await signals.until_stopped(Reloading(config, read, TRACKER_CHANGES, apply, quiet=ties is not None))
    finally:
        await face.stop()


class Faces:
    """The web's two listeners together."""

    def __init__(self, domain: Domain, *, admin: bool = True) -> None:
        """`admin`: with the operator's listener, which only one of several workers can have."""
        self.public = PublicFace(domain)
        self.admin = AdminFace(domain) if admin else None
        self.keys = KeyWatch(Path(domain.config.tokens.keys_file), lambda: domain.ring, domain.take_up)

    async def start(self, *, share_port: bool = False) -> None:
        await self.public.start(share_port=share_port)
        self.keys.start()
        if self.admin is not None:
            await self.admin.start()

    async def stop(self) -> None:
        await self.keys.stop()
        await self.public.stop()
        if self.admin is not None:
            await self.admin.stop()


async def prepare(config: Config, *addresses: str, store: bool = True) -> None:
    """What workers find done when they start: the store's tables, the key file, addresses that nobody else has."""
    for host, port in (parse_listen(address) for address in addresses if address):
        if port == 0:
            raise ConfigError("several workers share one port, and port 0 would give each another")
        claim(host, port)
    if not store:
        load_keys(Path(config.tokens.keys_file))
        return
    domain = await Domain.open_patiently(config)
    await domain.close()


def starting(work: Callable[[], T]) -> T:
    """Does the work; what goes wrong is a sentence for people."""
    try:
        return work()
    except CandorError as error:
        raise CommandError(error) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        words = CandorError(f"cannot listen or open a file: {where}{error.strerror or error}")
        raise CommandError(words) from error


def exit_code(work: Callable[[], object]) -> int:
    """For a process of its own: the error is shown here, its code is the parent's to know."""
    try:
        starting(work)
    except CommandError as error:
        error.show()
        return error.exit_code
    return 0


async def until_stopped() -> None:
    """Returns at SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
