"""The conversation of one session: commands in, replies out, in the order RFC 5321 4.1.4 allows.

Knows what may be said when and by whom; of its connection it knows only what `Connection` names. A message
that is complete is handed to `Deliveries`, and the client hears what comes of it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from relay import log as words
from relay import replies
from relay.intake.authentication import MAX_LINE, MECHANISMS, Login
from relay.intake.connection import Connection
from relay.intake.content import Chunks, Content
from relay.intake.permission import Permission
from relay.intake.reception import Reception
from relay.intake.services import Services
from relay.intake.settings import Settings
from relay.intake.transaction import Refused, Transaction
from relay.intake.wire import ClientGone, LineTooLong, Wire
from relay.replies import Reply
from relay.submission import Client

MAX_COMMAND_LINE = 4096
"""Octets with the line's end: room for the extensions' longer commands (RFC 5321 4.5.3.1.4, RFC 3461 4)."""


_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]#%&*+=!?/~^$|'{}-]{1,255}")
"""Any name a client may give itself that cannot end the clause it stands in in a `Received:` line."""
_CHUNK = re.compile(r"(?P<size>[0-9]{1,20})(?P<last> +LAST)?", re.IGNORECASE)
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"})


class Goodbye(Exception):
    """The session ends with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Dialogue:
    def __init__(self, connection: Connection, wire: Wire, settings: Settings, services: Services) -> None:
        self._connection = connection
        self._wire = wire
        self._settings = settings
        self._services = services
        self._helo: str | None = None
        self._esmtp = False
        self._login = (
            Login(
                services.users.authenticate,
                services.failures,
                settings,
                services.log,
                session=connection.name,
                known=services.users.get,
            )
            if services.users
            else None
        )
        self._permission = Permission(connection, self._login, settings, services)
        self._transaction: Transaction | None = None
        self._reception: Reception | None = None
        self._errors = 0
        self._refusals = words.Refusals(services.log, connection.name, client=connection.alias)

    @property
    def idle(self) -> bool:
        """Nothing would be lost by ending it now."""
        return self._transaction is None

    async def run(self) -> None:
        """From the greeting to the end. Raises Goodbye or ClientGone, never returns otherwise."""
        try:
            await self._converse()
        finally:
            self._reset()
            self._refusals.close()

    async def _converse(self) -> None:
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
            self._refusals.note("", replies.LINE_TOO_LONG)
            return self._counted(replies.LINE_TOO_LONG)
        try:
            reply = await self._obey(line)
            self._note(line, reply)
            return reply
        except (Goodbye, ClientGone):
            raise
        except Exception as error:  # noqa: BLE001 - the border: never a 500, never a traceback to the client
            id = (self._transaction.id if self._transaction else secrets.token_bytes(16)).hex()
            self._reset()
            words.session_failed(self._services.log, self._connection.name, id=id, error=error)
            return replies.unexpected(id)

    def _note(self, line: bytes, reply: Reply | None) -> None:
        """Refusals go into the log; what becomes of a message has an event of its own."""
        verb = line[:4].decode("ascii", "replace").upper()
        if reply is None or reply.code < 400 or reply == replies.BAD_CREDENTIALS:
            return
        if verb not in ("DATA", "BDAT") or reply.detail.startswith("5."):
            user = self._permission.user
            self._refusals.note(verb, reply, None if user is None else user.name)

    async def _obey(self, line: bytes) -> Reply | None:
        text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        if verb in _HTTP:
            raise Goodbye(replies.NOT_HTTP)
        if verb == "PROXY":
            words.proxy_header_wrong(self._services.log, reason="sender not in proxy_protocol_from")
            raise Goodbye(replies.NOT_PROXY)
        if not line.endswith(b"\r\n"):
            return self._counted(replies.BARE_NEWLINE_IN_COMMAND)
        if _CONTROLS.search(line, 0, len(line) - 2) or not (line.isascii() or _is_text(text)):
            return self._counted(replies.BAD_CHARACTERS)
        command = _COMMANDS.get(verb)
        if command is None:
            return self._counted(replies.UNKNOWN_COMMAND)
        reply = await command(self, argument.strip(" "))
        # A list with many bad recipients is no attack on the protocol, nor is a message refused; DATA and BDAT
        # count for themselves what is.
        pardoned = (
            reply is None
            or verb in ("DATA", "BDAT")
            or (verb == "RCPT" and reply.enhanced.startswith("5.1."))
        )
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
        self._helo, self._esmtp = argument, esmtp
        self._reset()
        return replies.hello(self._settings.hostname, extensions)

    def _extensions(self) -> tuple[str, ...]:
        offered = [
            "PIPELINING",
            f"SIZE {self._settings.max_message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "CHUNKING",
            f"LIMITS RCPTMAX={self._settings.max_recipients}",
        ]
        if self._connection.can_start_tls:
            offered.append("STARTTLS")
        if self._permission.may_authenticate:
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
        self._reset()
        return replies.OK

    def _reset(self) -> None:
        if self._reception is not None:
            self._reception.close()
        self._transaction = self._reception = None

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
        self._reset()
        self._helo, self._esmtp = None, False
        if self._login is not None:
            self._login.user = None
        return None

    async def _auth(self, argument: str) -> Reply:
        if self._login is None:
            return replies.AUTH_UNAVAILABLE
        if not self._permission.may_authenticate:
            return replies.AUTH_NEEDS_TLS
        if not self._esmtp:
            return replies.HELLO_FIRST
        if self._login.user is not None or self._transaction is not None:
            return replies.AUTH_OUT_OF_ORDER
        return await self._login.attempt(
            argument,
            self._ask,
            client=self._connection.key,
            waiting=lambda: self._connection.deadline(None),
        )

    async def _ask(self, challenge: Reply) -> bytes:
        self._wire.say(challenge)
        return (await self._wire.line(MAX_LINE)).rstrip(b"\r\n")

    # --- the envelope ---

    async def _mail(self, argument: str) -> Reply:
        if self._helo is None:
            return replies.HELLO_FIRST
        if self._transaction is not None:
            return replies.NESTED_MAIL
        # Whoever may not send may still write to a domain of ours: which it is, RCPT will tell.
        refusal = None if self._settings.local_domains else self._permission.relaying()
        refusal = refusal or (self._services.check() if self._services.check else None)
        if refusal is not None:
            return refusal
        try:
            transaction = Transaction(argument, max_size=self._settings.max_message_size)
        except Refused as refused:
            return refused.reply
        if refusal := self._permission.message(transaction.sender):
            return refusal
        self._transaction = transaction
        return replies.SENDER_OK

    async def _rcpt(self, argument: str) -> Reply:
        if self._transaction is None:
            return replies.MAIL_FIRST
        if self._reception is not None:
            return replies.CHUNKS_BEGUN
        if refusal := self._permission.recipient(counts=False):
            return refusal
        local_domains, before = self._settings.local_domains, self._transaction.recipient_count
        reply = self._transaction.recipient(
            argument,
            limit=self._settings.max_recipients,
            local_domains=local_domains,
            refusal=self._permission.relaying() if local_domains else None,  # else MAIL has asked
            has_mailbox=self._services.has_mailbox,
        )
        if self._transaction.recipient_count > before:
            self._permission.recipient(counts=True)
        return reply

    # --- the message ---

    async def _data(self, argument: str) -> Reply:
        transaction = self._transaction
        if argument:
            return self._counted(replies.NO_ARGUMENT_ALLOWED)
        if transaction is None or not transaction.recipient_count:
            return self._counted(_missing(transaction))
        if self._reception is not None:
            return self._counted(replies.CHUNKS_BEGUN)
        self._wire.say(replies.SEND_DATA)
        await self._wire.flush()
        self._reception = self._new_reception()
        return await self._hand_over(transaction, await self._reception.data(), self._reception)

    async def _bdat(self, argument: str) -> Reply:
        """RFC 3030 2. The chunk is read whatever the answer: the client has sent it already."""
        match = _CHUNK.fullmatch(argument)
        if match is None:
            raise Goodbye(replies.CHUNK_SYNTAX)  # nobody knows where its octets end and commands begin
        size, last, transaction = int(match["size"]), match["last"] is not None, self._transaction
        if transaction is None or not transaction.recipient_count:
            await self._new_reception().discard(size)
            return self._counted(_missing(transaction))
        self._reception = self._reception or self._new_reception()
        chunks = await self._reception.chunk(size, last=last)
        if last or chunks.refusal is not None:
            return await self._hand_over(transaction, chunks, self._reception)
        return replies.chunk_received(size)

    def _new_reception(self) -> Reception:
        return Reception(self._wire, self._connection.deadline, self._settings, self._services.memory)

    async def _hand_over(
        self, transaction: Transaction, content: Content | Chunks, reception: Reception
    ) -> Reply:
        log, id = self._services.log, transaction.id.hex()
        try:
            if content.refusal is not None:
                words.submission_refused(log, id, reply=content.refusal)
                return content.refusal
            client, now = self._client(), datetime.now(UTC)
            submission = transaction.submission(content.message, client=client, received_at=now)
            words.submission_received(
                log,
                id,
                session=self._connection.name,
                recipients=len(submission.recipients),
                size=len(submission.data),
                tls=client.tls,
            )
            self._connection.deadline(None)
            reply = await self._services.deliveries.settle(
                submission, claim=reception.hand_over(), client_waits=lambda: self._connection.is_open
            )
        finally:
            self._reset()
        self._errors = 0 if reply.is_success else self._errors
        return reply

    def _client(self) -> Client:
        address, user = self._connection.address, self._permission.user
        name = (
            self._login.user if self._login is not None else None
        )  # whoever was removed meanwhile keeps the name
        return Client(
            address="" if address is None else str(address),
            helo=self._helo or "",
            user=name,
            tags=user.tags if user else (),
            tls=self._connection.tls_version,
            esmtp=self._esmtp,
        )


def _missing(transaction: Transaction | None) -> Reply:
    """Why no message can come now."""
    return replies.MAIL_FIRST if transaction is None else replies.NO_RECIPIENTS


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
    "BDAT": Dialogue._bdat,
    "RSET": Dialogue._rset,
    "NOOP": Dialogue._noop,
    "QUIT": Dialogue._quit,
    "VRFY": Dialogue._vrfy,
    "EXPN": Dialogue._not_implemented,
    "HELP": Dialogue._help,
    "STARTTLS": Dialogue._starttls,
    "AUTH": Dialogue._auth,
}
