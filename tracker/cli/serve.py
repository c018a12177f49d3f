"""`candor tracker`: the public listener and the operator's, without anything of mail."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TypeVar

import click

from tracker import log
from tracker.admin.api.app import PREFIX as API
from tracker.admin.api.app import build as api_application
from tracker.admin.app import AdminFace
from tracker.admin.monitoring import Monitoring
from tracker.admin.previews import Previews
from tracker.alerting.running import Alerting
from tracker.cli.common import CommandError, config_option, desk_beside, holders_beside, run
from tracker.cli.signals import Reloading, Signals
from tracker.config import RELAY_TABLES, Config, load, parse_listen
from tracker.desk import Desk
from tracker.domain import Domain
from tracker.errors import CandorError, ConfigError
from tracker.garbage import hand_on_soon, spare_the_lasting
from tracker.handover import Handover
from tracker.jobs import nightly
from tracker.keyring import load as load_keys
from tracker.keywatch import KeyWatch
from tracker.listening import claim, listening
from tracker.metrics import Looking, Sheet
from tracker.processes import MOST_WORKERS, Parent, Ties
from tracker.reload import TRACKER_CHANGES
from tracker.web.app import PublicFace
from tracker.web.linksonly import LinksFace
from tracker.web.metrics import HitMetrics

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

    def start() -> Reloading[Config]:
        config = read()
        log.configure(config.log.format, config.log.level)
        return Reloading(config, read, TRACKER_CHANGES, lambda _: None)

    serving = serve_links if links_only else serve
    reloading = starting(start)
    if workers == 1:
        starting(lambda: run(serving(reloading.config, read, Numbers(), None)))
        return
    numbers, handover, table = Numbers(workers), Handover(reloading.config), reloading.config

    def work(ties: Ties) -> int:
        return exit_code(lambda: run(serving(handover.taken(), handover.taken, numbers, ties)))

    def reload() -> bool:
        if right := reloading.now():
            handover.give(reloading.config)
        return right

    addresses = {"[tracker] listen": table.tracker.listen}
    if not links_only:
        addresses["[admin] listen"] = table.admin.listen
    parent = Parent(
        work=work,
        workers=workers,
        prepare=lambda: exit_code(lambda: run(prepare(table, addresses, store=not links_only, links=True))),
        reload=reload,
        ended=numbers.sheet.leave,
    )
    raise SystemExit(parent.run())


async def serve(config: Config, read: Callable[[], Config], numbers: Numbers, ties: Ties | None) -> None:
    """The tracker's faces until somebody stops them: alone, or as one worker of several."""
    if ties is not None:
        log.speaker.worker = ties.number
    signals = Signals(ties)
    domain = await Domain.open_or_await(config)
    domain.holders.extend(holders_beside())
    faces = Faces(domain, numbers, admin=ties is None or ties.number == 0, desk=desk_beside(domain))
    jobs, alerting = nightly(domain), Alerting(domain)
    numbers.sheet.take(ties.number if ties is not None else 0)
    try:
        await faces.start(share_port=ties is not None)
        jobs.start()
        alerting.start()
        spare_the_lasting()
        hand_on_soon()
        if ties is not None:
            ties.ready()
        quiet = ties is not None
        reloading = Reloading(config, read, TRACKER_CHANGES, domain.reconfigure, quiet=quiet)
        await _until_stopped(signals.until_stopped(reloading), domain.opening)
    finally:
        await alerting.stop()
        await jobs.stop()
        await faces.stop()
        await domain.close()


async def _until_stopped(stopped: Coroutine[None, None, None], opening: asyncio.Task[None] | None) -> None:
    """Raises what is wrong with a store that was awaited: it is not ours, or not for this release."""
    stopping = asyncio.create_task(stopped)
    if opening is not None:
        await asyncio.wait({stopping, opening}, return_when=asyncio.FIRST_COMPLETED)
        if opening.done() and opening.exception() is not None:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            opening.result()
    await stopping


async def serve_links(
    config: Config, read: Callable[[], Config], numbers: Numbers, ties: Ties | None
) -> None:
    """Links alone, until somebody stops it."""
    if ties is not None:
        log.speaker.worker = ties.number
    signals = Signals(ties)
    face = LinksFace(config)
    numbers.sheet.take(ties.number if ties is not None else 0)
    try:
        await face.start(share_port=ties is not None)
        spare_the_lasting()
        if ties is not None:
            ties.ready()
        apply = face.reconfigure
        await signals.until_stopped(Reloading(config, read, TRACKER_CHANGES, apply, quiet=ties is not None))
    finally:
        await face.stop()


class Numbers:
    """What the processes of a program count, for all of them; to be made before the first is forked."""

    def __init__(self, processes: int = 1) -> None:
        self.sheet = Sheet(processes)
        self.hits = HitMetrics(self.sheet)


class Faces:
    """The web's two listeners together."""

    def __init__(
        self,
        domain: Domain,
        numbers: Numbers | None = None,
        look: Looking | None = None,
        *,
        admin: bool = True,
        previews: Previews | None = None,
        desk: Desk | None = None,
    ) -> None:
        """`look`: what else the operator may see, the same for all processes. `admin`: with the operator's listener,
        which only one of several workers can have. `previews`: messages as they came, where somebody keeps them.
        `desk`: what it shows and does of mail."""
        numbers = numbers or Numbers()
        beside = {API: api_application(domain, desk)} if domain.config.api.public else {}
        self.public = PublicFace(domain, numbers.hits, beside=beside)
        monitoring = Monitoring(domain, numbers.sheet, look)
        self.admin = AdminFace(domain, monitoring, previews=previews, desk=desk) if admin else None
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


async def prepare(
    config: Config, addresses: Mapping[str, str], *, store: bool = True, links: bool = False
) -> None:
    """What workers find done when they start: the store's tables, the key file, addresses that nobody else has, by
    the options that name them. `links`: they have something to do while the store is away."""
    for option, address in addresses.items():
        if not address:
            continue
        host, port = parse_listen(address)
        if port == 0 and option == "[admin] listen":  # one of them has it, and any port will do
            continue
        if port == 0:
            raise ConfigError(f"{option}: several workers share one port, and port 0 would give each another")
        with listening(option, address):
            claim(host, port)
    if not store:
        load_keys(Path(config.tokens.keys_file))
        return
    domain = await (Domain.open_or_await if links else Domain.open_patiently)(config)
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
