"""Keys of programs that use the API: how they are spelt, and what each may do.

A key is shown once and kept only as its digest: it holds 256 random bits, so a plain digest is as good as a slow one.
Its last characters are a checksum, by which scanners for leaked secrets and we ourselves know a mistyped one without
asking anybody.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from tracker.errors import InvalidValue

PREFIX = "candor_"
SCOPES = {
    "contacts:read": "who is known, what they said, and everything kept of one person",
    "contacts:write": "take down what people say, and facts about them",
    "contacts:erase": "erase people, and cut them loose from what they did",
    "messages:read": "messages, and what became of each delivery",
    "events:read": "opens and clicks by name, of those who may be named",
    "reports:read": "numbers that name nobody",
    "conversions:write": "tell of orders and sign-ups",
    "suppressions:read": "to whom mail is not sent",
    "suppressions:write": "the way on and off that list",
    "queue:read": "what waits to be sent on",
    "queue:write": "retry, hold, release and drop it",
    "keys:read": "the keys there are",
    "keys:write": "make keys that may do no more than one's own, and revoke keys",
    "health:read": "how the system is",
}
"""What a key may be for, and what that is."""
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECK = 12, 43, 6
_TOKEN = re.compile(rf"{PREFIX}([0-9a-f]{{{_ID}}})([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{{_CHECK}}})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """A key just made. `token` is what its user sends, and is not kept."""

    id: str
    token: str
    digest: bytes

    def __repr__(self) -> str:
        return f"Fresh({self.id})"


def fresh() -> Fresh:
    """A new key."""
    id_ = secrets.token_hex(_ID // 2)
    body = PREFIX + id_ + _base62(secrets.randbits(256), _SECRET)
    token = body + _checksum(body)
    return Fresh(id=id_, token=token, digest=digest(token))


def id_in(token: str) -> str | None:
    """Which key it claims to be; None for what cannot be one of ours."""
    match = _TOKEN.fullmatch(token)
    if match is None or _checksum(token[:-_CHECK]) != match[3]:
        return None
    return match[1]


def digest(token: str) -> bytes:
    """What is kept of it."""
    return hashlib.sha256(token.encode()).digest()


def checked_name(name: str) -> str:
    """Raises InvalidValue that says what is allowed."""
    if not _NAME.fullmatch(name):
        raise InvalidValue(
            f"{name!r} is no name for a key: 1 to 64 letters, digits, dots, hyphens and underscores, such as shop"
        )
    return name


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """In our order, each once. Raises InvalidValue for one that there is not, and for none."""
    wanted = set(scopes)
    if unknown := sorted(wanted - SCOPES.keys()):
        raise InvalidValue(f"{unknown[0]!r} is no scope; there are {', '.join(SCOPES)}")
    if not wanted:
        raise InvalidValue(f"a key needs a scope: {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
