"""`candor up` and `candor relay`: the programs that take mail."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from relay.config import Config, load
from relay.service import Relay
from tracker import log
from tracker.cli.common import CommandError, config_option, run
from tracker.cli.serve import Faces, until_stopped
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.jobs import nightly


@click.command()
@config_option
def up(config_file: Path | None) -> None:
    """Run relay, queue worker and tracker in one process: the small installation.

    Without a configuration it listens on loopback, keeps its data in ./candor-data and captures mail in a Maildir
    there instead of sending it.
    """
    _run(config_file, _up)


@click.command()
@config_option
def relay(config_file: Path | None) -> None:
    """Run the SMTP relay and its queue worker."""
    _run(config_file, _relay)


def _run(config_file: Path | None, program: Any) -> None:
    try:
        config = load(config_file)
        log.configure(config.log.format, config.log.level)
        main: Coroutine[Any, Any, None] = program(config)
        run(main)
    except CandorError as error:
        raise CommandError(error) from error
    except OSError as error:
        raise CommandError(CandorError(f"cannot listen or open a file: {error}")) from error


async def _up(config: Config) -> None:
    domain = await Domain.open(config)
    faces, jobs, service = Faces(domain), nightly(domain), None
    try:
        service = Relay(config, domain)
        await faces.start()
        await service.start()
        jobs.start()
        await until_stopped()
    finally:
        await jobs.stop()
        if service is not None:
            await service.stop()
        await faces.stop()
        await domain.close()


async def _relay(config: Config) -> None:
    domain = await Domain.open(config)
    jobs, service = nightly(domain), None
    try:
        service = Relay(config, domain)
        await service.start()
        jobs.start()
        await until_stopped()
    finally:
        await jobs.stop()
        if service is not None:
            await service.stop()
        await domain.close()
