"""An upstream as bad days make it: every so often it fails, in another way each time, and what it took it counts.

It keeps no messages, so that a hundred thousand of them cost it nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType

from support.load import number_of
from support.sites import free_port
from support.upstream import Act, Received, ScriptedUpstream, drop, lose, say, slow

Failure = tuple[str, Act]
"""The stage where it happens, and what happens there."""

KINDS: Mapping[str, Failure] = {
    "sender put off": ("mail", say("451 4.3.0 Not now")),
    "recipient put off": ("rcpt", say("450 4.2.1 Mailbox busy")),
    "message put off": ("dot", say("452 4.3.1 Full")),
    "closing": ("mail", drop("421 4.3.2 Bye")),
    "dropped in the middle": ("content", drop()),
    "dropped at the end": ("dot", drop()),
    "reply lost": ("dot", lose()),
    "slow": ("dot", slow(0.5)),
}
REFUSED_FOR = 0.3
"""Seconds during which connections are refused."""
_REST = 20.0
"""Seconds between two such times: a relay that finds nobody waits a while before it asks again."""


class BadUpstream(ScriptedUpstream):
    """Of so many transactions one fails, in one of the ways of `KINDS`; of so many connections one is cut before the
    greeting; and now and then nobody listens at all. Recipients at `gone.example` do not exist."""

    def __init__(self, *, one_in: int, seed: int) -> None:
        super().__init__(port=free_port())  # to which nothing else is bound while nobody listens
        self._one_in = one_in
        self._chance = random.Random(seed)
        self._due: dict[asyncio.Task[None] | None, Failure] = {}
        self._away: asyncio.Task[None] | None = None
        self._away_again = 0.0
        self.transactions = 0
        self.failures: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        """How often each message, by its number, was taken."""
        self.reports: Counter[str] = Counter()
        """How often a report came about each message."""

    def act_for(self, stage: str, line: str) -> Act | None:
        session = asyncio.current_task()
        if stage == "connect" and self._happens():
            self.failures["connection cut"] += 1
            return drop()
        if stage == "mail":
            self.transactions += 1
            self._due.pop(session, None)
            if self._happens():
                self._due[session] = self._failure()
        if stage == "rcpt" and "@gone.example>" in line:
            return say("550 5.1.1 No such user")
        due = self._due.get(session)
        if due is None or due[0] != stage:
            return None
        del self._due[session]
        return due[1]

    def hear(self, command: str) -> None:
        """Not kept."""

    def take(self, received: Received) -> None:
        is_report = received.sender.startswith("<>")
        (self.reports if is_report else self.copies)[number_of(received)] += 1

    def _happens(self) -> bool:
        return self._chance.randrange(self._one_in) == 0

    def _failure(self) -> Failure:
        name = self._chance.choice(list(KINDS))
        if time.monotonic() >= self._away_again:
            self._away_again = time.monotonic() + _REST
            self.failures["nobody listens"] += 1
            self._away = asyncio.create_task(self._refuse())
        self.failures[name] += 1
        return KINDS[name]

    async def _refuse(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(REFUSED_FOR)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._away is not None:
            await self._away
        await super().__aexit__(kind, error, trace)
