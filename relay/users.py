"""Who may log in: names, argon2 hashes, and how far each user's mail may be tracked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tracker.passwords import Passwords
from tracker.rates import Rate

Track = Literal["full", "anonymous", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    password_hash: str
    track: Track = "full"
    """The most that mail of this user may be tracked; consent can only ask for less."""
    tags: tuple[str, ...] = ()
    """Added to each message of theirs."""
    rate: Rate | None = None
    senders: tuple[str, ...] = ()
    """Who they may be in MAIL FROM: `a@x.example`, `@x.example` for the whole domain, `@*.x.example` for all below it.
    Empty for anybody."""

    def may_send_as(self, sender: str) -> bool:
        """`sender` is the reverse path. The null sender is nobody's: whoever may send may send a report."""
        if not self.senders or not sender:
            return True
        address = sender.lower()
        _, _, domain = address.rpartition("@")
        return any(
            allowed in (address, f"@{domain}")
            or (allowed.startswith("@*.") and f".{domain}".endswith(allowed[2:]) and domain != allowed[3:])
            for allowed in map(str.lower, self.senders)
        )


class Users:
    """All users of one configuration. A new configuration makes a new one, which remembers no password."""

    def __init__(self, users: Mapping[str, User], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._users = dict(users)
        self._passwords = Passwords({name: user.password_hash for name, user in users.items()}, clock=clock)

    def get(self, name: str) -> User | None:
        return self._users.get(name)

    async def authenticate(self, name: str, password: str) -> bool:
        """Is this the user's password? Never raises for what a client can send."""
        return await self._passwords.match(name, password)
