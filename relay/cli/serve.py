"""`candor up` and `candor relay`: the programs that take mail."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from relay.config import CHANGES, Config, load
from relay.service import Relay, checked
from relay.store.holdings import Holdings
from tracker import log
from tracker.cli.common import config_option, run
from tracker.cli.serve import Faces, exit_code, prepare, starting, workers_option
from tracker.cli.signals import Reloading, Signals
from tracker.config import LookupTable
from tracker.domain import Domain
from tracker.jobs import nightly
from tracker.processes import Parent, Ties

Program = Callable[[Config, Ties | None], Coroutine[Any, Any, None]]


@click.command()
@workers_option
@config_option
def up(config_file: Path | None, workers: int) -> None:
    """Run relay, queue worker and tracker in one process: the small installation.

    Without a configuration it listens on loopback, keeps its data in ./candor-data and captures mail in a Maildir
    there instead of sending it. With several workers, as many processes take mail, and one more is the tracker.
    """

    def program(config: Config, ties: Ties | None) -> Coroutine[Any, Any, None]:
        if ties is None:
            relay, tracker = True, True
        else:
            relay, tracker = ties.number < workers, ties.number == workers
        return _serve(config, config_file, ties, relays=workers, relay=relay, tracker=tracker)

    _run(config_file, program, processes=workers + 1 if workers > 1 else 1, tracker=True)


@click.command()
@workers_option
@config_option
def relay(config_file: Path | None, workers: int) -> None:
    """Run the SMTP relay and its queue worker."""

    def program(config: Config, ties: Ties | None) -> Coroutine[Any, Any, None]:
        return _serve(config, config_file, ties, relays=workers, relay=True, tracker=False)

    _run(config_file, program, processes=workers, tracker=False)


def _run(config_file: Path | None, program: Program, *, processes: int, tracker: bool) -> None:
    def start() -> Reloading[Config]:
        config = load(config_file)
        checked(config)
        log.configure(config.log.format, config.log.level)
        return Reloading(config, lambda: load(config_file), CHANGES, checked)

    reloading = starting(start)
    if processes == 1:
        starting(lambda: run(program(reloading.config, None)))
        return
    table = reloading.config
    addresses = [table.relay.listen, table.relay.listen_tls, *([table.tracker.listen] if tracker else ())]
    parent = Parent(
        work=lambda ties: exit_code(lambda: run(program(reloading.config, ties))),
        workers=processes,
        prepare=lambda: exit_code(lambda: run(prepare(table, *addresses))),
        reload=reloading.now,
    )
    raise SystemExit(parent.run())


async def _serve(
    config: Config, config_file: Path | None, ties: Ties | None, *, relays: int, relay: bool, tracker: bool
) -> None:
    """What this process serves, until somebody stops it."""
    if ties is not None:
        log.speaker.worker = ties.number
    signals = Signals(ties)
    domain = await Domain.open_patiently(config)
    if not relay:  # who takes mail brings it along
        domain.holders.append(Holdings())
    faces = Faces(domain) if tracker else None
    jobs, service = nightly(domain), None
    try:
        if relay:
            _look_up(config.lookup, domain)
        service = Relay(config, domain, processes=relays) if relay else None
        if faces is not None:
            await faces.start()
        if service is not None:
            await service.start()
        jobs.start()
        if ties is not None:
            ties.ready()

        def apply(new: Config) -> None:
            before = domain.config.lookup
            (service.reload if service is not None else domain.reconfigure)(new)
            if service is not None and new.lookup != before:
                _look_up(new.lookup, domain)

        quiet = ties is not None
        await signals.until_stopped(Reloading(config, lambda: load(config_file), CHANGES, apply, quiet=quiet))
    finally:
        await jobs.stop()
        if service is not None:
            await service.stop()
        if faces is not None:
            await faces.stop()
        await domain.close()


def _look_up(table: LookupTable, domain: Domain) -> None:
    """The CRM that the configuration names is asked from now on, if it names one."""
    if not table.url:
        domain.look_up_with(None)
        return
    from tracker.crm import open_lookup  # an HTTP client, for those only who asked for one

    domain.look_up_with(open_lookup(table))
