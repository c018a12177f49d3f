"""Who may ask, and how often: a key in the Authorization header, never a session of the pages; a rate for each key."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from tracker.admin.api.operations import Operation
from tracker.admin.api.problems import Trouble
from tracker.domain import Domain
from tracker.rates import Buckets, Rate
from tracker.store.api_keys import ApiKey, ApiKeys
from tracker.store.audit import Action

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="candor"'}
_MOST_READERS = 10_000
HEADERS = web.RequestKey("api_headers", dict[str, str])
"""What the answer to a request bears, whatever it is."""


class Guard:
    """`await admit(request, operation)`. `clock` never goes back."""

    def __init__(self, domain: Domain, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._domain = domain
        self._keys = ApiKeys(domain.database)
        self._buckets = Buckets()
        self._clock = clock
        self._read: dict[tuple[str, str], str] = {}
        """In which hour a key last read what names people."""

    async def admit(self, request: web.Request, operation: Operation) -> ApiKey:
        """The key that may do this now. Raises Trouble, StoreUnavailable."""
        domain, now = self._domain, datetime.now(UTC)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Trouble(401, "send a key: Authorization: Bearer candor_…", headers=_CHALLENGE)
        key = await self._keys.of(token.strip(), now)
        if key is None:
            challenge = {"WWW-Authenticate": f'{_CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
            raise Trouble(401, "this key was mistyped, or does not hold any more", headers=challenge)
        self._hold_to_rate(request, key, domain.config.api.request_rate)
        missing = [scope for scope in operation.scopes if scope not in key.scopes]
        if missing:
            raise Trouble(403, f"this key is not for that: it lacks {' and '.join(missing)}")
        return key

    async def note_reading(self, key: ApiKey, operation: Operation) -> None:
        """Into the audit, once an hour for each key and operation: programs read all day long."""
        now = datetime.now(UTC)
        hour, known = f"{now:%Y-%m-%dT%H}", (key.id, operation.name)
        if self._read.get(known) == hour:
            return
        note = self._domain.audit.note
        await note(Action.LOOK, None, actor=f"api:{key.name}", now=now, about=operation.name)
        if len(self._read) >= _MOST_READERS:
            self._read.clear()
        self._read[known] = hour

    def _hold_to_rate(self, request: web.Request, key: ApiKey, rate: Rate | None) -> None:
        """As draft-ietf-httpapi-ratelimit-headers tells it."""
        if rate is None:
            return
        now = self._clock()
        may = self._buckets.take(key.id, rate, now=now)
        used = self._buckets.used(key.id, rate, now=now)
        left, full = max(0, math.floor(rate.amount - used)), math.ceil(used * rate.seconds / rate.amount)
        request[HEADERS]["RateLimit-Policy"] = f'"key";q={rate.amount};w={round(rate.seconds)}'
        request[HEADERS]["RateLimit"] = f'"key";r={left};t={full}'
        if not may:
            wait = max(1, math.ceil((used + 1 - rate.amount) * rate.seconds / rate.amount))
            raise Trouble(429, f"at most {rate} of one key", headers={"Retry-After": str(wait)})
