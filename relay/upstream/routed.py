"""All upstream servers together: a transaction goes to the servers its route names, one after the other.

The next server is asked for whoever the one before never had the end of the message for; when all have been asked,
or are left alone, they are put off. Knows nothing of what is said on a connection.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from relay import replies
from relay.outcome import Outcome
from relay.replies import Reply
from relay.upstream.connection import tls_context
from relay.upstream.routing import Routing, Server, Share, in_order
from relay.upstream.settings import Scheme
from relay.upstream.smtp import SmtpUpstream, completed, utc_now
from relay.upstream.transaction import Host, Offered, ServerState, Transaction


class RoutedUpstream:
    """Where mail goes, by routes. Make it on the loop it is used on. ValueError when certificates cannot be read."""

    def __init__(
        self,
        routing: Routing,
        *,
        clock: Callable[[], datetime] = utc_now,
        chance: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, protects nothing
        self._routing = routing
        self._hosts = {server.name: _open(server, clock) for server in routing.servers}
        self._servers = {server.name: server for server in routing.servers}
        self._retired: dict[asyncio.Task[None], Host] = {}

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        """One outcome per recipient, in order. Raises nothing but CancelledError."""
        shares = self._routing.shares(transaction)
        if len(shares) == 1:
            return await self._send(transaction, self._in_order(shares[0].to))
        if transaction.unanimous:
            # Whatever one server decides, another may decide otherwise when the first has the mail already.
            nobody = (None,) * len(transaction.recipients)
            return completed(Offered(outcomes=nobody, trouble=replies.NOT_UNANIMOUS), self._clock())
        return await self._send_all(transaction, shares)

    def states(self) -> tuple[ServerState, ...]:
        """How each server is, in the order of the configuration."""
        return tuple(host.state() for host in self._hosts.values())

    def pause(self) -> float:
        """Seconds until some server may be tried; 0.0 when one may be now. While it is more, nothing that is sent
        gets through."""
        return min(host.pause() for host in self._hosts.values())

    def reconfigure(self, routing: Routing) -> None:
        """Transactions from now on go by `routing`. A server that stays as it was keeps its connections and what is
        known of its health, and reads its certificates again; one that is gone or was changed ends what it has
        begun. ValueError when certificates cannot be read, and then nothing has changed."""
        hosts: dict[str, Host] = {}
        for server in routing.servers:
            kept = self._hosts.get(server.name) if self._servers.get(server.name) == server else None
            hosts[server.name] = _open(server, self._clock) if kept is None else kept
        kept_ones = [host for name, host in hosts.items() if host is self._hosts.get(name)]
        contexts = [
            (host, tls_context(host.settings)) for host in kept_ones if isinstance(host, SmtpUpstream)
        ]
        for smtp, context in contexts:
            smtp.renew(context)
        gone = [host for name, host in self._hosts.items() if hosts.get(name) is not host]
        self._routing, self._hosts = routing, hosts
        self._servers = {server.name: server for server in routing.servers}
        for host in gone:
            self._retire(host)

    async def close(self, *, grace: float) -> None:
        """Take no more mail, let what is being sent finish for `grace` seconds, then break it off."""
        retired = dict(self._retired)
        hosts = [*self._hosts.values(), *retired.values()]
        await asyncio.gather(*(host.close(grace=grace) for host in hosts))
        await asyncio.gather(*retired)

    def _retire(self, host: Host) -> None:
        task = asyncio.get_running_loop().create_task(host.retire())
        self._retired[task] = host
        task.add_done_callback(self._retired.pop)

    async def _send_all(self, transaction: Transaction, shares: list[Share]) -> tuple[Outcome, ...]:
        """A transaction for each way, all at once."""
        ways = [
            (share, self._in_order(share.to)) for share in shares
        ]  # before another configuration can come
        async with asyncio.TaskGroup() as group:
            sent = [
                group.create_task(self._send(transaction.only(share.numbers), hosts)) for share, hosts in ways
            ]
        outcomes: dict[int, Outcome] = {}
        for share, task in zip(shares, sent, strict=True):
            outcomes.update(zip(share.numbers, task.result(), strict=True))
        return tuple(outcomes[number] for number in range(len(transaction.recipients)))

    def _in_order(self, names: tuple[str, ...]) -> list[Host]:
        servers = in_order([self._servers[name] for name in names], self._chance)
        return [self._hosts[server.name] for server in servers]

    async def _send(self, transaction: Transaction, hosts: list[Host]) -> tuple[Outcome, ...]:
        """To the first of these that takes it: almost always that is the first, and settles everything."""
        progress = _Progress(transaction)
        first = await hosts[0].offer(transaction)
        if first is not None and None not in first.outcomes:
            return _naming(hosts[:1], completed(first, self._clock()))
        passed_over = [] if progress.note(range(len(transaction.recipients)), first) else hosts[:1]
        passed_over += [host for host in hosts[1:] if not await progress.offer(host)]
        for host in passed_over:
            # It is down, and everybody else has failed too. Should it be being probed just now: that is quickly known.
            if not progress.is_complete and await host.probed():
                await progress.offer(host)
        return _naming(hosts, completed(progress.result(hosts[0].trouble), self._clock()))


def _naming(hosts: Sequence[Host], outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """With the servers that were tried in vain, where nobody was reached."""
    if all(outcome.host for outcome in outcomes):
        return outcomes
    tried = ", ".join(host.state().host for host in hosts)
    return tuple(one if one.host else replace(one, tried=tried) for one in outcomes)


class _Progress:
    """A transaction on its way from server to server."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.outcomes: list[Outcome | None] = [None] * len(transaction.recipients)
        self._last: Offered | None = None

    def result(self, reason: Reply) -> Offered:
        """What it has come to, `reason` being why it was not offered to anybody, should that be so."""
        outcomes, last = tuple(self.outcomes), self._last
        if last is None:
            return Offered(outcomes=outcomes, trouble=reason)
        return Offered(outcomes=outcomes, trouble=last.trouble, host=last.host, tls=last.tls)

    @property
    def is_complete(self) -> bool:
        return None not in self.outcomes

    async def offer(self, host: Host) -> bool:
        """Those without an outcome, to this server. False when it is left alone at present."""
        waiting = [number for number, outcome in enumerate(self.outcomes) if outcome is None]
        if not waiting:
            return True
        return self.note(waiting, await host.offer(self._transaction.only(waiting)))

    def note(self, waiting: Sequence[int], offered: Offered | None) -> bool:
        """What a server made of those."""
        if offered is None:
            return False
        for number, outcome in zip(waiting, offered.outcomes, strict=True):
            self.outcomes[number] = outcome
        self._last = offered
        return True


def _open(server: Server, clock: Callable[[], datetime]) -> Host:
    if server.settings.scheme is Scheme.CAPTURE:
        from relay.capture import Capture  # it needs our Transaction

        return Capture(
            server.settings.path,
            clock=clock,
            name=server.name,
            priority=server.priority,
        )
    return SmtpUpstream(
        server.settings, clock, name=server.name, priority=server.priority, weight=server.weight
    )
