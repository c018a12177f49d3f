"""`candor up` and `candor relay`: the programs that take mail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from relay.config import CHANGES, Config, load
from relay.metrics import MailMetrics
from relay.originals import Originals
from relay.post import Post
from relay.queue import Queue
from relay.service import Relay, checked, desk
from relay.store.holdings import Holdings
from tracker import log
from tracker.admin.monitoring import Monitoring, MonitoringFace
from tracker.alerting.running import Alerting
from tracker.cli.common import config_option, run
from tracker.cli.serve import Faces, Numbers, exit_code, prepare, starting, workers_option
from tracker.cli.signals import Reloading, Signals
from tracker.config import LookupTable
from tracker.domain import Domain
from tracker.garbage import spare_the_lasting
from tracker.handover import Handover
from tracker.jobs import nightly
from tracker.processes import Parent, Ties


@click.command()
@workers_option
@config_option
def up(config_file: Path | None, workers: int) -> None:
    """Run relay, queue worker and tracker in one process: the small installation.

    Without a configuration it listens on loopback, keeps its data in ./candor-data and captures mail in a Maildir
    there instead of sending it. With several workers, as many processes take mail, and one more is the tracker.
    """

    processes = workers + 1 if workers > 1 else 1
    program = _Program(file=config_file, relays=workers, trackers=range(processes - 1, processes))
    _run(program, processes=processes)


@click.command()
@workers_option
@config_option
def relay(config_file: Path | None, workers: int) -> None:
    """Run the SMTP relay and its queue worker."""

    _run(_Program(file=config_file, relays=workers, trackers=range(0)), processes=workers)


@dataclass(frozen=True, kw_only=True)
class _Program:
    """Which process does what; processes are numbered from 0."""

    file: Path | None
    relays: int
    """The first so many take mail."""
    trackers: range
    """These serve the web."""

    def read(self) -> Config:
        return load(self.file)

    def addresses(self, config: Config) -> dict[str, str]:
        """What is shared, by the options that say it."""
        shared = {"[relay] listen": config.relay.listen, "[relay] listen_tls": config.relay.listen_tls}
        if self.trackers:
            return {
                **shared,
                "[tracker] listen": config.tracker.listen,
                "[admin] listen": config.admin.listen,
            }
        return {**shared, "[relay] admin_listen": config.relay.admin_listen}


class MailNumbers(Numbers):
    """Mail's beside those of hits."""

    def __init__(self, processes: int = 1) -> None:
        super().__init__(processes)
        self.mail = MailMetrics(self.sheet)


def _run(program: _Program, *, processes: int) -> None:
    def start() -> Reloading[Config]:
        config = program.read()
        checked(config)
        log.configure(config.log.format, config.log.level)
        return Reloading(config, program.read, CHANGES, checked)

    reloading = starting(start)
    numbers = MailNumbers(processes)
    if processes == 1:
        starting(lambda: run(_serve(program, reloading.config, program.read, numbers, None)))
        return
    table, handover = reloading.config, Handover(reloading.config)

    def work(ties: Ties) -> int:
        return exit_code(lambda: run(_serve(program, handover.taken(), handover.taken, numbers, ties)))

    def reload() -> bool:
        if right := reloading.now():
            handover.give(reloading.config)
        return right

    parent = Parent(
        work=work,
        workers=processes,
        prepare=lambda: exit_code(lambda: run(prepare(table, program.addresses(table)))),
        reload=reload,
        ended=numbers.sheet.leave,
    )
    raise SystemExit(parent.run())


async def _serve(
    program: _Program, config: Config, read: Callable[[], Config], numbers: MailNumbers, ties: Ties | None
) -> None:
    """What this process serves, until somebody stops it."""
    number = 0
    if ties is not None:
        log.speaker.worker = number = ties.number
    signals = Signals(ties)
    domain = await Domain.open_patiently(config)
    numbers.sheet.take(number)
    served, jobs = _Served(program, config, domain, numbers, number), nightly(domain)
    alerting = Alerting(domain, served.post)
    try:
        await served.start()
        jobs.start()
        alerting.start()
        if ties is not None:
            ties.ready()
        spare_the_lasting()
        quiet = ties is not None
        await signals.until_stopped(Reloading(config, read, CHANGES, served.reload, quiet=quiet))
    finally:
        await alerting.stop()
        await jobs.stop()
        await served.stop()
        await domain.close()


class _Served:
    """The faces of one process: mail's, the web's and the operator's, as its number says."""

    def __init__(
        self, program: _Program, config: Config, domain: Domain, numbers: MailNumbers, number: int
    ) -> None:
        """Raises ConfigError."""
        self._domain = domain
        self._share = program.relays > 1
        self._relay: Relay | None = None
        if number >= program.relays:  # who takes mail brings it along
            domain.holders.append(Holdings())
        else:
            _look_up(config.lookup, domain)
            self._relay = Relay(config, domain, processes=program.relays, metrics=numbers.mail)
        queue = Queue(domain.database, config.queue) if self._relay is None else None
        look = self._relay.look if self._relay is not None else queue.samples if queue is not None else None
        self._faces: list[Faces | MonitoringFace] = []
        if number in program.trackers:
            previews = Originals(domain, config)
            self._faces.append(
                Faces(domain, numbers, look, previews=previews, desk=desk(domain, self._relay))
            )
        elif not program.trackers:
            address = config.relay.admin_listen
            monitoring = Monitoring(domain, numbers.sheet, look)
            self._faces.append(MonitoringFace(monitoring, option="[relay] admin_listen", address=address))

    @property
    def post(self) -> Post | None:
        """The way out for mail of our own; None where nobody here sends any."""
        return self._relay.post if self._relay is not None else None

    async def start(self) -> None:
        """Raises CannotListen."""
        for face in self._faces:
            await face.start(share_port=self._share)
        if self._relay is not None:
            await self._relay.start()

    def reload(self, config: Config) -> None:
        """Raises ConfigError, and then nothing has changed."""
        if self._relay is None:
            self._domain.reconfigure(config)
            return
        before = self._domain.config.lookup
        self._relay.reload(config)
        if config.lookup != before:
            _look_up(config.lookup, self._domain)

    async def stop(self) -> None:
        if self._relay is not None:
            await self._relay.stop()
        for face in self._faces:
            await face.stop()


def _look_up(table: LookupTable, domain: Domain) -> None:
    """The CRM that the configuration names is asked from now on, if it names one."""
    if not table.url:
        domain.look_up_with(None)
        return
    from tracker.crm import open_lookup  # an HTTP client, for those only who asked for one

    domain.look_up_with(open_lookup(table))
