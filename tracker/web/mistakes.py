"""Tokens that do not verify: most were cut on their way, and a person reads why. Whoever sends them by the dozen is
answered in few words; who has a good token never waits for them, wherever both come from.

Addresses stay in memory. Of a token sealed with a key that this node lacks nothing can be told: it may be somebody's
invention, or all links since the key ring was rotated elsewhere. That is said aloud.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv6Address

from tracker import log
from tracker.errors import TokenError, UnknownKey
from tracker.rates import Buckets, Rate
from tracker.tokens import KeyRing, Kind, Token, read
from tracker.web.origin import Address

_APART = 60.0
_MOST_NAMED = 8
_V6_BITS = 64
"""What one customer of a network has all of."""


class Mistakes:
    """What a process remembers of them."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets = Buckets()
        self._unknown: set[str] = set()
        self._next_word = 0.0

    def read(self, text: str, kind: Kind, ring: KeyRing) -> Token | None:
        """What the token says; None when it is not one of ours of that kind."""
        try:
            token = read(text, ring)
        except UnknownKey as error:
            self._note(error.key_id.hex())
            return None
        except TokenError:
            return None
        return token if token.kind is kind else None

    def may(self, client: Address | None, rate: Rate | None) -> bool:
        """May somebody there have another page that explains? `client` None: who it is is not known."""
        return client is None or rate is None or self._buckets.has(_whose(client), rate, now=self._clock())

    def made(self, client: Address | None, rate: Rate | None) -> bool:
        """Counts one; False where it was one too many."""
        return client is None or rate is None or self._buckets.take(_whose(client), rate, now=self._clock())

    def _note(self, key: str) -> None:
        """Said with the first, then once a minute."""
        if len(self._unknown) < _MOST_NAMED:
            self._unknown.add(key)
        now = self._clock()
        if now >= self._next_word:
            log.unknown_keys(sorted(self._unknown))
            self._next_word = now + _APART
            self._unknown.clear()


def _whose(client: Address) -> str:
    if isinstance(client, IPv6Address):
        return f"{int(client) >> (128 - _V6_BITS):x}"
    return str(client)
