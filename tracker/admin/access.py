"""Who may come in, and what for: users with roles, sealed sessions, tokens against forged forms.

A session is a cookie that says who signed in and when, sealed with a key of the ring: all nodes read it, and none
keeps anything. It ends with its time, and at once when the user's password, role or name changes. Where no user is
configured the listener is on loopback, and whoever sits at the machine may do everything; a page of the web must not
be able to, so the request has to be addressed to the machine itself (DNS rebinding).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address

from tracker.config import AdminTable
from tracker.passwords import Passwords
from tracker.rates import Buckets, Rate
from tracker.tokens import KeyRing

_FAILURES = Rate(amount=10, seconds=300.0)
_FAILURES_OF_A_NAME = Rate(amount=100, seconds=300.0)


class Role(IntEnum):
    """Each may do what those before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks, as long as the session lasts."""

    name: str
    """`""` where no users are configured."""
    role: Role
    form_token: str
    """Stands in every form of theirs."""
    cookie: str


class TooManyFailures(Exception):
    """Somebody guesses."""


class Access:
    """Reads and makes sessions. `clock` gives seconds since 1970."""

    def __init__(
        self, table: Callable[[], AdminTable], ring: KeyRing, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._key = hashlib.blake2b(key=ring.permanent, digest_size=32, person=b"candor-session").digest()
        self._clock = clock
        self._failures = Buckets()
        self._under_way: Counter[str] = Counter()
        self._known: tuple[AdminTable, Passwords] | None = None

    @property
    def is_open(self) -> bool:
        """Nobody is named, and nobody signs in."""
        return not self._table().user

    def visitor(self, cookie: str, host: str) -> Visitor | None:
        """Who sent this cookie to this `Host`; None for nobody we know."""
        if self.is_open:
            return self._whoever_sits_here(cookie) if is_this_machine(host) else None
        said = self._read(cookie)
        if said is None:
            return None
        user = next((one for one in self._table().user if one.name == said["name"]), None)
        if user is None or said["mark"] != self._mark(user.password_hash, user.role):
            return None
        return self._visitor(user.name, Role[user.role.upper()], cookie)

    async def sign_in(self, name: str, password: str, address: str) -> Visitor | None:
        """A new session, or None where name and password do not fit. Raises TooManyFailures."""
        now = self._clock()
        buckets = ((f"{address} {name}", _FAILURES), (name, _FAILURES_OF_A_NAME))
        for key, rate in buckets:  # what is still being looked at may fail too
            if self._failures.used(key, rate, now=now) + self._under_way[key] + 1 > rate.amount:
                raise TooManyFailures
        keys = [key for key, _ in buckets]
        self._under_way.update(keys)
        try:
            fits = await self._passwords().match(name, password)
        finally:
            self._under_way.subtract(keys)
            self._under_way = +self._under_way  # without those at 0
        if not fits:
            for key, rate in buckets:
                self._failures.take(key, rate, now=now)
            return None
        user = next(one for one in self._table().user if one.name == name)
        cookie = self._seal(name, self._mark(user.password_hash, user.role))
        return self._visitor(name, Role[user.role.upper()], cookie)

    def _whoever_sits_here(self, cookie: str) -> Visitor:
        said = self._read(cookie)
        if said is None or said["name"]:
            cookie = self._seal("", "")
        return self._visitor("", Role.ADMIN, cookie)

    def _visitor(self, name: str, role: Role, cookie: str) -> Visitor:
        token = hashlib.blake2b(
            cookie.encode(), key=self._key, digest_size=16, person=b"candor-form"
        ).hexdigest()
        return Visitor(name=name, role=role, form_token=token, cookie=cookie)

    def _passwords(self) -> Passwords:
        table = self._table()
        if self._known is None or self._known[0] is not table:
            self._known = table, Passwords({one.name: one.password_hash for one in table.user})
        return self._known[1]

    def _mark(self, *secret: str) -> str:
        """Says whether something is still the same, and nothing of it."""
        content = "\n".join(secret).encode()
        return hashlib.blake2b(content, key=self._key, digest_size=16, person=b"candor-mark").hexdigest()

    def _seal(self, name: str, mark: str) -> str:
        said = {"name": name, "mark": mark, "since": int(self._clock()), "nonce": secrets.token_hex(8)}
        # Without padding: `=` would have the cookie quoted.
        content = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
        return f"{content}.{self._signature(content)}"

    def _read(self, cookie: str) -> dict[str, str] | None:
        content, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            return None
        try:
            said = json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
        except (ValueError, binascii.Error):  # sealed by another version
            return None
        age = self._clock() - said["since"]
        return said if age + 60 >= 0 and age < self._table().session else None

    def _signature(self, content: str) -> str:
        octets = content.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(octets, key=self._key, digest_size=32, person=b"candor-cookie").hexdigest()


def is_this_machine(host: str) -> bool:
    """Whether a `Host` header names the machine the browser runs on."""
    name = host.rpartition(":")[0] if host.count(":") == 1 or "]:" in host else host
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"
