"""What one configuration makes of the relay behind its listeners: rules, upstream, the flow, the queue's worker.

A new configuration makes a new generation. The old one takes nothing more, brings to its end what it has begun, by its
own rules, and is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from relay.config import Config
from relay.delivery import Delivery
from relay.queue import Queue
from relay.replies import Reply
from relay.returns import Returns
from relay.submission import Submission
from relay.upstream import RoutedUpstream, Routing, Scheme, open_upstream
from relay.upstream.connection import tls_context
from relay.worker import Worker
from tracker.domain import Domain
from tracker.errors import ConfigError


class Generation:
    """`worker.start()`; `deliver` while it is the one that holds; `stop()` at last."""

    def __init__(
        self,
        config: Config,
        domain: Domain,
        queue: Queue,
        *,
        processes: int,
        before: Generation | None = None,
        is_up: Callable[[str], bool] = lambda url: True,
    ) -> None:
        """Raises ConfigError, before anything has changed. All generations share one upstream: a server that stays
        the same keeps its connections."""
        self.routing = upstream_settings(config, processes=processes)
        self.upstream: RoutedUpstream = before.upstream if before else _opened(self.routing)
        rules = config.rewrite.rules(*config.tracker.urls)
        self.delivery = Delivery(config, domain, self.upstream, queue, rules=rules)
        self.delivery.is_up = is_up
        self.worker = Worker(self.delivery, queue)
        paths = self.delivery.return_paths
        self._returns = (
            None if paths is None else Returns(config.bounces, paths, domain, self.delivery, queue)
        )
        self._waiting = 0
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        if before:  # last of all, when nothing can go wrong any more
            _reconfigure(self.upstream, self.routing)

    async def deliver(self, submission: Submission) -> Reply:
        self._waiting += 1
        self._nobody_waits.clear()
        try:
            return await (self._returns or self.delivery).deliver(submission)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._nobody_waits.set()

    def has_mailbox(self, address: str) -> bool:
        """Whether there is such a mailbox in the domain for reports."""
        return self._returns is not None and self._returns.has_mailbox(address)

    def hand_on(self, to: Generation) -> None:
        """What this one still puts into the queue is the next one's to try."""
        self.delivery.wake = to.delivery.wake

    async def stop(self, *, grace: float) -> None:
        """What runs may finish, for `grace` seconds all together. May be called again with less. The upstream, which
        others may share, stays open."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + grace

        def left() -> float:
            return max(0.0, ends_at - clock())

        await self.worker.stop(grace=left())
        with suppress(TimeoutError):
            async with asyncio.timeout(left()):
                await self._nobody_waits.wait()
        await self.delivery.close(grace=left())


def _opened(routing: Routing) -> RoutedUpstream:
    try:
        return open_upstream(routing)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[upstream]: {error}") from None


def _reconfigure(upstream: RoutedUpstream, routing: Routing) -> None:
    try:
        upstream.reconfigure(routing)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[upstream]: {error}") from None


def check_certificates(routing: Routing) -> None:
    """Whether the certificates that servers need can be read. Raises ConfigError."""
    try:
        for server in routing.servers:
            if server.settings.scheme is not Scheme.CAPTURE:
                tls_context(server.settings)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[upstream]: {error}") from None


def upstream_settings(config: Config, *, processes: int = 1) -> Routing:
    """Where mail goes, servers and routes, as one of so many processes sends it there: what upstream is to bear is
    borne by all together. Raises ConfigError."""
    try:
        return config.upstream.settings(config.relay.name, processes=processes)
    except ValueError as error:
        raise ConfigError(f"[upstream]: {error}") from None
