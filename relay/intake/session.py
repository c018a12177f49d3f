"""One connection, on aiosmtpd's protocol: its streams, its step into TLS, its timers and its end.

aiosmtpd carries the bytes and the upgrade to TLS; the commands are `Dialogue`'s. This differs from its base
where mail could be lost or held up: the client's EOF cancels nothing, a timeout is told with 421, and a
session whose peer stops reading is cut off.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import AnyStr, cast

from aiosmtpd.smtp import SMTP, TLSSetupException

from relay import log as words
from relay import replies
from relay.intake.dialogue import Dialogue, Goodbye
from relay.intake.limits import client_key
from relay.intake.services import Services
from relay.intake.settings import Address, Settings, client_address
from relay.intake.wire import BLOCK, ClientGone, Wire
from relay.replies import Reply

LINGER = 10.0
"""Seconds a client has to take our last words."""
CLOCK_STEP = 0.002
"""Loops ring a timer up to their clock's resolution early; uvloop's is a millisecond."""

# aiosmtpd logs every command with its addresses; what we log is in relay.log.
logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
_numbers = itertools.count(1)


class _NoHandler:
    """The base walks through every attribute of its handler, for hooks; there is nothing to find."""

    def __dir__(self) -> Iterable[str]:
        return ()


_NO_HANDLER = _NoHandler()


class Session(SMTP):
    line_length_limit = BLOCK  # the base makes this its stream's limit, and so the size of a read

    def __init__(
        self,
        settings: Settings,
        services: Services,
        *,
        tls: ssl.SSLContext | None,
        implicit_tls: bool,
        client: Address | None = None,
        enter: Callable[[Session], Reply | None],
        leave: Callable[[Session], None],
    ) -> None:
        """`client` is whose connection it is where that is not its other end's. `enter` is asked once there is a
        connection and may refuse it; `leave` is told of every end."""
        super().__init__(
            _NO_HANDLER,
            hostname=settings.hostname,
            tls_context=tls,
            loop=asyncio.get_running_loop(),
            timeout=60.0,
        )
        self.name = f"s{next(_numbers)}"
        self.address = client
        self.tls_version: str | None = None
        self._settings = settings
        self._services = services
        self._implicit_tls = implicit_tls
        self._enter = enter
        self._leave = leave
        self._refusal: Reply | None = None
        self._dialogue: Dialogue | None = None
        self._wire: Wire | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._cut_off_at: float | None = None
        self._looks_at = 0.0
        self._known = False

    def __dir__(self) -> Iterable[str]:
        # The base collects its commands by walking through every attribute of every new session, which costs
        # more than a short session does. Ours are not among them.
        return ()

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Comes once for a connection in clear, and once more when TLS has begun; under implicit TLS the
        first is kept from the base, which need not know of it."""
        if not self._known:
            self._known = True
            if self.address is None:
                peer = transport.get_extra_info("peername")
                self.address = client_address(peer[0]) if isinstance(peer, tuple) else None
            self._refusal = self._enter(self)
            if self._implicit_tls:
                self._begin_tls(cast(asyncio.Transport, transport))
                return
        super().connection_made(transport)
        handshake = transport.get_extra_info("ssl_object")
        self.tls_version = handshake.version() if handshake else None

    def _begin_tls(self, transport: asyncio.Transport) -> None:
        # At once, in the callback: what the client sends must find the TLS layer in its place.
        if self._refusal is not None or self.tls_context is None:
            transport.abort()  # there are no words for it before the handshake
            return
        self._original_transport = transport
        shaken: asyncio.Future[None] = self.loop.create_future()
        shaken.add_done_callback(self._handshake_over)
        layer = SSLProtocol(self.loop, self, self.tls_context, shaken, server_side=True)
        transport.set_protocol(layer)
        layer.connection_made(transport)

    def _handshake_over(self, shaken: asyncio.Future[None]) -> None:
        error = shaken.exception()
        if error is not None:
            words.tls_failed(self._services.log, self.name, client=self.alias, error=error)
        if self.tls_version is None:
            self.connection_lost(None)  # the TLS layer says nothing of a connection that it never made

    def eof_received(self) -> bool:
        """The base cancels here. A client may close its side and still wait for the reply (RFC 9293 3.6);
        whoever reads next learns that nothing more comes."""
        super(SMTP, self).eof_received()
        return self.tls_version is None  # TLS knows no half-closed connection

    def connection_lost(self, error: Exception | None) -> None:
        if not self._known:
            return
        self._known = False
        if self._linger is not None:
            self._linger.cancel()
        if self.session is not None:
            super().connection_lost(error)
        self._leave(self)

    async def push(self, status: AnyStr) -> None:
        """How the base speaks. It has one thing left to say: that TLS may start."""
        if self._wire is not None:
            self._wire.say(replies.READY_FOR_TLS)
            await self._wire.flush()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """The base makes a timer for each command. Deadlines almost always move away, so one timer is enough that
        looks, when it rings, whether it is time."""
        now = self.loop.time()
        self._cut_off_at = now + (self._timeout_duration if duration is None else duration)
        if self._timeout_handle is None or self._cut_off_at < self._looks_at:
            self._look_at(self._cut_off_at)

    def _look_at(self, moment: float) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self._looks_at = moment
        self._timeout_handle = self.loop.call_at(moment, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self._cut_off_at is None or self._cut_off_at > self.loop.time() + CLOCK_STEP:
            self._timeout_handle = None
            if self._cut_off_at is not None:
                self._look_at(self._cut_off_at)
            return
        if self._writer.transport.get_write_buffer_size():
            words.session_cut_off(self._services.log, self.name, client=self.alias, reply=replies.TIMED_OUT)
            self.abort()  # it has not read what we said before: it will not read this
        else:
            self.end(replies.TIMED_OUT)

    # --- what a dialogue asks of its connection ---

    @cached_property
    def key(self) -> str:
        """What its limits are counted under."""
        return client_key(self.address)

    @cached_property
    def alias(self) -> str:
        return words.alias(self.key)

    @property
    def is_open(self) -> bool:
        return self._known and self._linger is None

    @property
    def can_start_tls(self) -> bool:
        return self.tls_context is not None and self.tls_version is None

    def deadline(self, seconds: float | None) -> None:
        if seconds is not None:
            self._reset_timeout(max(seconds, 0.001))
        else:
            self._cut_off_at = None

    async def start_tls(self) -> None:
        try:
            await super().smtp_STARTTLS("")
        except TLSSetupException as error:
            words.tls_failed(self._services.log, self.name, client=self.alias, error=error.__cause__ or error)
        if self.tls_version is None:
            # The TLS layer says nothing of a connection that it never made.
            self.connection_lost(None)
            raise ClientGone
        if self._wire is not None:
            self._wire.forget()

    # --- beginning and end ---

    async def _handle_client(self) -> None:
        log = self._services.log
        self._wire = Wire(self._reader, self._writer)
        try:
            await self._converse(self._wire)
        except Goodbye as goodbye:
            self.end(goodbye.reply)
        except ClientGone:
            words.session_ended(log, self.name, reason="client-left")
            self.end(None)
        except Exception as error:  # noqa: BLE001 - the border: a defect of ours must not leave it hanging
            words.session_failed(log, self.name, id="", error=error)
            self.end(None)
        except asyncio.CancelledError:
            self.end(None)
            raise

    async def _converse(self, wire: Wire) -> None:
        if self._refusal is not None:
            words.session_refused(self._services.log, self.name, client=self.alias, reply=self._refusal)
            raise Goodbye(self._refusal)
        words.session_opened(self._services.log, self.name, address=self.address)
        self._dialogue = Dialogue(self, wire, self._settings, self._services)
        await self._dialogue.run()

    def dismiss(self) -> None:
        """End it unless a transaction is open; then its dialogue ends it after that."""
        if self._dialogue is None or self._dialogue.idle:
            self.end(replies.SHUTTING_DOWN)

    def end(self, reply: Reply | None) -> None:
        """Say it, and close once the client has taken what was said. From anywhere, and more than once."""
        if not self.is_open:
            return
        in_handshake = self._original_transport is not None and self.tls_version is None
        if self.transport is None or in_handshake:
            self.abort()  # there are no words before its end
            return
        self.deadline(None)
        if reply is not None and self._wire is not None:
            self._wire.say_last(reply)
            if reply.code == 421:
                words.session_cut_off(self._services.log, self.name, client=self.alias, reply=reply)
        self._linger = self.loop.call_later(LINGER, self.abort)
        self.transport.close()
        if self._handler_coroutine is not None and self._handler_coroutine is not asyncio.current_task():
            self._handler_coroutine.cancel()

    def abort(self) -> None:
        # A cast, no check: uvloop's transports do not inherit asyncio's.
        transport = cast(asyncio.Transport | None, self.transport or self._original_transport)
        if transport is not None:
            transport.abort()
