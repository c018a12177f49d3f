"""What this process holds and will try as soon as there is room: claimed from the queue, or taken in just now.

Bounded in messages and octets: what finds no place here waits on disk, where it is anyway.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from relay.compiled import Compiled
from relay.personalize import Addressed
from relay.store.spool import Waiting, domain_key
from relay.submission import Submission
from relay.verp import ReturnPaths

MOST_OCTETS = 64 * 1024 * 1024
_FRESH = 2.0
"""Seconds for which the answer about consent is as good as today's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """One message with the recipients who are to be tried together. `message` and `addressed` are there for what
    was taken in just now; what comes from disk is compiled when it is tried."""

    submission: Submission
    waiting: tuple[Waiting, ...]
    message: Compiled | None = None
    addressed: tuple[Addressed, ...] = ()
    paths: ReturnPaths | None = None
    """Where reports come back to, of what was decided."""
    since: float = field(default_factory=time.monotonic)

    @property
    def decided(self) -> tuple[Addressed, ...]:
        """What was decided for its recipients, as long as that is as good as asked anew; else empty."""
        return self.addressed if time.monotonic() - self.since < _FRESH else ()

    @cached_property
    def domains(self) -> frozenset[str]:
        return frozenset(domain_key(one.recipient.address) for one in self.waiting)


class Ready:
    """`reserve` a place before the commit, then `add` or `give_back`; `take` what is next, `done` with it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[Work] = deque()
        self._reserved = 0
        self._octets = 0
        self._domains: Counter[str] = Counter()
        self._trying: Counter[str] = Counter()
        self.notify: Callable[[], None] = lambda: None
        """Called when there is something to take; the worker sets it."""
        self.open = False
        """Whether mail that is taken in may go on from here: somebody works on it, upstream is there, and nothing
        older waits on disk."""

    def __len__(self) -> int:
        return len(self._queue)

    def reserve(self, octets: int) -> bool:
        """A place for a message of so many octets; False when it has to wait on disk."""
        if not self.open or len(self._queue) + self._reserved >= self._most:
            return False
        if self._octets + octets > MOST_OCTETS:
            return False
        self._reserved += 1
        self._octets += octets
        return True

    def give_back(self, octets: int) -> None:
        """The reserved place is not needed."""
        self._reserved -= 1
        self._octets -= octets

    def add(self, work: Work, *, reserved: bool = False) -> None:
        if reserved:
            self._reserved -= 1
        else:
            self._octets += len(work.submission.data)
        self._queue.append(work)
        for domain in work.domains:
            self._domains[domain] += 1
        self.notify()

    def take(self, most: int) -> Work | None:
        """The next of whose domains none is being tried for so many messages already, so that one domain cannot
        take all the room; its place is taken until it is `done`."""
        for place, work in enumerate(self._queue):
            if self._may_begin(work, most):
                del self._queue[place]
                for domain in work.domains:
                    self._trying[domain] += 1
                return work
        return None

    def done(self, work: Work) -> None:
        for counted in (self._domains, self._trying):
            for domain in work.domains:
                counted[domain] -= 1
                if counted[domain] <= 0:
                    del counted[domain]
        self._octets -= len(work.submission.data)

    def drain(self) -> list[Work]:
        """Everything that was not begun."""
        left = list(self._queue)
        self._queue.clear()
        return left

    def is_low(self, most: int, *, enough: int) -> bool:
        """Whether `take` could give no more than `enough`. Looks no further than it must: asked at each turn."""
        if len(self._queue) <= enough:
            return True
        found = 0
        for work in self._queue:
            found += self._may_begin(work, most)
            if found > enough:
                return False
        return True

    def crowded(self, most: int) -> frozenset[str]:
        """Domains with so many messages held here that no more should be taken from disk."""
        return frozenset(domain for domain, number in self._domains.items() if number >= most)

    def _may_begin(self, work: Work, most: int) -> bool:
        return not self._trying or all(self._trying[domain] < most for domain in work.domains)
