"""The conversation of one session: commands in, replies out, in the order RFC 5321 4.1.4 allows.

Knows what may be said when and by whom; of its connection it knows only what `Connection` names. A message
that is complete is handed to `Deliveries`, and the client hears what comes of it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from relay import log as words
from relay import replies
from relay.intake.authentication import MAX_LINE, MECHANISMS, Unfinished, credentials
from relay.intake.content import Content
from relay.intake.deliveries import Deliveries
from relay.intake.limits import Claim, Failures, Memory, client_key
from relay.intake.settings import Address, Settings, is_within
from relay.intake.transaction import Refused, Transaction
from relay.intake.wire import ClientGone, LineTooLong, Wire
from relay.replies import Reply
from relay.submission import Client

MAX_COMMAND_LINE = 4096
"""Octets with the line's end: room for the extensions' longer commands (RFC 5321 4.5.3.1.4, RFC 3461 4)."""

Authenticate = Callable[[str, str], Awaitable[bool]]
Check = Callable[[], Reply | None]

_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]#%&*+=!?/~^$|'{}-]{1,255}")
"""Any name a client may give itself that cannot end the clause it stands in in a `Received:` line."""
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"})


class Goodbye(Exception):
    """The session ends with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(slots=True, kw_only=True)
class Services:
    """What the sessions of one intake share."""

    deliveries: Deliveries
    authenticate: Authenticate | None
    check: Check | None
    log: words.Log
    memory: Memory = field(default_factory=Memory)
    failures: Failures = field(default_factory=Failures)
    stopping: bool = False


class Connection(Protocol):
    """What a dialogue asks of the connection that carries it."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> Address | None: ...
    @property
    def tls_version(self) -> str | None: ...
    @property
    def can_start_tls(self) -> bool: ...
    @property
    def is_open(self) -> bool: ...
    def deadline(self, seconds: float | None) -> None:
        """Cut the session off with 421 unless called again in time; None for no deadline."""

    async def start_tls(self) -> None:
        """Answer 220 and come back under TLS. Raises ClientGone when it fails."""


class Dialogue:
    def __init__(self, connection: Connection, wire: Wire, settings: Settings, services: Services) -> None:
        self._connection = connection
        self._wire = wire
        self._settings = settings
        self._services = services
        self._helo: str | None = None
        self._esmtp = False
        self._user: str | None = None
        self._transaction: Transaction | None = None
        self._errors = 0
        self._failed_logins = 0

    @property
    def idle(self) -> bool:
        """Nothing would be lost by ending it now."""
        return self._transaction is None

    async def run(self) -> None:
        """From the greeting to the end. Raises Goodbye or ClientGone, never returns otherwise."""
        self._wire.say(replies.greeting(self._settings.hostname))
        while True:
            if self._services.stopping and self.idle:
                raise Goodbye(replies.SHUTTING_DOWN)
            reply = await self._turn()
            if reply is None:
                continue
            if reply.code in (221, 421):
                raise Goodbye(reply)
            self._wire.say(reply)

    async def _turn(self) -> Reply | None:
        self._connection.deadline(self._settings.command_timeout)
        try:
            line = await self._wire.line(MAX_COMMAND_LINE)
        except LineTooLong:
            return self._counted(replies.LINE_TOO_LONG)
        try:
            return await self._obey(line)
        except (Goodbye, ClientGone):
            raise
        except Exception as error:  # noqa: BLE001 - the border: never a 500, never a traceback to the client
            id = (self._transaction.id if self._transaction else secrets.token_bytes(16)).hex()
            self._transaction = None
            words.session_failed(self._services.log, self._connection.name, id=id, error=error)
            return replies.unexpected(id)

    async def _obey(self, line: bytes) -> Reply | None:
        text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        if verb in _HTTP:
            raise Goodbye(replies.NOT_HTTP)
        if not line.endswith(b"\r\n"):
            return self._counted(replies.BARE_NEWLINE_IN_COMMAND)
        if _CONTROLS.search(line, 0, len(line) - 2) or not _is_text(text):
            return self._counted(replies.BAD_CHARACTERS)
        command = _COMMANDS.get(verb)
        if command is None:
            return self._counted(replies.UNKNOWN_COMMAND)
        reply = await command(self, argument.strip(" "))
        # A list with many bad recipients is no attack on the protocol, nor is a message refused; DATA counts
        # for itself what is.
        pardoned = reply is None or verb == "DATA" or (verb == "RCPT" and reply.enhanced.startswith("5.1."))
        return reply if reply is None or pardoned else self._counted(reply)

    def _counted(self, reply: Reply) -> Reply:
        self._errors += reply.is_permanent
        return replies.TOO_MANY_ERRORS if self._errors >= self._settings.max_errors else reply

    # --- the session ---

    async def _ehlo(self, argument: str) -> Reply:
        return self._greeted(argument, esmtp=True, extensions=self._extensions())

    async def _hello(self, argument: str) -> Reply:
        return self._greeted(argument, esmtp=False, extensions=())

    def _greeted(self, argument: str, *, esmtp: bool, extensions: tuple[str, ...]) -> Reply:
        if not _HOST.fullmatch(argument):
            return replies.HELLO_SYNTAX
        self._helo, self._esmtp, self._transaction = argument, esmtp, None
        return replies.hello(self._settings.hostname, extensions)

    def _extensions(self) -> tuple[str, ...]:
        offered = [
            "PIPELINING",
            f"SIZE {self._settings.max_message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "DSN",
            f"LIMITS RCPTMAX={self._settings.max_recipients}",
        ]
        if self._connection.can_start_tls:
            offered.append("STARTTLS")
        if self._may_authenticate():
            offered.append(f"AUTH {' '.join(MECHANISMS)}")
        return tuple(offered)

    async def _noop(self, _: str) -> Reply:
        return replies.OK

    async def _help(self, _: str) -> Reply:
        return replies.HELP

    async def _vrfy(self, _: str) -> Reply:
        return replies.CANNOT_VERIFY

    async def _not_implemented(self, _: str) -> Reply:
        return replies.NOT_IMPLEMENTED

    async def _rset(self, argument: str) -> Reply:
        if argument:
            return replies.NO_ARGUMENT_ALLOWED
        self._transaction = None
        return replies.OK

    async def _quit(self, argument: str) -> Reply:
        return replies.NO_ARGUMENT_ALLOWED if argument else replies.GOODBYE

    # --- TLS and AUTH ---

    async def _starttls(self, argument: str) -> Reply | None:
        if argument:
            return replies.NO_ARGUMENT_ALLOWED
        if self._connection.tls_version:
            return replies.TLS_ACTIVE
        if not self._connection.can_start_tls:
            return replies.TLS_UNAVAILABLE
        await self._connection.start_tls()
        # RFC 3207 4.2: what was said in clear counts no more.
        self._helo, self._esmtp, self._user, self._transaction = None, False, None, None
        return None

    def _may_authenticate(self) -> bool:
        secure = self._connection.tls_version is not None
        return self._services.authenticate is not None and (
            secure or is_within(self._connection.address, self._settings.plaintext_auth_networks)
        )

    async def _auth(self, argument: str) -> Reply:
        if self._services.authenticate is None:
            return replies.AUTH_UNAVAILABLE
        if not self._may_authenticate():
            return replies.AUTH_NEEDS_TLS
        if not self._esmtp:
            return replies.HELLO_FIRST
        if self._user is not None or self._transaction is not None:
            return replies.AUTH_OUT_OF_ORDER
        try:
            name, password = await credentials(argument, self._ask)
        except LineTooLong:
            return replies.AUTH_LINE_TOO_LONG
        except Unfinished as unfinished:
            return unfinished.reply
        return await self._login(self._services.authenticate, name, password)

    async def _ask(self, challenge: Reply) -> bytes:
        self._wire.say(challenge)
        return (await self._wire.line(MAX_LINE)).rstrip(b"\r\n")

    async def _login(self, authenticate: Authenticate, name: str, password: str) -> Reply:
        log, session, failures = self._services.log, self._connection.name, self._services.failures
        client, clock = client_key(self._connection.address), asyncio.get_running_loop().time
        self._connection.deadline(None)
        await asyncio.sleep(failures.delay(client, unit=self._settings.failed_login_delay, now=clock()))
        try:
            correct = await authenticate(name, password)
        except Exception as error:  # noqa: BLE001 - a broken user store is no reason to call a password wrong
            words.login_error(log, session, error=error)
            return replies.AUTH_TEMPORARY
        if correct:
            self._user = name
            failures.forgive(client)
            words.login_succeeded(log, session, user=name)
            return replies.AUTHENTICATED
        self._failed_logins += 1
        failures.note(client, now=clock())
        words.login_failed(log, session)
        exhausted = self._failed_logins >= self._settings.max_failed_logins
        return replies.TOO_MANY_FAILED_LOGINS if exhausted else replies.BAD_CREDENTIALS

    # --- the envelope ---

    async def _mail(self, argument: str) -> Reply:
        if self._helo is None:
            return replies.HELLO_FIRST
        if self._transaction is not None:
            return replies.NESTED_MAIL
        refusal = self._not_permitted() or (self._services.check() if self._services.check else None)
        if refusal is not None:
            return refusal
        try:
            self._transaction = Transaction(argument, max_size=self._settings.max_message_size)
        except Refused as refused:
            return refused.reply
        return replies.SENDER_OK

    def _not_permitted(self) -> Reply | None:
        if self._user is not None or is_within(self._connection.address, self._settings.allowed_networks):
            return None
        if self._may_authenticate():
            return replies.AUTH_REQUIRED
        if self._services.authenticate is not None and self._connection.can_start_tls:
            return replies.TLS_REQUIRED
        return replies.CLIENT_NOT_PERMITTED

    async def _rcpt(self, argument: str) -> Reply:
        if self._transaction is None:
            return replies.MAIL_FIRST
        return self._transaction.recipient(argument, limit=self._settings.max_recipients)

    # --- the message ---

    async def _data(self, argument: str) -> Reply:
        if self._transaction is None:
            return self._counted(replies.MAIL_FIRST)
        if argument:
            return self._counted(replies.NO_ARGUMENT_ALLOWED)
        if not self._transaction.has_recipients:
            return replies.NO_RECIPIENTS
        self._wire.say(replies.SEND_DATA)
        await self._wire.flush()
        transaction = self._transaction
        claim = self._services.memory.claim(most=self._settings.max_memory)
        try:
            content = await self._receive(claim)
            if content.refusal is None:
                return await self._hand_over(transaction, content.message, claim)
            words.submission_refused(self._services.log, transaction.id.hex(), reply=content.refusal)
            return content.refusal
        finally:
            claim.release()
            self._transaction = None

    async def _receive(self, claim: Claim) -> Content:
        """The whole message, however it is judged. Time is a stock that silence uses up and octets refill."""
        settings, clock = self._settings, asyncio.get_running_loop().time
        content = Content(limit=settings.max_message_size, bare_newlines=settings.bare_newlines)
        allowance, now = settings.data_timeout, clock()
        while True:
            self._connection.deadline(allowance)
            block = await self._wire.block()
            rest = content.feed(block)
            if not claim.resize(content.held):
                content.refuse(replies.NO_ROOM)
                claim.resize(content.held)
            if rest is not None:
                self._wire.put_back(rest)
                return content
            earned = (
                len(block) / settings.lowest_data_rate if settings.lowest_data_rate else settings.data_timeout
            )
            before, now = now, clock()
            allowance = min(settings.data_timeout, allowance - (now - before) + earned)

    async def _hand_over(self, transaction: Transaction, message: bytes, claim: Claim) -> Reply:
        client = self._client()
        submission = transaction.submission(message, client=client, received_at=datetime.now(UTC))
        words.submission_received(
            self._services.log,
            submission.id.hex(),
            session=self._connection.name,
            recipients=len(submission.recipients),
            size=len(message),
            tls=client.tls,
        )
        self._connection.deadline(None)
        reply = await self._services.deliveries.settle(
            submission, claim=claim.passed_on(), client_waits=lambda: self._connection.is_open
        )
        self._errors = 0 if reply.is_success else self._errors
        return reply

    def _client(self) -> Client:
        address = self._connection.address
        return Client(
            address="" if address is None else str(address),
            helo=self._helo or "",
            user=self._user,
            tls=self._connection.tls_version,
            esmtp=self._esmtp,
        )


def _is_text(text: str) -> bool:
    """False for what was no UTF-8 and now holds lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_Command = Callable[[Dialogue, str], Awaitable[Reply | None]]
_COMMANDS: dict[str, _Command] = {
    "EHLO": Dialogue._ehlo,
    "HELO": Dialogue._hello,
    "MAIL": Dialogue._mail,
    "RCPT": Dialogue._rcpt,
    "DATA": Dialogue._data,
    "RSET": Dialogue._rset,
    "NOOP": Dialogue._noop,
    "QUIT": Dialogue._quit,
    "VRFY": Dialogue._vrfy,
    "EXPN": Dialogue._not_implemented,
    "HELP": Dialogue._help,
    "STARTTLS": Dialogue._starttls,
    "AUTH": Dialogue._auth,
}
