"""Taking turns with one client: its next command or piece of message, our reply. Knows no command.

What the client has sent is obeyed at once, as far as it goes; nothing is obeyed while something is waited for. An
error of ours ends a command with 451, never the session.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from relay import log as words
from relay import replies
from relay.intake.connection import Connection
from relay.intake.reception import Reception
from relay.intake.services import Services
from relay.intake.settings import Settings
from relay.intake.wire import ClientGone, LineTooLong, Wire
from relay.replies import Reply

MAX_COMMAND_LINE = 4096
"""Octets with the line's end: room for the extensions' longer commands (RFC 5321 4.5.3.1.4, RFC 3461 4)."""
BATCH = 64
"""Commands that came together, before others get their turn in the loop."""


class Goodbye(Exception):
    """The session ends with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Turns:
    """`go_on` whenever something has come. What a command means is said by a class that inherits from this."""

    def __init__(self, connection: Connection, wire: Wire, settings: Settings, services: Services) -> None:
        self._connection = connection
        self._wire = wire
        self._settings = settings
        self._services = services
        self._refusals: words.Refusals | None = None
        """Once there is one: few sessions have any."""
        self._errors = 0
        self._junk = 0
        self._waits = False
        """For a login, for a delivery."""
        self._expects = False
        """A command, until its deadline."""
        self._receiving: tuple[Reception, Callable[[], Reply | None]] | None = None
        """Octets of a message are what comes now; and what is to be done when they are all here."""

    def go_on(self) -> None:
        """Obeys what has come, as far as it goes, and sends the replies. Raises Goodbye, and ClientGone when nothing
        more will come."""
        if self._waits:
            return
        if self._wire.paused:
            if self._receiving is None:
                self._expect()  # a client that never takes our replies has no longer than one that is silent
            return
        try:
            for _ in range(BATCH):
                if not self._turn() or self._must_wait():
                    break
            else:
                self._connection.call_again()
        finally:
            self._wire.say_last()

    def close(self) -> None:
        """The session is over."""
        self._reset()
        if self._refusals is not None:
            self._refusals.close()

    # --- what the commands' side says ---

    @property
    def idle(self) -> bool:
        """Nothing would be lost by ending it now."""
        raise NotImplementedError

    def _obey(self, line: bytes) -> Reply | None:
        """The reply to a command line; None where it comes later. Raises Goodbye."""
        raise NotImplementedError

    def _reset(self) -> None:
        """The open transaction is no more."""
        raise NotImplementedError

    @property
    def _account(self) -> str | None:
        """Who is logged in, for the log."""
        raise NotImplementedError

    # --- a turn ---

    def _turn(self) -> bool:
        """False when it needs more of the client, or has something to wait for."""
        if self._receiving is not None:
            return self._receive(*self._receiving)
        if self._services.stopping and self.idle:
            raise Goodbye(replies.SHUTTING_DOWN)
        self._expect()
        try:
            line = self._wire.take_line(MAX_COMMAND_LINE)
        except LineTooLong:
            self._expects = False
            self._answer("", self._counted(replies.LINE_TOO_LONG))
            return True
        if line is None:
            return False
        self._expects = False
        try:
            reply = self._obey(line)
        except Goodbye:
            raise
        except Exception as error:  # noqa: BLE001 - the border: never a 500, never a traceback to the client
            reply = self._failed(error)
        if reply is not None:
            if reply.code < 400 and reply.code != 221:  # what `_answer` has nothing to add to
                self._wire.say(reply)
            else:
                self._answer(line[:4].decode("ascii", "replace").upper(), reply)
        return not self._waits

    def _must_wait(self) -> bool:
        """Nothing more is there, and the client may take its time. What another turn would find out anyway, at a
        fraction of its cost."""
        if self._receiving is not None or not self._wire.is_drained or self._services.stopping:
            return False  # a chunk of no octets is complete although nothing comes
        self._expect()
        return True

    def _expect(self) -> None:
        """The deadline is for the whole command, however it comes."""
        if not self._expects:
            self._connection.deadline(self._settings.command_timeout)
            self._expects = True

    def _receive(self, reception: Reception, then: Callable[[], Reply | None]) -> bool:
        try:
            if not reception.go_on():
                return False
            self._receiving = None
            reply = then()
        except (Goodbye, ClientGone):
            raise
        except Exception as error:  # noqa: BLE001 - the border, as for a command
            self._receiving = None
            reply = self._failed(error)
        if reply is not None:
            self._answer("DATA", reply)
        return not self._waits

    def _answer(self, verb: str, reply: Reply) -> None:
        """Refusals go into the log; what becomes of a message has an event of its own."""
        if (
            reply.code >= 400
            and (verb not in ("DATA", "BDAT") or reply.detail.startswith("5."))
            and reply != replies.BAD_CREDENTIALS
        ):
            if self._refusals is None:
                peer = self._connection
                self._refusals = words.Refusals(self._services.log, peer.name, client=peer.alias)
            self._refusals.note(verb, reply, self._account)
        if reply.code in (221, 421):
            raise Goodbye(reply)
        self._wire.say(reply)

    def _counted(self, reply: Reply) -> Reply:
        self._errors += reply.is_permanent
        return replies.TOO_MANY_ERRORS if self._errors >= self._settings.max_errors else reply

    def _idled(self, reply: Reply) -> Reply:
        """The answer to a command that brought no message nearer: all by itself, none of them is an error."""
        self._junk += 1
        return replies.TOO_MANY_JUNK_COMMANDS if self._junk > self._settings.max_junk_commands else reply

    def _failed(self, error: Exception) -> Reply:
        return self._failed_as(secrets.token_bytes(16), error)

    def _failed_as(self, id: bytes, error: Exception) -> Reply:
        self._reset()
        words.session_failed(self._services.log, self._connection.name, id=id.hex(), error=error)
        return replies.unexpected(id.hex())
