"""The octets between us and upstream once a connection is open: groups of commands out, replies in.

aiosmtplib pairs one command with one reply and drops what comes in between; mail transactions are pipelined
(RFC 2920), so this protocol takes the open transport over and keeps replies in a queue. It knows how many
replies upstream owes; whatever else arrives, or arrives in another shape, makes the connection useless.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, cast

from relay import replies
from relay.replies import Reply
from relay.upstream.answers import reply_from
from relay.upstream.content import BATCH, batches, on_the_wire

LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
LONGEST_LINE: Final = 8 * 1024
LONGEST_REPLY: Final = 64 * 1024


class UpstreamError(Exception):
    """This connection, or the attempt to open one, leads nowhere. `reply` says why, always as a temporary
    failure; `gone` when upstream ended it, which a kept connection must be forgiven; `busy` when upstream said
    that it takes nothing at the moment, which it may say of one connection too many."""

    def __init__(self, reply: Reply, *, gone: bool = False, busy: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.gone = gone
        self.busy = busy


class Wire(asyncio.Protocol):
    """Takes over `transport` at once. One task at a time may use it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._code = 0
        self._lines: list[str] = []
        self._length = 0
        self._owed = 0
        self._replies: deque[Reply] = deque()
        self._trouble: UpstreamError | None = None
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self.closed = asyncio.Event()
        transport.set_protocol(self)

    @property
    def is_sound(self) -> bool:
        """May another command be sent? A reply still owed is no obstacle, it is read before."""
        return self._trouble is None and not self._transport.is_closing()

    @property
    def owed(self) -> int:
        """Replies that have been asked for and not yet been read."""
        return self._owed + len(self._replies)

    def send(self, commands: bytes, *, replies_due: int) -> None:
        """Write whole lines, `replies_due` of them commands."""
        if not self.is_sound:
            raise self._trouble or UpstreamError(replies.UPSTREAM_DROPPED, gone=True)
        self._owed += replies_due
        self._transport.write(commands)

    async def send_content(self, pieces: Iterable[bytes], *, timeout: float) -> None:
        """Write a message with its final dot. When this returns upstream may have all of it; when it raises
        UpstreamError upstream cannot have had the dot. `timeout` is for each batch."""
        self._owed += 1
        all_of_it = list(on_the_wire(pieces))
        if sum(map(len, all_of_it)) <= BATCH:
            self._write(all_of_it)
            return
        for number, batch in enumerate(batches(all_of_it)):
            if number:
                await self._room(timeout)
            self._write(batch)

    def _write(self, batch: Sequence[bytes | memoryview]) -> None:
        if not self.is_sound:
            raise self._trouble or UpstreamError(replies.UPSTREAM_DROPPED, gone=True)
        self._transport.writelines(batch)

    async def reply(self, *, timeout: float) -> Reply:
        """The next reply. UpstreamError when there is none, and when it is a 421, which may stand in for any
        reply and ends the connection (RFC 5321 3.8)."""
        if not self._replies:
            await self._wait(timeout)
        reply = self._replies.popleft()
        if reply.code == 421:
            self._break(UpstreamError(reply, gone=True, busy=True))
            raise UpstreamError(reply, gone=True, busy=True)
        return reply

    def reply_ahead_of_time(self) -> Reply | None:
        """A reply that came although we were still sending, or had been cut off."""
        return self._replies.popleft() if self._replies else None

    def quit(self, *, patience: float = 2.0) -> None:
        """Say QUIT and leave once upstream has answered, or anyway after `patience` seconds (RFC 5321
        4.1.1.10). Returns at once."""
        if self.is_sound:
            self._transport.write(b"QUIT\r\n")
            self._trouble = UpstreamError(replies.UPSTREAM_CLOSING)
            self._patience = self._loop.call_later(patience, self._transport.abort)
        else:
            self._transport.abort()

    def abort(self) -> None:
        self._break(UpstreamError(replies.UPSTREAM_DROPPED, gone=True))

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        if self._trouble is not None:
            self._transport.close()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if not self._take(line.removesuffix(b"\r")):
                self._break(UpstreamError(replies.UPSTREAM_GARBLED))
                return
        if len(self._buffer) > LONGEST_LINE:
            self._break(UpstreamError(replies.UPSTREAM_GARBLED))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        for timer in (self._patience, self._alarm):
            if timer is not None:
                timer.cancel()
        self._break(UpstreamError(replies.UPSTREAM_DROPPED, gone=True))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    # Within.

    def _take(self, line: bytes) -> bool:
        """Add one line to the reply it belongs to. False for what RFC 5321 4.2 does not allow, and for a
        reply to nothing."""
        if not self._lines and self._owed and (reply := _one_line(line)):
            self._replies.append(reply)
            self._owed -= 1
            return True
        found = LINE.fullmatch(line)
        self._length += len(line)
        if found is None or not self._owed or self._length > LONGEST_REPLY or len(line) > LONGEST_LINE:
            return False
        code = int(found[1])
        if self._lines and code != self._code:
            return False
        self._code = code
        self._lines.append((found[3] or b"").decode("utf-8", "replace"))
        if found[2] != b"-":
            self._replies.append(reply_from(code, self._lines))
            self._owed -= 1
            self._lines, self._length = [], 0
        return True

    def _break(self, trouble: UpstreamError) -> None:
        """The connection has ended, or must. The first trouble is the one that is told."""
        if self._trouble is None:
            self._trouble = trouble
        self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, timeout: float) -> None:
        """Until there is a reply."""
        self._allow(timeout)
        try:
            while not self._replies:
                await self._sleep()
        finally:
            self._deadline = None

    async def _room(self, timeout: float) -> None:
        """Until the transport's buffer has room again."""
        self._allow(timeout)
        try:
            while self._paused:
                await self._sleep()
        finally:
            self._deadline = None

    def _allow(self, seconds: float) -> None:
        """From now on. The alarm is seldom set: it looks at the deadline of the day when it goes off."""
        self._deadline = self._loop.time() + seconds
        if self._alarm is None or self._alarm_at > self._deadline:
            self._set_alarm(self._deadline)

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = self._loop.call_at(at, self._ring), at

    def _ring(self) -> None:
        self._alarm = None
        if self._deadline is None:
            return  # nobody waits
        if self._loop.time() < self._deadline:
            self._set_alarm(self._deadline)
        else:
            self._break(UpstreamError(replies.UPSTREAM_SILENT))

    async def _sleep(self) -> None:
        """Until something happens on the wire. UpstreamError when nothing ever will."""
        if self._trouble is not None:
            raise self._trouble
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


@lru_cache(maxsize=256)
def _one_line(line: bytes) -> Reply | None:
    """The reply of one line; None for a line of a longer one, and for what is none. Upstreams repeat themselves."""
    found = LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if found is None or found[2] == b"-":
        return None
    return reply_from(int(found[1]), [(found[3] or b"").decode("utf-8", "replace")])


def take_over(transport: asyncio.BaseTransport) -> Wire:
    return Wire(cast(asyncio.Transport, transport))
