"""The conversation of one session: commands in, replies out, in the order RFC 5321 4.1.4 allows.

Knows what may be said when and by whom; of its connection it knows only what `Connection` names. Only a login and a
delivery are waited for. A message that is complete is handed to `Deliveries`, and the client hears what comes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from relay import log as words
from relay import replies
from relay.intake.authentication import MAX_LINE, MECHANISMS, Login
from relay.intake.command import read_command
from relay.intake.connection import Connection
from relay.intake.permission import Permission
from relay.intake.reception import Reception
from relay.intake.services import Services
from relay.intake.settings import Settings
from relay.intake.transaction import Refused, Transaction
from relay.intake.turns import Goodbye, Turns
from relay.intake.wire import ClientGone, Wire
from relay.replies import Reply
from relay.submission import Client

_HOST = re.compile(r"[A-Za-z0-9._:\[\]#%&*+=!?/~^$|'{}-]{1,255}")
"""Any name a client may give itself that cannot end the clause it stands in in a `Received:` line."""
_CHUNK = re.compile(r"(?P<size>[0-9]{1,20})(?P<last> +LAST)?", re.IGNORECASE)
_JUNK = frozenset({"EHLO", "HELO", "RSET", "NOOP", "VRFY", "HELP"})
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"})


class Dialogue(Turns):
    def __init__(self, connection: Connection, wire: Wire, settings: Settings, services: Services) -> None:
        super().__init__(connection, wire, settings, services)
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
        self._turned_away: Reply | None = None
        """The last refusal of a recipient of the open transaction."""
        self._reception: Reception | None = None
        """The open transaction's, once its message has begun."""

    @property
    def idle(self) -> bool:
        return self._transaction is None

    def greet(self) -> None:
        self._wire.say(replies.greeting(self._settings.hostname))

    @property
    def _account(self) -> str | None:
        user = self._permission.user
        return None if user is None else user.name

    def _obey(self, line: bytes) -> Reply | None:
        verb, argument, fault = read_command(line)
        command = _COMMANDS.get(verb)
        if command is None:
            self._check_protocol(verb)
        if fault is not None:
            return self._counted(fault)
        if command is None:
            return self._counted(replies.UNKNOWN_COMMAND)
        reply = command(self, argument)
        if reply is None:
            return None
        reply = self._pardoned(verb, reply)
        return self._idled(reply) if verb in _JUNK else reply

    def _check_protocol(self, verb: str) -> None:
        """Is it SMTP at all? Raises Goodbye."""
        if verb in _HTTP:
            raise Goodbye(replies.NOT_HTTP)
        if verb == "PROXY":
            words.proxy_header_wrong(self._services.log, reason="sender not in proxy_protocol_from")
            raise Goodbye(replies.NOT_PROXY)

    def _pardoned(self, verb: str, reply: Reply) -> Reply:
        """A list with many bad recipients is no attack on the protocol, nor is a message refused; DATA and BDAT
        count for themselves what is."""
        if (
            reply.is_success
            or verb in ("DATA", "BDAT")
            or (verb == "RCPT" and reply.enhanced.startswith("5.1."))
        ):
            return reply
        return self._counted(reply)

    def _failed(self, error: Exception) -> Reply:
        if self._transaction is None:
            return super()._failed(error)
        reply = self._failed_as(self._transaction.id, error)
        self._services.refused(reply)
        return reply

    # --- the session ---

    def _ehlo(self, argument: str) -> Reply:
        settings = self._settings
        hello = _offering(
            settings.hostname,
            settings.max_message_size,
            settings.max_recipients,
            starttls=self._connection.can_start_tls,
            auth=self._permission.may_authenticate,
        )
        return self._greeted(argument, hello, esmtp=True)

    def _hello(self, argument: str) -> Reply:
        return self._greeted(argument, replies.hello(self._settings.hostname), esmtp=False)

    def _greeted(self, argument: str, hello: Reply, *, esmtp: bool) -> Reply:
        if not _HOST.fullmatch(argument):
            return replies.HELLO_SYNTAX
        self._helo, self._esmtp = argument, esmtp
        self._reset()
        return hello

    def _noop(self, _: str) -> Reply:
        return replies.OK

    def _help(self, _: str) -> Reply:
        return replies.HELP

    def _vrfy(self, _: str) -> Reply:
        return replies.CANNOT_VERIFY

    def _not_implemented(self, _: str) -> Reply:
        return replies.NOT_IMPLEMENTED

    def _rset(self, argument: str) -> Reply:
        if argument:
            return replies.NO_ARGUMENT_ALLOWED
        self._reset()
        return replies.OK

    def _reset(self) -> None:
        if self._reception is not None:
            self._reception.close()
        if self._turned_away is not None:
            if self._transaction is not None and not self._transaction.recipient_count:
                self._services.refused(self._turned_away)
            self._turned_away = None
        self._transaction = self._reception = None

    def _quit(self, argument: str) -> Reply:
        return replies.NO_ARGUMENT_ALLOWED if argument else replies.GOODBYE

    # --- TLS and AUTH ---

    def _starttls(self, argument: str) -> Reply | None:
        if argument:
            return replies.NO_ARGUMENT_ALLOWED
        if self._connection.tls_version:
            return replies.TLS_ACTIVE
        if not self._connection.can_start_tls:
            return replies.TLS_UNAVAILABLE
        self._connection.start_tls()
        # RFC 3207 4.2: what was said in clear counts no more.
        self._reset()
        self._helo, self._esmtp = None, False
        if self._login is not None:
            self._login.user = None
        return None

    def _auth(self, argument: str) -> Reply | None:
        if self._login is None:
            return replies.AUTH_UNAVAILABLE
        if not self._permission.may_authenticate:
            return replies.AUTH_NEEDS_TLS
        if not self._esmtp:
            return replies.HELLO_FIRST
        if self._login.user is not None or self._transaction is not None:
            return replies.AUTH_OUT_OF_ORDER
        attempt = self._login.attempt(
            argument,
            self._ask,
            client=self._connection.key,
            waiting=lambda: self._connection.deadline(None),
        )
        self._waits = True
        self._connection.wait_for(self._login_over(attempt))
        return None

    async def _login_over(self, attempt: Coroutine[Any, Any, Reply]) -> None:
        try:
            reply = await attempt
        except (Goodbye, ClientGone):
            raise
        except Exception as error:  # noqa: BLE001 - the border, as for all commands
            reply = self._failed(error)
        self._waits = False
        self._answer("AUTH", self._counted(reply))

    async def _ask(self, challenge: Reply) -> bytes:
        self._wire.say(challenge)
        return (await self._wire.line(MAX_LINE)).rstrip(b"\r\n")

    # --- the envelope ---

    def _mail(self, argument: str) -> Reply:
        if self._helo is None:
            return replies.HELLO_FIRST
        if self._transaction is not None:
            return replies.NESTED_MAIL
        refusal = self._begin(argument)
        if refusal is None:
            return replies.SENDER_OK
        self._services.refused(refusal)
        return refusal

    def _begin(self, argument: str) -> Reply | None:
        """Opens a transaction; or why not."""
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
        return None

    def _rcpt(self, argument: str) -> Reply:
        if self._transaction is None:
            return replies.MAIL_FIRST
        if self._reception is not None:
            return replies.CHUNKS_BEGUN
        reply = self._permission.recipient(counts=False) or self._recipient(self._transaction, argument)
        if not reply.is_success:
            self._turned_away = reply
        return reply

    def _recipient(self, transaction: Transaction, argument: str) -> Reply:
        local_domains, before = self._settings.local_domains, transaction.recipient_count
        reply = transaction.recipient(
            argument,
            limit=self._settings.max_recipients,
            local_domains=local_domains,
            refusal=self._permission.relaying() if local_domains else None,  # else MAIL has asked
            has_mailbox=self._services.has_mailbox,
        )
        if transaction.recipient_count > before:
            self._permission.recipient(counts=True)
        return reply

    # --- the message ---

    def _data(self, argument: str) -> Reply | None:
        transaction = self._transaction
        if argument:
            return self._counted(replies.NO_ARGUMENT_ALLOWED)
        if transaction is None or not transaction.recipient_count:
            return self._counted(_missing(transaction))
        if self._reception is not None:
            return self._counted(replies.CHUNKS_BEGUN)
        self._wire.say(replies.SEND_DATA)
        reception = self._reception = self._new_reception()
        reception.data()
        self._receiving = reception, lambda: self._hand_over("DATA", transaction, reception)
        return None

    def _bdat(self, argument: str) -> Reply | None:
        """RFC 3030 2. The chunk is read whatever the answer: the client has sent it already."""
        match = _CHUNK.fullmatch(argument)
        if match is None:
            raise Goodbye(replies.CHUNK_SYNTAX)  # nobody knows where its octets end and commands begin
        size, last, transaction = int(match["size"]), match["last"] is not None, self._transaction
        if transaction is None or not transaction.recipient_count:
            unwanted = self._new_reception()
            unwanted.discard(size)
            self._receiving = unwanted, lambda: self._counted(_missing(transaction))
            return None
        reception = self._reception = self._reception or self._new_reception()
        reception.chunk(size, last=last)

        def received() -> Reply | None:
            if last or reception.refusal is not None:
                return self._hand_over("BDAT", transaction, reception)
            return replies.chunk_received(size)

        self._receiving = reception, received
        return None

    def _new_reception(self) -> Reception:
        return Reception(self._wire, self._connection.deadline, self._settings, self._services.memory)

    def _hand_over(self, verb: str, transaction: Transaction, reception: Reception) -> Reply | None:
        """The message is complete: the reply is what its delivery comes to."""
        log, id = self._services.log, transaction.id.hex()
        if reception.refusal is not None:
            words.submission_refused(log, id, reply=reception.refusal)
            self._services.refused(reception.refusal)
            self._reset()
            return reception.refusal
        client, now = self._client(), datetime.now(UTC)
        submission = transaction.submission(reception.message, client=client, received_at=now)
        words.submission_received(
            log,
            id,
            session=self._connection.name,
            recipients=len(submission.recipients),
            size=len(submission.data),
            tls=client.tls,
        )
        self._connection.deadline(None)
        self._waits = True
        self._services.deliveries.begin(
            submission,
            claim=reception.hand_over(),
            client_waits=lambda: self._connection.is_open,
            answer=lambda reply: self._connection.resume(lambda: self._delivered(verb, reply)),
        )
        return None

    def _delivered(self, verb: str, reply: Reply) -> None:
        self._reset()
        self._waits = False
        if reply.is_success:
            self._errors = self._junk = 0
        self._answer(verb, reply)

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


@lru_cache(maxsize=16)
def _offering(hostname: str, size: int, recipients: int, *, starttls: bool, auth: bool) -> Reply:
    """The answer to EHLO."""
    offered = [
        "PIPELINING",
        f"SIZE {size}",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "DSN",
        "CHUNKING",
        f"LIMITS RCPTMAX={recipients}",
        *(["STARTTLS"] if starttls else []),
        *([f"AUTH {' '.join(MECHANISMS)}"] if auth else []),
    ]
    return replies.hello(hostname, tuple(offered))


def _missing(transaction: Transaction | None) -> Reply:
    """Why no message can come now."""
    return replies.MAIL_FIRST if transaction is None else replies.NO_RECIPIENTS


_Command = Callable[[Dialogue, str], Reply | None]
"""None where the answer comes later."""
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
