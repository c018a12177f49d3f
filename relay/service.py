"""The relay as a whole: intake, delivery and the queue's worker on one loop, started and stopped in order."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from contextlib import suppress
from pathlib import Path

from relay import log
from relay.config import Config, doubts
from relay.delivery import Delivery
from relay.intake import Intake, Settings
from relay.queue import Queue
from relay.store.holdings import Holdings
from relay.upstream import UpstreamSettings, open_upstream
from relay.users import User, Users
from relay.worker import Worker
from tracker.config import parse_listen
from tracker.domain import Domain
from tracker.errors import ConfigError, StoreError

GRACE = 20.0
"""Seconds that running work has to come to its end when the program stops."""


class Relay:
    """`await start()`, then `await stop()`. `addresses` are where it listens."""

    def __init__(self, config: Config, domain: Domain) -> None:
        self._config = config
        domain.holders.append(Holdings())
        settings = upstream_settings(config)
        self._upstream_name = settings.name
        self._upstream = open_upstream(settings)
        self._queue = Queue(domain.database, config.queue)
        rules = config.rewrite.rules(config.tracker.public_url)
        self.delivery = Delivery(config, domain, self._upstream, self._queue, rules=rules)
        self._worker = Worker(self.delivery, self._queue)
        users = _users(config)
        self._intake = Intake(
            intake_settings(config),
            self.delivery.deliver,
            authenticate=users.authenticate if config.relay.user else None,
            tls=server_tls(config),
        )
        self.addresses: list[tuple[str, int]] = []

    async def start(self) -> None:
        """Raises OSError where an address cannot be had."""
        table = self._config.relay
        log.forwarding(self._upstream_name)
        for doubt in doubts(self._config):
            log.doubtful(doubt)
        self.addresses.append(await self._intake.listen(*parse_listen(table.listen)))
        if table.listen_tls:
            self.addresses.append(
                await self._intake.listen(*parse_listen(table.listen_tls), implicit_tls=True)
            )
        self._worker.start()

    async def stop(self) -> None:
        """No new mail; what runs may finish; the rest is the queue's or still the client's."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + GRACE

        def left() -> float:
            return max(0.0, ends_at - clock())

        await self._intake.stop(grace=GRACE)
        await self._worker.stop(grace=left())
        await self.delivery.close(grace=left())
        # Last of all, when nothing works on them any more: others need not wait until the leases run out.
        with suppress(StoreError):
            await self._queue.release()
        await self._upstream.close(grace=left())


def intake_settings(config: Config) -> Settings:
    """The SMTP face's part of the configuration as its value."""
    table = config.relay
    return Settings(
        hostname=table.name,
        allowed_networks=tuple(ipaddress.ip_network(network) for network in table.allowed_networks),
        max_message_size=table.max_message_size,
        max_recipients=table.max_recipients,
        bare_newlines=table.bare_newlines,
    )


def upstream_settings(config: Config) -> UpstreamSettings:
    """Where mail goes. Raises ConfigError."""
    try:
        return config.upstream.settings(config.relay.name)
    except ValueError as error:
        raise ConfigError(f"[upstream]: {error}") from None


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


def _users(config: Config) -> Users:
    return Users(
        {
            user.name: User(name=user.name, password_hash=user.password_hash, track=user.track.value)
            for user in config.relay.user
        }
    )
