"""The relay as a whole: intake, delivery and the queue's worker on one loop, started and stopped in order, and given
a new configuration while it runs."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

from relay import log
from relay.config import Config, doubts
from relay.config.intake import rate
from relay.config.networks import networks
from relay.delivery import Delivery
from relay.desk import MailDesk
from relay.findings import at_once
from relay.generation import Generation, check_certificates, upstream_settings
from relay.intake import Intake, Settings
from relay.metrics import MailMetrics
from relay.post import Post
from relay.postmaster import postmaster
from relay.probe import Probe
from relay.queue import Queue
from relay.replies import Reply
from relay.room import Room
from relay.store.holdings import Holdings
from relay.submission import Submission
from relay.users import Users
from relay.worker import Worker
from tracker.config import parse_listen
from tracker.domain import Domain
from tracker.errors import ConfigError, StoreError
from tracker.listening import listening
from tracker.metrics import Sample, Sheet

GRACE = 20.0
"""Seconds that running work has to come to its end when the program stops."""
_NOTE_EVERY = 1.0
"""Seconds between two notes for monitoring of how things are."""
LONGEST_ATTEMPT = 900.0
"""Seconds that work has to come to its end when a new configuration took its place: an upstream may take 600 for its
last reply (RFC 5321 4.5.3.2.6)."""


class Relay:
    """`await start()`, then `await stop()`. `addresses` are where it listens."""

    def __init__(
        self, config: Config, domain: Domain, *, processes: int = 1, metrics: MailMetrics | None = None
    ) -> None:
        """`processes`: how many share the ports and upstream, this one included. Raises ConfigError."""
        self._config = config
        self._metrics = metrics or MailMetrics(Sheet())
        self._noting: asyncio.Task[None] | None = None
        domain.holders.append(Holdings())
        self._domain = domain
        self._processes = processes
        self._queue = Queue(domain.database, config.queue)
        self._probe = Probe(config, domain)
        self.generation = Generation(
            config, domain, self._queue, self._metrics, processes=processes, is_up=self._probe.is_up
        )
        self._retiring: dict[asyncio.Task[None], Generation] = {}
        store = domain.database.file
        self._room = Room(store.parent if store else None, config.queue.min_free)
        self._intake = Intake(
            intake_settings(config),
            self._deliver,
            users=_users(config),
            tls=server_tls(config),
            has_mailbox=lambda address: self.generation.has_mailbox(address),
            check=self._room.check,
            refused=self._metrics.refused,
        )
        self.addresses: list[tuple[str, int]] = []
        self.post = Post(
            self._queue,
            lambda: domain.ring,
            compiler=lambda: self.delivery.compiler,
            hostname=lambda: self.delivery.config.relay.name,
            wake=lambda: self.delivery.wake(),
        )
        """The way out for letters of our own."""

    @property
    def delivery(self) -> Delivery:
        """The flow that new mail takes."""
        return self.generation.delivery

    @property
    def _worker(self) -> Worker:
        return self.generation.worker

    async def start(self) -> None:
        """Raises CannotListen where an address cannot be had."""
        table, share = self._config.relay, self._processes > 1
        log.forwarding(self.generation.routing.name)
        await self._probe.start()
        for doubt in doubts(self._config):
            log.doubtful(doubt)
        for key, address in (("listen", table.listen), ("listen_tls", table.listen_tls)):
            if address:
                with listening(f"[relay] {key}", address):
                    bound = await self._intake.listen(
                        *parse_listen(address), implicit_tls=key == "listen_tls", reuse_port=share
                    )
                self.addresses.append(bound)
        self.generation.worker.start()
        self._noting = asyncio.create_task(self._note())

    def reload(self, config: Config) -> None:
        """New mail, new sessions and new handshakes go by this configuration; what has begun ends as it began.
        Listeners and the store stay. Raises ConfigError, and then nothing has changed."""
        checked(config)
        settings, tls, old = intake_settings(config), server_tls(config), self.generation
        new = Generation(
            config,
            self._domain,
            self._queue,
            self._metrics,
            processes=self._processes,
            before=old,
            is_up=self._probe.is_up,
        )
        self._domain.reconfigure(config)
        self._queue.settings = config.queue
        self._probe.reconfigure(config)
        self._room.least = config.queue.min_free
        self._intake.reconfigure(settings, tls, users=_users(config))
        self.generation = new
        new.worker.start()
        old.hand_on(new)
        task = asyncio.create_task(self._retire(old))
        self._retiring[task] = old
        task.add_done_callback(self._retired)
        if old.routing.name != new.routing.name:
            log.forwarding(new.routing.name)
        for doubt in doubts(config):
            log.doubtful(doubt)

    async def stop(self) -> None:
        """No new mail; what runs may finish; the rest is the queue's or still the client's."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + GRACE

        def left() -> float:
            return max(0.0, ends_at - clock())

        await self._probe.stop()
        await self._intake.stop(grace=GRACE)
        for old in list(self._retiring.values()):  # their work has no longer than ours now
            await old.stop(grace=left())
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.generation.stop(grace=left())
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.gather(self._noting, return_exceptions=True)
        # Last of all, when nothing works on them any more: others need not wait until the leases run out.
        with suppress(StoreError):
            await self._queue.release()
        await self.generation.upstream.close(grace=left())

    async def look(self) -> list[Sample]:
        """What waits, which is the same for every process that is asked. Raises StoreUnavailable."""
        return await self._queue.samples()

    async def _deliver(self, submission: Submission) -> Reply:
        began = time.monotonic()
        try:
            reply = await self.generation.deliver(submission)
        except Exception:
            self._metrics.failed()
            raise
        self._metrics.answered(reply, seconds=time.monotonic() - began, octets=len(submission.data))
        return reply

    async def _note(self) -> None:
        while True:
            worker = self.generation.worker
            self._metrics.standing(
                sessions=self._intake.sessions, under_way=worker.under_way, is_away=worker.is_away
            )
            await asyncio.sleep(_NOTE_EVERY)

    async def _retire(self, old: Generation) -> None:
        await old.stop(grace=LONGEST_ATTEMPT)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.worker_failed(error=error)


def desk(domain: Domain, relay: Relay | None) -> MailDesk:
    """For the operator's pages of a process that has the whole configuration, as it is at the moment. Only who sends
    mail itself, a `relay`, knows how upstream is."""
    return MailDesk(
        domain,
        postmaster=lambda: postmaster(domain, cast(Config, domain.config)),
        upstreams=None if relay is None else lambda: relay.generation.upstream.states(),
        findings=lambda: at_once(cast(Config, domain.config)),
    )


def checked(config: Config) -> None:
    """Whatever a relay would refuse of this configuration, at its start or while it runs: the files it names, and
    what its tables say together. Of several processes either all take it or none. Raises ConfigError."""
    check_certificates(upstream_settings(config))
    # Of a running program `listen_tls` is what it listens on, whatever the new file says of it.
    if server_tls(config) is None and config.relay.listen_tls:
        raise ConfigError("[relay] certificate: listen_tls needs it for as long as the program runs")
    intake_settings(config)
    config.dkim.signers()


def intake_settings(config: Config) -> Settings:
    """The SMTP face's part of the configuration as its value. Raises ConfigError."""
    table = config.relay
    try:
        return Settings(
            hostname=table.name,
            local_domains=frozenset(filter(None, (config.bounces.domain,))),
            allowed_networks=networks(table.allowed_networks),
            plaintext_auth_networks=networks(table.plaintext_auth_from),
            proxy_networks=networks(table.proxy_protocol_from),
            max_message_size=table.max_message_size,
            max_header_size=table.max_header_size,
            max_recipients=table.max_recipients,
            bare_newlines=table.bare_newlines,
            max_connections=table.max_connections,
            max_connections_per_client=table.max_connections_per_client,
            max_memory=table.max_memory,
            max_errors=table.max_errors,
            max_junk_commands=table.max_junk_commands,
            max_failed_logins=table.max_failed_logins,
            command_timeout=table.idle_timeout,
            data_timeout=table.data_timeout,
            lowest_data_rate=table.lowest_data_rate,
            client_rate=rate(table.client_rate),
        )
    except ValueError as error:
        raise ConfigError(f"[relay]: {error}") from None


def server_tls(config: Config) -> ssl.SSLContext | None:
    """The certificate for STARTTLS and implicit TLS. Raises ConfigError that names the file."""
    table = config.relay
    if not table.certificate:
        return None
    for key, name in (("certificate", table.certificate), ("private_key", table.private_key)):
        if not Path(name).is_file():
            raise ConfigError(f"[relay] {key}: there is no file {name}")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(table.certificate, table.private_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[relay] certificate, private_key: cannot be used together: {error}") from None
    return context


def _users(config: Config) -> Users | None:
    """None where there are none: then AUTH is not offered."""
    users = {user.name: user.user() for user in config.relay.user}
    return Users(users) if users else None
