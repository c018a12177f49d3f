"""What one session may send: by its login or its network, how much, and in whose name.

Asked at MAIL and RCPT. Reads no message; who is logged in is `Login`'s to know, what a user may do the user base's,
which is asked each time, so that a new configuration holds at once for those who are logged in already.
"""

from __future__ import annotations

import asyncio

from relay import log as words
from relay import replies
from relay.intake.authentication import Login
from relay.intake.connection import Peer
from relay.intake.services import Services
from relay.intake.settings import Settings, is_within
from relay.replies import Reply
from relay.users import User
from tracker.rates import Rate


class Permission:
    def __init__(self, peer: Peer, login: Login | None, settings: Settings, services: Services) -> None:
        self._peer = peer
        self._login = login
        self._settings = settings
        self._services = services
        self._is_let_in = is_within(peer.address, settings.allowed_networks)

    @property
    def user(self) -> User | None:
        """Who is logged in; None too where the configuration knows them no more."""
        name, users = self._login.user if self._login is not None else None, self._services.users
        return users.get(name) if name is not None and users is not None else None

    @property
    def may_authenticate(self) -> bool:
        secure = self._peer.tls_version is not None
        return self._login is not None and (
            secure or is_within(self._peer.address, self._settings.plaintext_auth_networks)
        )

    def relaying(self) -> Reply | None:
        """Why this client may not send to anywhere; None when it may."""
        if self._is_let_in or self.user is not None:
            return None
        if self.may_authenticate:
            return replies.AUTH_REQUIRED
        if self._login is not None and self._peer.can_start_tls:
            return replies.TLS_REQUIRED
        return replies.CLIENT_NOT_PERMITTED

    def message(self, sender: str) -> Reply | None:
        """Why no message from this sender can come now; else it counts from here on."""
        user = self.user
        if user is not None and not user.may_send_as(sender):
            return replies.SENDER_NOT_YOURS
        rate = self._settings.client_rate if user is None else user.rate
        if rate is None:
            return None
        whose, now, buckets = self._whose(user), asyncio.get_running_loop().time(), self._services.rates
        if rate.counted == "messages":
            room = buckets.take(whose, rate, now=now)
        else:
            room = buckets.has(whose, rate, now=now)
        return None if room else self._exceeded(rate)

    def recipient(self, *, counts: bool) -> Reply | None:
        """Why there can be no further recipient now. `counts`: this one was taken."""
        user = self.user
        rate = self._settings.client_rate if user is None else user.rate
        if rate is None or rate.counted != "recipients":
            return None
        whose, now, buckets = self._whose(user), asyncio.get_running_loop().time(), self._services.rates
        room = buckets.take(whose, rate, now=now) if counts else buckets.has(whose, rate, now=now)
        return None if room else self._exceeded(rate)

    def _whose(self, user: User | None) -> str:
        """Under which name it is counted."""
        return f"client {self._peer.key}" if user is None else f"user {user.name}"

    def _exceeded(self, rate: Rate) -> Reply:
        user = self.user
        words.rate_exceeded(
            self._services.log,
            self._peer.name,
            client=self._peer.alias,
            rate=str(rate),
            user=None if user is None else user.name,
        )
        return replies.rate_exceeded(rate.amount, rate.counted, int(rate.seconds))
