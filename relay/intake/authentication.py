"""The dialogue of AUTH PLAIN and AUTH LOGIN (RFC 4954, RFC 4616): from the command to a name and a password.

Whether AUTH is allowed here, and whether the password is right, is decided elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from relay import replies
from relay.replies import Reply

MECHANISMS = ("PLAIN", "LOGIN")
MAX_LINE = 12288
"""RFC 4954 4.1.3."""

Ask = Callable[[Reply], Awaitable[bytes]]
"""Sends a challenge and gives the client's next line, without its end."""

_USERNAME = base64.b64encode(b"Username:").decode()
_PASSWORD = base64.b64encode(b"Password:").decode()


class Unfinished(Exception):
    """The dialogue came to no credentials; carries the reply that says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


async def credentials(argument: str, ask: Ask) -> tuple[str, str]:
    """Name and password. `argument` is what follows the word AUTH. Raises Unfinished."""
    mechanism, _, initial = argument.partition(" ")
    first = initial.strip().encode() or None
    match mechanism.upper():
        case "PLAIN":
            return _plain(await _response(first, "", ask))
        case "LOGIN":
            name = await _response(first, _USERNAME, ask)
            return _text(name), _text(await _response(None, _PASSWORD, ask))
        case _:
            raise Unfinished(replies.AUTH_MECHANISM_UNKNOWN)


async def _response(initial: bytes | None, challenge: str, ask: Ask) -> bytes:
    line = initial if initial is not None else await ask(replies.challenge(challenge))
    if line == b"*":
        raise Unfinished(replies.AUTH_CANCELLED)
    if initial == b"=":  # RFC 4954 4: an initial response of no octets
        return b""
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise Unfinished(replies.AUTH_MALFORMED) from None


def _plain(message: bytes) -> tuple[str, str]:
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise Unfinished(replies.AUTH_MALFORMED)
    acts_for, name, password = map(_text, parts)
    if acts_for not in ("", name):  # acting for somebody else is nobody's right here
        raise Unfinished(replies.BAD_CREDENTIALS)
    return name, password


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Unfinished(replies.AUTH_MALFORMED) from None
