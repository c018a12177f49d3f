"""Names and argon2 hashes: who may come in, told without telling who exists.

A hash takes tens of milliseconds and 64 MiB by design, so it is computed off the loop, few at a time, and a
success is remembered for some minutes: clients that connect anew for each message pay once. Remembered is a
keyed digest, never the password.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

REMEMBER_FOR = 300.0
MAX_REMEMBERED = 4096
HASHES_AT_ONCE = 2

_hasher = PasswordHasher()
_HASH = re.compile(r"\$argon2(?:id|i|d)(?:\$v=\d+)?\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


def hash_password(password: str) -> str:
    """An argon2id hash to put into the configuration. Slow by design."""
    return _hasher.hash(password)


def is_hash(text: str) -> bool:
    """Is it whole, with salt and hash? What is cut short or a placeholder would refuse every password."""
    return _HASH.fullmatch(text) is not None


class Passwords:
    """The hashes by name of one configuration. A new configuration makes new ones, which remember nothing."""

    def __init__(self, hashes: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hashes = dict(hashes)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._turns = asyncio.Semaphore(HASHES_AT_ONCE)
        # An unknown name costs the same as a wrong password, so that names cannot be told by the time taken.
        self._decoy = next(iter(self._hashes.values()), None)

    async def match(self, name: str, password: str) -> bool:
        """Is this the password of that name? Never raises for what a client can send."""
        known = self._hashes.get(name)
        mark = self._mark(name if known else None, password)
        if self._remembered.get(mark, 0.0) > self._clock():
            return True
        password_hash = known or self._decoy
        if password_hash is None:
            return False
        matches = await self._computed(password_hash, password)
        if known is None or not matches:
            return False
        self._remember(mark)
        return True

    async def _computed(self, password_hash: str, password: str) -> bool:
        await self._turns.acquire()
        work = asyncio.get_running_loop().run_in_executor(None, _matches, password_hash, password)
        # Whoever asks and leaves keeps the turn until the thread is done, or a crowd of them would have many at once.
        work.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(work)

    def _mark(self, name: str | None, password: str) -> bytes:
        # Each field's length is in the digest: no two pairs of name and password share a mark.
        digest = hmac.new(self._key, digestmod=hashlib.sha256)
        for field in (name, password) if name is not None else ():
            octets = field.encode("utf-8", "surrogatepass")
            digest.update(len(octets).to_bytes(8, "big") + octets)
        return digest.digest()

    def _remember(self, mark: bytes) -> None:
        now = self._clock()
        self._remembered.pop(mark, None)
        for old in [known for known, until in self._remembered.items() if until <= now]:
            del self._remembered[old]
        if len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[mark] = now + REMEMBER_FOR


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
