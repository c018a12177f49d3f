"""One connection: its octets, its step into TLS, its timers and its end. The commands are `Dialogue`'s.

A protocol of asyncio's own, with no task of its own: what the client says is obeyed as it arrives. The client's EOF
cancels nothing, a timeout is told with 421, and a session whose peer stops reading is cut off.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Coroutine
from typing import Any, cast

from relay import log as words
from relay import replies
from relay.intake.dialogue import Dialogue
from relay.intake.limits import client_key
from relay.intake.services import Services
from relay.intake.settings import Address, Settings, client_address
from relay.intake.turns import Goodbye
from relay.intake.wire import ClientGone, Wire
from relay.replies import Reply

LINGER = 10.0
"""Seconds a client has to take our last words."""
CLOCK_STEP = 0.002
"""Loops ring a timer up to their clock's resolution early; uvloop's is a millisecond."""

_numbers = itertools.count(1)


class Session(asyncio.Protocol):
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
        self.name = f"s{next(_numbers)}"
        self.address = client
        self.key = ""
        """What its limits are counted under."""
        self.tls_version: str | None = None
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._services = services
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._enter = enter
        self._leave = leave
        self._refusal: Reply | None = None
        self._transport: asyncio.Transport | None = None
        """What we write to: in clear, or the TLS layer's; None until there are words to be said."""
        self._in_clear: asyncio.Transport | None = None
        """The connection itself, where a TLS layer stands on it or is about to."""
        self._wire: Wire | None = None
        self._dialogue: Dialogue | None = None
        self._beside: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cut_off_at: float | None = None
        self._looks_at = 0.0
        self._known = False

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Comes once for a connection in clear, and once more when TLS has begun."""
        # A cast, no check: uvloop's transports do not inherit asyncio's.
        stream = cast(asyncio.Transport, transport)
        if not self._known:
            self._known = True
            if self.address is None:
                peer = stream.get_extra_info("peername")
                self.address = client_address(peer[0]) if isinstance(peer, tuple) else None
            self.key = client_key(self.address)
            self._refusal = self._enter(self)
            if self._implicit_tls:
                self._begin_tls(stream)
                return
        handshake = stream.get_extra_info("ssl_object")
        self.tls_version = handshake.version() if handshake else None
        self._transport = stream
        if self._wire is None:
            self._open(stream)
        else:
            self._wire.attach(stream)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._wire is not None and self.is_open:
            self._wire.feed(data)
            self._go_on()

    def eof_received(self) -> bool:
        """A client may close its side and still wait for the reply (RFC 9293 3.6); whoever reads next learns that
        nothing more comes."""
        if self._wire is not None and self.is_open:
            self._wire.feed_eof()
            self._go_on()
        return self.tls_version is None  # TLS knows no half-closed connection

    def pause_writing(self) -> None:
        if self._wire is not None:
            self._wire.paused = True

    def resume_writing(self) -> None:
        if self._wire is not None:
            self._wire.paused = False
            self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._known:
            return
        self._known = False
        for timer in (self._linger, self._timer):
            if timer is not None:
                timer.cancel()
        if self._in_clear is not None:
            self._in_clear.close()
        self._close()
        self._leave(self)

    def _begin_tls(self, transport: asyncio.Transport) -> None:
        # At once, in the callback: what the client sends must find the TLS layer in its place.
        self._in_clear = transport
        if self._refusal is not None or self._tls is None:
            transport.abort()  # there are no words for it before the handshake
            return
        shaken: asyncio.Future[None] = self._loop.create_future()
        shaken.add_done_callback(self._handshake_over)
        layer = SSLProtocol(self._loop, self, self._tls, shaken, server_side=True)
        transport.set_protocol(layer)
        layer.connection_made(transport)

    def _handshake_over(self, shaken: asyncio.Future[None]) -> None:
        error = shaken.exception()
        if error is not None:
            words.tls_failed(self._services.log, self.name, client=self.alias, error=error)
        if self.tls_version is None:
            self.connection_lost(None)  # the TLS layer says nothing of a connection that it never made

    # --- the deadline ---

    def deadline(self, seconds: float | None) -> None:
        """Deadlines almost always move away, so one timer is enough that looks, when it rings, whether it is time."""
        if seconds is None:
            self._cut_off_at = None
            return
        self._cut_off_at = self._loop.time() + max(seconds, 0.001)
        if self._timer is None or self._cut_off_at < self._looks_at:
            self._look_at(self._cut_off_at)

    def _look_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = moment
        self._timer = self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._cut_off_at is None:
            return
        if self._cut_off_at > self._loop.time() + CLOCK_STEP:
            self._look_at(self._cut_off_at)
        elif self._transport is not None and self._transport.get_write_buffer_size():
            words.session_cut_off(self._services.log, self.name, client=self.alias, reply=replies.TIMED_OUT)
            self.abort()  # it has not read what we said before: it will not read this
        else:
            self.end(replies.TIMED_OUT)

    # --- what a dialogue asks of its connection ---

    @property
    def alias(self) -> str:
        return words.alias(self.key)

    @property
    def is_open(self) -> bool:
        return self._known and self._linger is None

    @property
    def can_start_tls(self) -> bool:
        return self._tls is not None and self.tls_version is None

    def start_tls(self) -> None:
        if self._wire is None or self._transport is None:
            raise ClientGone
        self._wire.say(replies.READY_FOR_TLS)
        self._wire.flush()
        self._wire.forget()
        transport, self._transport = self._transport, None
        self._begin_tls(transport)

    def resume(self, first: Callable[[], None]) -> None:
        if self._dialogue is not None and self.is_open:
            try:
                first()
                self._dialogue.go_on()
            except Exception as error:  # noqa: BLE001 - told apart there
                self._end_with(error)

    def call_again(self) -> None:
        self._loop.call_soon(self._go_on)

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        self._beside = self._loop.create_task(self._see_through(work))

    # --- beginning and end ---

    def _open(self, transport: asyncio.Transport) -> None:
        self._wire = Wire(transport)
        if self._refusal is not None:
            words.session_refused(self._services.log, self.name, client=self.alias, reply=self._refusal)
            self.end(self._refusal)
            return
        words.session_opened(self._services.log, self.name, address=self.address)
        self._dialogue = Dialogue(self, self._wire, self._settings, self._services)
        self._dialogue.greet()

    def _go_on(self) -> None:
        if self._dialogue is None or self._transport is None or not self.is_open:
            return
        try:
            self._dialogue.go_on()
        except Exception as error:  # noqa: BLE001 - told apart there
            self._end_with(error)

    async def _see_through(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - told apart there
            self._end_with(error)
        self._go_on()

    def _end_with(self, error: Exception) -> None:
        if isinstance(error, Goodbye):
            self.end(error.reply)
            return
        if isinstance(error, ClientGone):
            words.session_ended(self._services.log, self.name, reason="client-left")
        else:  # the border: a defect of ours must not leave it hanging
            words.session_failed(self._services.log, self.name, id="", error=error)
        self.end(None)

    def dismiss(self) -> None:
        """End it unless a transaction is open; then its dialogue ends it after that."""
        if self._dialogue is None or self._dialogue.idle:
            self.end(replies.SHUTTING_DOWN)

    def end(self, reply: Reply | None) -> None:
        """Say it, and close once the client has taken what was said. From anywhere, and more than once."""
        if not self.is_open:
            return
        if self._transport is None or self._wire is None:
            self.abort()  # there are no words before a handshake's end
            return
        self.deadline(None)
        if reply is not None:
            self._wire.say(reply)
            if reply.code == 421:
                words.session_cut_off(self._services.log, self.name, client=self.alias, reply=reply)
        self._wire.say_last()
        self._linger = self._loop.call_later(LINGER, self.abort)
        self._transport.close()
        self._close()

    def abort(self) -> None:
        transport = self._transport or self._in_clear
        if transport is not None:
            transport.abort()

    def _close(self) -> None:
        """Nothing is obeyed any more, and nothing waited for."""
        if self._beside is not None and self._beside is not asyncio.current_task():
            self._beside.cancel()
        if self._dialogue is not None:
            self._dialogue.close()
            self._dialogue = None
