"""What all sessions share and none may use up: connections, memory, patience with wrong passwords.

Plain counters; `now` is an argument. They outlive a change of settings.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from relay import replies
from relay.intake.settings import Address
from relay.replies import Reply

DESCRIPTORS_IN_RESERVE = 128
"""Open files kept for the database, upstreams and the other listeners."""
MAX_KNOWN_FAILURES = 10_000
FORGET_FAILURES_AFTER = 900.0


@lru_cache(maxsize=4096)
def client_key(address: Address | None) -> str:
    """One client: an IPv4 address, or an IPv6 /64, which is what a single customer is given."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return str(address)


def possible_connections() -> int:
    """How many the limit on open files leaves room for."""
    try:
        import resource
    except ImportError:  # no such limits on this platform
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(1, soft - DESCRIPTORS_IN_RESERVE, soft // 2)


class Connections:
    def __init__(self) -> None:
        self._by_client: Counter[str] = Counter()
        self._all = 0

    def enter(self, client: str, *, most: int, most_per_client: int) -> Reply | None:
        """None when there is room; every `enter` that said so is owed a `leave`."""
        if self._all >= most:
            return replies.TOO_MANY_CONNECTIONS
        if self._by_client[client] >= most_per_client:
            return replies.TOO_MANY_CONNECTIONS_FROM_CLIENT
        self._all += 1
        self._by_client[client] += 1
        return None

    def leave(self, client: str) -> None:
        self._all -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]


class Memory:
    """Octets held for messages by all sessions together."""

    def __init__(self) -> None:
        self.held = 0

    def claim(self, *, most: int) -> Claim:
        return Claim(self, most)


class Claim:
    """One message's share of the memory. Starts with nothing; must be released."""

    def __init__(self, memory: Memory, most: int) -> None:
        self._memory = memory
        self._most = most
        self._held = 0

    def resize(self, octets: int) -> bool:
        """False, and nothing changed, where all together would hold too much. Alone one may grow at will:
        a message within the size limit must have its chance."""
        others = self._memory.held - self._held
        if octets > self._held and others and others + octets > self._most:
            return False
        self._memory.held = others + octets
        self._held = octets
        return True

    def passed_on(self) -> Claim:
        """The same share for another holder; releasing this one is then without effect."""
        heir = Claim(self._memory, self._most)
        heir._held, self._held = self._held, 0
        return heir

    def release(self) -> None:
        self.resize(0)


class Failures:
    """Failed logins per client, so that guessing gets slower whoever reconnects."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}

    def note(self, client: str, *, now: float) -> None:
        count = self.count(client, now=now) + 1
        self._known.pop(client, None)
        self._known[client] = (count, now)
        if len(self._known) > MAX_KNOWN_FAILURES:
            del self._known[next(iter(self._known))]

    def forgive(self, client: str) -> None:
        self._known.pop(client, None)

    def count(self, client: str, *, now: float) -> int:
        count, at = self._known.get(client, (0, now))
        return count if now - at < FORGET_FAILURES_AFTER else 0

    def delay(self, client: str, *, unit: float, now: float) -> float:
        """Seconds to wait before the next answer: nothing, then unit, 2, 4 … 30 times unit."""
        count = self.count(client, now=now)
        return unit * min(2 ** min(count - 1, 10), 30) if count else 0.0
