"""A message as it comes: found block by block, checked, freed of its stuffed dots. Pure; no socket, no clock.

Only <CRLF>.<CRLF> ends a message (RFC 5321 4.1.1.4). A bare CR or LF never does, in no combination with a
dot, so that nobody after us can find a second message in what we took for one ("SMTP smuggling"). Whatever
the verdict, everything up to the true end is read, and memory stays within the limit plus a few blocks.
"""

from __future__ import annotations

import re
from io import IncrementalNewlineDecoder
from typing import Literal

from relay.replies import BARE_NEWLINE, DISGUISED_END, HEADER_TOO_BIG, MESSAGE_TOO_BIG, Reply

_END = b"\r\n.\r\n"
# Regular expressions that begin with literals find them faster than `bytes.find`, and the more so the shorter lines are.
_AT_END = re.compile(re.escape(_END))
_STUFFED = re.compile(rb"\r\n\.")
_DISGUISED_END = re.compile(rb"\r\n(?=[.\0]*\0)\0*\.\0*\r\n")
"""No end, but one to a reader that strips NUL."""
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class _Message:
    """What DATA and BDAT have in common: a limit, a verdict, the message itself."""

    def __init__(
        self, *, limit: int, header_limit: int, bare_newlines: Literal["refuse", "normalize"]
    ) -> None:
        self.refusal: Reply | None = None
        self.message = b""
        """CRLF lines, dots unstuffed; `b""` while incomplete and when refused."""
        self._limit = limit
        self._header_limit = header_limit
        self._bare_newlines = bare_newlines
        self._received = bytearray()

    @property
    def held(self) -> int:
        """Octets kept in memory."""
        return len(self._received) + len(self.message)

    def refuse(self, reply: Reply) -> None:
        """Keep nothing of this message any more; the first reason is the one the client hears."""
        self.refusal = self.refusal or reply
        self.message = b""
        self._received.clear()

    def _judge(self, message: bytes) -> None:
        if has_bare_newline(message):
            if self._bare_newlines == "refuse":
                self.refuse(BARE_NEWLINE)
                return
            # After unstuffing: a dot behind a bare newline was not at the start of a line, so it stays.
            message = _BARE.sub(b"\r\n", message)
        if len(message) > self._limit:
            self.refuse(MESSAGE_TOO_BIG)
            return
        if (
            len(message) > self._header_limit
            and not message.find(b"\r\n\r\n", 0, self._header_limit + 2) >= 0
        ):
            self.refuse(HEADER_TOO_BIG)
            return
        self.message = message


class Content(_Message):
    """After DATA. Feed it blocks until it hands back what came behind the message; then ask `refusal` and
    `message`."""

    def __init__(
        self, *, limit: int, header_limit: int, bare_newlines: Literal["refuse", "normalize"]
    ) -> None:
        super().__init__(limit=limit, header_limit=header_limit, bare_newlines=bare_newlines)
        # The end of DATA's own line begins the terminator: an empty message is a lone dot.
        self._received += b"\r\n"
        self._is_stuffed = False

    def refuse(self, reply: Reply) -> None:
        tail = self._received[-len(_END) + 1 :]  # its end must still be found
        super().refuse(reply)
        self._received += tail

    def feed(self, block: bytes) -> bytes | None:
        """None while the message goes on; else the bytes behind its end (perhaps none)."""
        known = len(self._received)
        self._received += block
        end = self._find_end(max(0, known - len(_END) + 1))
        if end < 0:
            # Stuffed dots do not count (RFC 1870 5); at worst every fourth octet is one.
            if self.refusal is not None or len(self._received) > self._limit // 3 * 4 + 4096:
                self.refuse(MESSAGE_TOO_BIG)
            return None
        with memoryview(self._received) as octets:
            rest = bytes(octets[end + len(_END) :])
            lines = bytes(octets[: end + 2]) if self.refusal is None else b""
        if self.refusal is None:
            self._finish(lines)
        self._received.clear()
        return rest

    def _find_end(self, start: int) -> int:
        """-1 when it has not come. Most messages have no stuffed dot, so that one look for dots at the start of a line
        finds the end and says that there is nothing to undo."""
        if not self._is_stuffed:
            dot = _STUFFED.search(self._received, start)
            if dot is None:
                return -1
            start = dot.start()
            if self._received.startswith(_END, start):
                return start
            self._is_stuffed = True
        match = _AT_END.search(self._received, start)
        return -1 if match is None else match.start()

    def _finish(self, lines: bytes) -> None:
        if _has_disguised_end(lines):
            self.refuse(DISGUISED_END)
        else:
            self._judge((lines.replace(b"\r\n.", b"\r\n") if self._is_stuffed else lines)[2:])


class Chunks(_Message):
    """After BDAT (RFC 3030): counted octets, no dots stuffed, so that nothing in them can look like an end.
    They are checked all the same, because they may go on by DATA."""

    def feed(self, block: bytes) -> None:
        if self.refusal is None:
            self._received += block
            if len(self._received) > self._limit + 2:
                self.refuse(MESSAGE_TOO_BIG)

    def finish(self) -> None:
        message = bytes(self._received)
        self._received.clear()
        if self.refusal is not None:
            return
        if message and not message.endswith(b"\r\n"):
            message += b"\r\n"
        if _has_disguised_end(b"\r\n" + message):
            self.refuse(DISGUISED_END)
        else:
            self._judge(message)


def _has_disguised_end(lines: bytes) -> bool:
    return b"\0" in lines and _DISGUISED_END.search(lines) is not None


def has_bare_newline(data: bytes) -> bool:
    """A CR or LF that is not one of a pair. The decoder looks at each octet once and notes the line ends that it
    meets, whatever their number: faster than counting, and many times faster than a regular expression."""
    decoder = IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(data.decode("latin-1"), final=True)
    return decoder.newlines not in (None, "\r\n")
