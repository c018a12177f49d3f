"""`candor tracker`: the public listener and the operator's, without anything of mail."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from tracker import log
from tracker.admin.app import AdminFace
from tracker.cli.common import CommandError, config_option, holders_beside, run
from tracker.config import RELAY_TABLES, Config, load
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.jobs import nightly
from tracker.web.app import PublicFace


@click.command()
@config_option
def tracker(config_file: Path | None) -> None:
    """Serve pixels, redirects and preference pages."""
    try:
        config = load(config_file, Config, foreign=RELAY_TABLES)
        log.configure(config.log.format, config.log.level)
        run(_serve(config))
    except CandorError as error:
        raise CommandError(error) from error
    except OSError as error:
        raise CommandError(CandorError(f"cannot listen: {error.strerror or error}")) from error


async def _serve(config: Config) -> None:
    domain = await Domain.open(config)
    domain.holders.extend(holders_beside())
    faces, jobs = Faces(domain), nightly(domain)
    try:
        await faces.start()
        jobs.start()
        await until_stopped()
    finally:
        await jobs.stop()
        await faces.stop()
        await domain.close()


class Faces:
    """The web's two listeners together."""

    def __init__(self, domain: Domain) -> None:
        self.public = PublicFace(domain)
        self.admin = AdminFace(domain)

    async def start(self) -> None:
        await self.public.start()
        await self.admin.start()

    async def stop(self) -> None:
        await self.public.stop()
        await self.admin.stop()


async def until_stopped() -> None:
    """Returns at SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
