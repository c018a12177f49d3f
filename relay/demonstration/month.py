"""The month itself: everything that happens, in the order in which it happens, each by the function that would do it.

The clock stands still while something is done and then jumps to the next thing. So consent is asked as of the moment
of each mail and each hit: who withdraws in the middle of the month was measured before and is not afterwards.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from relay.config import Config
from relay.delivery import Delivery
from relay.demonstration.arrangements import Atlas
from relay.demonstration.carrier import Arrived, Carrier
from relay.demonstration.company import BY_DOMAIN
from relay.demonstration.newsletters import Letter, written
from relay.demonstration.people import Person, populate
from relay.demonstration.reading import Look, Reader, looks
from relay.metrics import MailMetrics
from relay.post import Post
from relay.queue import Queue
from relay.returns import Returns
from relay.store.holdings import Holdings
from relay.store.selection import Selection
from relay.store.steering import Steering
from relay.submission import Client, Recipient, Submission
from relay.worker import Worker
from tracker.alerting.finding import Finding
from tracker.alerting.telling import Telling
from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.journal import Journal
from tracker.metrics import Sheet
from tracker.tokens import Kind, Token
from tracker.web.hits import Heard, Hits

Act = Callable[[], Awaitable[None]]
_TOGETHER = 400
"""Hits that are kept together."""
_RETRIES = (6, 13, 25, 56)
"""Minutes between two tries of what waits."""
_AGAIN = timedelta(minutes=11)


class Clock:
    """Tells the month's time."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A link that a person followed."""

    person: Person
    token: Token
    letter: Letter


@dataclass(slots=True)
class Month:
    """What happens is put on it with `at` and done by `live`; what a part of it needs is here."""

    domain: Domain
    config: Config
    ends: datetime
    seed: int
    folder: Path
    dice: Random = field(init=False)
    begins: datetime = field(init=False)
    clock: Clock = field(init=False)
    people: list[Person] = field(init=False)
    by_address: dict[str, Person] = field(init=False)
    followed: Callable[[Followed], None] = field(default=lambda _: None)
    """Called when a person follows a link."""
    arrivals: list[Arrived] = field(default_factory=list)
    """All that was taken, for whoever has something to say of it later."""
    _hits: Hits = field(init=False)
    _carrier: Carrier = field(init=False)
    _delivery: Delivery = field(init=False)
    _worker: Worker = field(init=False)
    _queue: Queue = field(init=False)
    _returns: Returns = field(init=False)
    _coming: list[tuple[datetime, int, Act | _Hit]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _took: int = 0

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)  # noqa: S311 - a play, no secret
        midnight = self.ends.replace(hour=0, minute=0, second=0, microsecond=0)
        self.begins = midnight - timedelta(days=30)
        self.clock = clock = Clock(self.begins)
        self.people = populate(self.dice)
        self.by_address = {one.address: one for one in self.people}
        domain, config = self.domain, self.config
        domain.countries = Atlas()
        if not any(isinstance(one, Holdings) for one in domain.holders):
            domain.holders.append(Holdings())
        self._hits = Hits(domain, Journal(None, domain.ring, most=0), clock=clock)
        self._carrier = Carrier(self.seed, self.by_address, clock, self.ends)
        self._queue = Queue(domain.database, config.queue)
        rules = config.rewrite.rules(*config.tracker.urls)
        self._delivery = Delivery(config, domain, self._carrier, self._queue, rules=rules, clock=clock)
        self._worker = Worker(self._delivery, self._queue, MailMetrics(Sheet()))
        if self._delivery.return_paths is None:
            raise CandorError("the month's mail comes back by way of a bounce domain: name one")
        self._returns = Returns(
            config.bounces, self._delivery.return_paths, domain, self._delivery, self._queue, clock=clock
        )

    # --- what will happen ---

    def at(self, when: datetime, act: Act) -> None:
        """Does it then; what lies behind the month's end is left undone."""
        self._put(when, act)

    def _put(self, when: datetime, act: Act | _Hit) -> None:
        if when <= self.ends:
            heapq.heappush(self._coming, (when, next(self._numbers), act))

    async def live(self) -> None:
        """Everything up to the end."""
        self._worker.start()
        try:
            while self._coming:
                when, _, act = heapq.heappop(self._coming)
                self.clock.now = when
                if isinstance(act, _Hit):
                    await self._take(act)
                else:
                    await self._settle()
                    await act()
            await self._settle()
        finally:
            await self._worker.stop(grace=20.0)
            await self._delivery.close(grace=20.0)
            await self._queue.release()

    # --- mail ---

    async def send(self, letter: Letter, readers: Sequence[Person]) -> None:
        """One message to all of them, with the tries that follow the first."""
        if not readers:
            return
        to = readers[0].address if len(readers) == 1 else f"readers of {letter.sender} <{letter.sender}>"
        data = written(letter, self.clock.now, to)
        await self._hand_in(letter, tuple(Recipient(address=one.address) for one in readers), data)
        await self._later(letter, _RETRIES)

    async def _hand_in(self, letter: Letter, recipients: tuple[Recipient, ...], data: bytes) -> None:
        """As a client does that comes again when it is told to."""
        submission = Submission(
            id=self.dice.randbytes(16),
            sender=letter.sender,
            recipients=recipients,
            data=data,
            received_at=self.clock.now,
            client=Client(address="127.0.0.1", helo="shop.nordhaven.example"),
        )
        reply = await self._delivery.deliver(submission)
        if reply.is_temporary:
            self.at(self.clock.now + _AGAIN, lambda: self._hand_in(letter, recipients, data))
        self._arrive(letter)

    async def _later(self, letter: Letter, pauses: Sequence[int]) -> None:
        """The next try, where somebody waits for one."""
        if pauses and await self._queue.next_due() is not None:
            when = self.clock.now + timedelta(minutes=pauses[0])
            self.at(when, lambda: self._try_again(letter, pauses[1:]))

    async def _try_again(self, letter: Letter, pauses: Sequence[int]) -> None:
        await Steering(self.domain).retry(Selection())
        await self.work_off()
        self._arrive(letter)
        await self._later(letter, pauses)

    async def work_off(self) -> None:
        """Until the queue's worker has nothing to do."""
        self._delivery.wake()
        while True:
            due = await self._queue.next_due()
            if not self._worker.under_way and not len(self._delivery.ready) and (due is None or due > 0):
                return
            await asyncio.sleep(0.002)

    async def come_back(self, to: str, data: bytes) -> None:
        """A report that some mail system sends to a return path of ours."""
        submission = Submission(
            id=self.dice.randbytes(16),
            sender="",
            recipients=(Recipient(address=to, local=True),),
            data=data,
            received_at=self.clock.now,
            client=Client(address="198.18.255.25", helo="mx.example"),
        )
        await self._returns.take(submission)
        await self.work_off()
        self._carrier.arrived.clear()

    async def watch(self) -> None:
        """Looks for what somebody wants to be told of, and tells it."""
        domain, delivery, now = self.domain, self._delivery, self.clock.now
        post = Post(
            self._queue,
            lambda: domain.ring,
            compiler=lambda: delivery.compiler,
            hostname=lambda: self.config.relay.name,
            wake=delivery.wake,
        )
        finding = Finding(domain)
        await finding.events(now)
        await finding.bounces(now)
        if await Telling(domain, post).run(now):
            await self.work_off()

    # --- readers ---

    def _arrive(self, letter: Letter) -> None:
        """Whoever got a copy will look at it, or not."""
        arrived, self._carrier.arrived = self._carrier.arrived, []
        for copy in arrived:
            person = self.by_address.get(copy.address)
            if person is None:
                continue
            self.arrivals.append(copy)
            reader = Reader(
                program=person.program,
                country=person.country,
                interest=person.interest,
                scanned=BY_DOMAIN[person.domain].scans,
            )
            dice = Random(f"{self.seed} {letter.subject} {copy.address}")  # noqa: S311 - a play
            for look in looks(dice, reader, copy.at, range(len(copy.links)), letter.appeal):
                text = copy.pixel if look.link is None else copy.links[look.link]
                if text is not None:
                    self._put(look.at, _Hit(look=look, text=text, person=person, letter=letter))

    async def _take(self, hit: _Hit) -> None:
        look = hit.look
        kind = Kind.OPEN if look.link is None else Kind.CLICK
        token = self._hits.verified(hit.text, kind)
        if token is None:
            raise CandorError("a link of the month's mail does not verify")
        self._hits.take(token, Heard(look.agent, look.client), _answered)
        if kind is Kind.CLICK and look.is_person:
            self.followed(Followed(person=hit.person, token=token, letter=hit.letter))
        self._took += 1
        if self._took % _TOGETHER == 0:
            await self._settle()

    async def _settle(self) -> None:
        """Until every hit so far is kept."""
        await self._hits.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hit:
    """A request to come."""

    look: Look
    text: str
    """The token."""
    person: Person
    letter: Letter


def _answered(*, named: bool) -> None:
    """Nobody waits for it."""
