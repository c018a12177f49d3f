"""AUTH PLAIN and AUTH LOGIN (RFC 4954, RFC 4616): from the command to a name, and patience with guesses.

Whether AUTH is allowed here is the dialogue's to say; whether a password is right, `authenticate`'s.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable

from relay import log as words
from relay import replies
from relay.intake.limits import Failures
from relay.intake.settings import Settings
from relay.intake.wire import ClientGone, LineTooLong
from relay.replies import Reply

MECHANISMS = ("PLAIN", "LOGIN")
MAX_LINE = 12288
"""RFC 4954 4.1.3."""

NEVER_BEGUN = frozenset({replies.AUTH_SYNTAX, replies.AUTH_MECHANISM_UNKNOWN})
"""Refused before any exchange: no password was tried."""

Authenticate = Callable[[str, str], Awaitable[bool]]
Ask = Callable[[Reply], Awaitable[bytes]]
"""Sends a challenge and gives the client's next line, without its end."""

_USERNAME = base64.b64encode(b"Username:").decode()
_PASSWORD = base64.b64encode(b"Password:").decode()


class Unfinished(Exception):
    """The dialogue came to no credentials; carries the reply that says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Login:
    """The logins of one session; `user` is who it is by now."""

    def __init__(
        self,
        authenticate: Authenticate,
        failures: Failures,
        settings: Settings,
        log: words.Log,
        *,
        session: str,
        known: Callable[[str], object | None],
    ) -> None:
        """`known` says whether there is a user of that name."""
        self.user: str | None = None
        self._authenticate = authenticate
        self._failures = failures
        self._settings = settings
        self._log = log
        self._session = session
        self._known = known
        self._failed = 0

    async def attempt(self, argument: str, ask: Ask, *, client: str, waiting: Callable[[], None]) -> Reply:
        """One AUTH command's whole exchange. `client` is whose failures count together: whatever was begun and came
        to no login, unless the fault was ours. `waiting` is called when no more is expected of the client."""
        try:
            return await self._attempt(argument, ask, client, waiting)
        except (asyncio.CancelledError, ClientGone):
            # Whoever leaves before the answer has tried a password all the same, and had it checked.
            self._failures.note(client, now=asyncio.get_running_loop().time())
            raise

    async def _attempt(self, argument: str, ask: Ask, client: str, waiting: Callable[[], None]) -> Reply:
        try:
            name, password = await credentials(argument, ask)
        except LineTooLong:
            return self._refused(client, None, replies.AUTH_LINE_TOO_LONG)
        except Unfinished as unfinished:
            reply = unfinished.reply
            return reply if reply in NEVER_BEGUN else self._refused(client, None, reply)
        waiting()
        clock, unit = asyncio.get_running_loop().time, self._settings.failed_login_delay
        await asyncio.sleep(self._failures.delay(client, unit=unit, now=clock()))
        try:
            correct = await self._authenticate(name, password)
        except Exception as error:  # noqa: BLE001 - a broken user store is no reason to call a password wrong
            words.login_error(self._log, self._session, error=error)
            return replies.AUTH_TEMPORARY
        if not correct:
            return self._refused(client, name, replies.BAD_CREDENTIALS)
        self.user = name
        self._failures.forgive(client)
        words.login_succeeded(self._log, self._session, user=name)
        return replies.AUTHENTICATED

    def _refused(self, client: str, name: str | None, reply: Reply) -> Reply:
        """An exchange that came to no login; `reply` says so to the client, unless it has failed too often."""
        self._failed += 1
        self._failures.note(client, now=asyncio.get_running_loop().time())
        if reply == replies.BAD_CREDENTIALS:  # the others are told as refused commands
            user = name if name is not None and self._known(name) is not None else None
            words.login_failed(self._log, self._session, client=words.alias(client), user=user)
        exhausted = self._failed >= self._settings.max_failed_logins
        return replies.TOO_MANY_FAILED_LOGINS if exhausted else reply


async def credentials(argument: str, ask: Ask) -> tuple[str, str]:
    """Name and password. `argument` is what follows the word AUTH. Raises Unfinished."""
    mechanism, _, initial = argument.partition(" ")
    if not mechanism:
        raise Unfinished(replies.AUTH_SYNTAX)
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
