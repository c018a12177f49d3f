"""Relay and tracker in one process under a clock of our own: mail goes in at the relay's flow and out to a shelf, hits
and choices come over real sockets, and nothing of what is between them is pretended."""

from __future__ import annotations

import asyncio
import csv
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, select
from support.people import Copy
from support.stores import tables
from support.web import Answer, Client

from relay import replies
from relay.config import Config
from relay.delivery import Delivery
from relay.outcome import Outcome, Status
from relay.queue import Queue
from relay.replies import Reply
from relay.store.holdings import Holdings
from relay.submission import Client as MailClient
from relay.submission import Recipient, Submission
from relay.upstream import Transaction
from tracker.config.tables import ConsentTable
from tracker.contactfile import ContactFile, Refused
from tracker.domain import Domain
from tracker.importing import Import
from tracker.web.app import PublicFace

T = TypeVar("T")
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TICK = timedelta(seconds=1, microseconds=1)


class Clock:
    """Says the time that a test wants it to be; no two moments are the same by themselves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def tick(self, by: timedelta = TICK) -> datetime:
        self.now += by
        return self.now


class Shelf:
    """An upstream that takes everything and keeps it by recipient, until it is taken away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.got: dict[str, Copy] = {}

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        copy = Copy(data=b"".join(transaction.content))
        self.got.update({one.address: copy for one in transaction.recipients})
        outcome = Outcome(status=Status.ACCEPTED, reply=replies.CAPTURED, at=self._clock(), host="shelf:25")
        return (outcome,) * len(transaction.recipients)

    async def close(self, *, grace: float) -> None: ...


class House:
    """A relay and a tracker on a loop of their own, for tests that are no coroutines. `open(...)`, `close()`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._loop = asyncio.new_event_loop()

    def run(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(work)

    def open(self, config: Config) -> None:
        self.run(self._open(config))

    async def _open(self, config: Config) -> None:
        self.config = config
        self.domain = await Domain.open(config)
        self.domain.holders.append(Holdings())
        self.shelf = Shelf(self.clock)
        queue = Queue(self.domain.database, config.queue)
        rules = config.rewrite.rules(config.tracker.public_url)
        self.delivery = Delivery(config, self.domain, self.shelf, queue, rules=rules, clock=self.clock)
        self.face = PublicFace(self.domain, clock=self.clock)
        self.client = Client(await self.face.start())

    def close(self) -> None:
        self.run(self._close())
        self._loop.close()

    async def _close(self) -> None:
        await self.face.stop()
        await self.delivery.close(grace=5)
        await self.domain.close()

    def forget(self) -> None:
        """Empties the store and goes back to the beginning of time."""

        def work(connection: Connection) -> None:
            for table in tables():
                if table.name != "ring_keys":
                    connection.execute(delete(table))

        self.run(self.domain.database.change(work))
        self.clock.now = START

    def rule(self, consent: ConsentTable) -> None:
        """From now on this policy holds."""
        self.config = self.config.model_copy(update={"consent": consent})
        self.domain.reconfigure(self.config)

    def post(self, data: bytes, to: Sequence[str], *, sender: str, user: str | None) -> tuple[Reply, bytes]:
        """Hands a message in, as a client that logged in; its reply and id. What arrived is on the shelf."""
        submission = Submission(
            id=secrets.token_bytes(16),
            sender=sender,
            recipients=tuple(Recipient(address=one) for one in to),
            data=data,
            received_at=self.clock(),
            client=MailClient(address="192.0.2.1", helo="client.example", user=user),
        )
        self.shelf.got.clear()
        return self.run(self.delivery.deliver(submission)), submission.id

    def ask(self, url: str, method: str = "GET", **more: Any) -> Answer:
        """A request of the public face, for a URL that stands in a mail."""
        path = url.removeprefix(self.config.tracker.public_url)
        return self.run(self.client.ask(path, method, **more))

    def choose(self, copy: Copy, choice: str) -> Answer:
        return self.run(self.client.choose(copy.page.removeprefix(self.config.tracker.public_url), choice))

    def import_(self, file: Path, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[Refused]:
        """A file of contacts; the rows that were not taken, or had no effect."""
        with file.open("w", encoding="utf-8", newline="") as text:
            out = csv.DictWriter(text, columns)
            out.writeheader()
            out.writerows(rows)
        refused: list[Refused] = []
        task = Import(self.domain, ContactFile(file), actor="test", refused=refused.append, clock=self.clock)
        self.run(task.run())
        return refused

    def read(self, work: Callable[[Connection], T]) -> T:
        return self.run(self.domain.database.read(work, within=20))

    def rows(self, *names: str) -> dict[str, list[Any]]:
        """All rows of these tables."""
        wanted = [table for table in tables() if table.name in names]
        return self.read(
            lambda connection: {table.name: connection.execute(select(table)).all() for table in wanted}
        )
