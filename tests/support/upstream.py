"""A real SMTP server that misbehaves exactly as told.

    async with ScriptedUpstream(on("rcpt", say("550 5.1.1 No such user"), match="nobody@")) as upstream:
        ...                                  # send to upstream.url
        upstream.received                    # every transaction it has answered 250 after the dot
        upstream.refused                     # those it read to the end and answered otherwise
        upstream.commands                    # every line it was told, in order, over all connections

Without rules it is a well-behaved server with the usual extensions. A rule names a stage (`connect`, `ehlo`,
`helo`, `starttls`, `auth`, `mail`, `rcpt`, `data`, `content`, `dot`, `rset`, `quit`) and what happens there
in place of the normal reply:

    say("452 4.2.2 Full")     that reply, any text; "\\r\\n" in it makes more lines
    adding("250 Ok, ok")      the normal reply and that, in one write
    drop()                    the connection is cut; drop("421 4.3.2 Bye") says something first
    lose()                    done as asked, and the connection is cut in place of the normal reply
    hang()                    no reply, ever, until the client leaves
    deaf()                    the same, and nothing more is read
    slow(0.05)                the normal reply, later
    held(event)               the normal reply, once the event is set
    endless()                 a reply of more and more lines
    flood()                   a line that never ends
    garbage()                 octets that are no reply

`match` (a piece of the command line), `after` (how often the stage passes normally first) and `times` (how
often the rule applies) narrow it down. `content` is the moment the first octets of a message have come,
`dot` the one after its end.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

USUAL_EXTENSIONS = (
    "PIPELINING",
    "SIZE 26214400",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "ENHANCEDSTATUSCODES",
)


@dataclass(frozen=True, slots=True)
class Act:
    """What happens instead of the normal reply."""

    kind: str
    text: str = ""
    seconds: float = 0.0
    event: asyncio.Event | None = None


def say(text: str) -> Act:
    return Act("say", text)


def adding(text: str) -> Act:
    return Act("adding", text)


def drop(text: str = "") -> Act:
    return Act("drop", text)


def lose() -> Act:
    return Act("lose")


def hang() -> Act:
    return Act("hang")


def deaf() -> Act:
    return Act("deaf")


def slow(seconds: float) -> Act:
    return Act("slow", seconds=seconds)


def held(event: asyncio.Event) -> Act:
    return Act("held", event=event)


def endless() -> Act:
    return Act("endless")


def flood() -> Act:
    return Act("flood")


def garbage(text: str = "\x16\x03\x01 this is no SMTP") -> Act:
    return Act("say", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    stage: str
    act: Act
    match: str = ""
    after: int = 0
    times: int = 1_000_000

    def fits(self, stage: str, line: str) -> bool:
        return stage == self.stage and self.match.lower() in line.lower()


def on(stage: str, act: Act, *, match: str = "", after: int = 0, times: int = 1_000_000) -> Rule:
    return Rule(stage=stage, act=act, match=match, after=after, times=times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One transaction, as it was spoken."""

    sender: str
    """The MAIL command's argument behind `FROM:`, parameters too: `<a@example.org> SIZE=1`."""
    recipients: tuple[str, ...]
    """Likewise behind `TO:`; only those that were accepted."""
    data: bytes
    """The message with its dots undoubled, its last CRLF included."""
    tls: str | None
    user: str | None
    connection: int
    """Counted from 1."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(text[1 : text.index(">")] for text in self.recipients)


class _Cut(Exception):
    """The script ends this connection."""


class ScriptedUpstream:
    """Listens on 127.0.0.1 while it is entered, on a free port unless told which."""

    def __init__(
        self,
        *rules: Rule,
        extensions: Iterable[str] = USUAL_EXTENSIONS,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        users: dict[str, str] | None = None,
        mechanisms: str = "PLAIN LOGIN",
        recipients_max: int = 1_000_000,
        messages_max: int = 1_000_000,
        takes_data_for_nobody: bool = False,
        port: int = 0,
    ) -> None:
        """`tls` offers STARTTLS, or with `implicit_tls` speaks TLS from the start. With `users` (name to
        password) MAIL needs a login. More than `recipients_max` recipients get `452 4.5.3`.
        A connection ends with 421 at the MAIL after `messages_max` messages.
        `takes_data_for_nobody` answers DATA with 354 even when all recipients were refused."""
        self.rules = rules
        self.extensions = tuple(extensions)
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.users = users or {}
        self.mechanisms = mechanisms
        self.recipients_max = recipients_max
        self.messages_max = messages_max
        self.takes_data_for_nobody = takes_data_for_nobody
        self.port = port
        self.received: list[Received] = []
        self.refused: list[Received] = []
        self.commands: list[str] = []
        self.connections = self.open_connections = self.most_connections = 0
        self._passed = [0] * len(rules)
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._ended = asyncio.Event()
        self._heard = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'smtps' if self.implicit_tls else 'smtp'}://127.0.0.1:{self.port}"

    @property
    def verbs(self) -> list[str]:
        """The commands' first words: `["EHLO", "MAIL", "RCPT", "DATA"]`."""
        return [command.split()[0].upper() for command in self.commands]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.tls if self.implicit_tls else None, limit=2**20
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for session in tuple(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    async def said(self, start: str) -> None:
        """Wait until some command has begun with `start` (`"."` for the end of a message)."""
        while not any(command.startswith(start) for command in self.commands):
            self._heard.clear()
            await self._heard.wait()

    def hear(self, command: str) -> None:
        self.commands.append(command)
        self._heard.set()

    def take(self, received: Received) -> None:
        """A transaction that was answered 250, or would have been."""
        self.received.append(received)

    def interrupt(self, text: str) -> None:
        """Say something on every connection, unasked."""
        for writer in self._writers:
            writer.write(text.encode() + b"\r\n")

    async def hang_up(self) -> None:
        """Cut every connection, as a restart would; new ones are welcome."""
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self.all_gone()

    async def all_gone(self) -> None:
        """Wait until no connection is open."""
        while self.open_connections:
            self._ended.clear()
            await self._ended.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self._writers.add(writer)
        self.connections += 1
        self.open_connections += 1
        self.most_connections = max(self.most_connections, self.open_connections)
        try:
            await _Session(self, reader, writer, self.connections).run()
        except (_Cut, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._sessions.discard(task)
            self._writers.discard(writer)
            self.open_connections -= 1
            writer.transport.abort()
            self._ended.set()

    def act_for(self, stage: str, line: str) -> Act | None:
        """What the script wants here. Counts: asking is passing by."""
        for number, rule in enumerate(self.rules):
            if rule.fits(stage, line):
                self._passed[number] += 1
                if rule.after < self._passed[number] <= rule.after + rule.times:
                    return rule.act
        return None


class _Session:
    """One connection's conversation."""

    def __init__(
        self,
        upstream: ScriptedUpstream,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        self._upstream = upstream
        self._reader = reader
        self._writer = writer
        self._number = number
        self._user: str | None = None
        self._sender: str | None = None
        self._messages = 0
        self._recipients: list[str] = []

    async def run(self) -> None:
        await self._reply("connect", "", "220 upstream.test ESMTP")
        while line := await self._reader.readline():
            command = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
            self._upstream.hear(command)
            await self._obey(command)

    async def _obey(self, command: str) -> None:
        verb = command.split(" ")[0].upper()
        match verb:
            case "EHLO":
                await self._reply("ehlo", command, self._hello())
            case "HELO":
                await self._reply("helo", command, "250 upstream.test")
            case "STARTTLS":
                await self._start_tls(command)
            case "AUTH":
                await self._log_in(command)
            case "MAIL":
                await self._mail(command)
            case "RCPT":
                await self._rcpt(command)
            case "DATA":
                await self._data(command)
            case "RSET":
                self._forget()
                await self._reply("rset", command, "250 2.0.0 Flushed")
            case "QUIT":
                await self._reply("quit", command, "221 2.0.0 Bye")
                raise _Cut
            case _:
                await self._write("502 5.5.2 What?")

    async def _reply(self, stage: str, command: str, normal: str) -> bool:
        """Say what the script wants said, else `normal`. True when `normal` was said."""
        act = self._upstream.act_for(stage, command)
        if act is None:
            await self._write(normal)
            return True
        return await self._perform(act, normal)

    async def _perform(self, act: Act, normal: str) -> bool:
        match act.kind:
            case "say":
                await self._write(act.text)
            case "adding":
                await self._write(f"{normal}\r\n{act.text}")
                return True
            case "drop":
                await self._drop(act.text)
            case "lose":
                self._writer.transport.abort()
                return True
            case "hang":
                while await self._reader.read(2**16):
                    pass
                raise _Cut
            case "deaf":
                await asyncio.Event().wait()
            case "endless":
                while True:
                    await self._write("250-and another thing, while we are at it")
            case "flood":
                while True:
                    self._writer.write(b"250 and " * 100)
                    await self._writer.drain()
            case "held":
                assert act.event is not None
                await act.event.wait()
                await self._write(normal)
                return True
            case "slow":
                await asyncio.sleep(act.seconds)
                await self._write(normal)
                return True
        return False

    async def _write(self, text: str) -> None:
        self._writer.write(text.encode("utf-8", "surrogateescape") + b"\r\n")
        await self._writer.drain()

    async def _drop(self, text: str) -> None:
        if text:
            await self._write(text)
            self._writer.close()
        raise _Cut

    def _hello(self) -> str:
        extensions = list(self._upstream.extensions)
        if self._upstream.tls is not None and not self._is_encrypted:
            extensions.append("STARTTLS")
        if self._upstream.users:
            extensions.append(f"AUTH {self._upstream.mechanisms}")
        lines = ["upstream.test", *extensions]
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    @property
    def _is_encrypted(self) -> bool:
        return self._writer.get_extra_info("ssl_object") is not None

    async def _start_tls(self, command: str) -> None:
        if self._upstream.tls is None:
            await self._reply("starttls", command, "502 5.5.1 No TLS here")
        elif await self._reply("starttls", command, "220 2.0.0 Go ahead"):
            await self._writer.start_tls(self._upstream.tls)

    async def _log_in(self, command: str) -> None:
        _, mechanism, *initial = command.split(" ")
        act = self._upstream.act_for("auth", command)
        if act is not None:
            await self._perform(act, "235 2.7.0 Welcome")
            return
        if mechanism.upper() == "PLAIN":
            _, user, proof = base64.b64decode(initial[0]).decode().split("\0")
        elif mechanism.upper() == "LOGIN":
            user = base64.b64decode(initial[0]).decode()
            proof = await self._challenge("Password:")
        else:
            user, _, proof = (await self._challenge("<1@upstream.test>")).partition(" ")
        password = self._upstream.users.get(user)
        if password is not None and proof in (password, _cram_md5(password, "<1@upstream.test>")):
            self._user = user
            await self._write("235 2.7.0 Welcome")
        else:
            await self._write("535 5.7.8 Authentication failed")

    async def _challenge(self, text: str) -> str:
        await self._write(f"334 {base64.b64encode(text.encode()).decode()}")
        return base64.b64decode(await self._reader.readline()).decode()

    async def _mail(self, command: str) -> None:
        if self._upstream.users and self._user is None:
            await self._write("530 5.7.0 Authentication required")
        elif self._messages >= self._upstream.messages_max:
            await self._drop("421 4.7.0 Enough of you")
        elif self._sender is not None:
            await self._write("503 5.5.1 Nested MAIL")
        elif await self._reply("mail", command, "250 2.1.0 Sender ok"):
            self._sender = command[len("MAIL FROM:") :]

    async def _rcpt(self, command: str) -> None:
        if self._sender is None:
            await self._write("503 5.5.1 MAIL first")
        elif len(self._recipients) >= self._upstream.recipients_max:
            await self._write("452 4.5.3 Too many recipients")
        elif await self._reply("rcpt", command, "250 2.1.5 Recipient ok"):
            self._recipients.append(command[len("RCPT TO:") :])

    async def _data(self, command: str) -> None:
        nobody = not self._recipients and not self._upstream.takes_data_for_nobody
        if self._sender is None or nobody:
            await self._write("554 5.5.1 No valid recipients")
            return
        if not await self._reply("data", command, "354 Go on"):
            return
        data = await self._content()
        received = Received(
            sender=self._sender,
            recipients=tuple(self._recipients),
            data=data,
            tls=self._tls_version(),
            user=self._user,
            connection=self._number,
        )
        self._forget()
        self._upstream.hear(".")
        self._messages += 1
        if await self._reply("dot", received.sender, "250 2.0.0 Taken"):
            self._upstream.take(received)
        else:
            self._upstream.refused.append(received)

    async def _content(self) -> bytes:
        act = self._upstream.act_for("content", "")
        if act is not None:
            await self._reader.readexactly(1)
            await self._perform(act, "")
        lines = []
        while (line := await self._reader.readuntil(b"\n")) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def _tls_version(self) -> str | None:
        ssl_object = self._writer.get_extra_info("ssl_object")
        return None if ssl_object is None else ssl_object.version()

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []


def _cram_md5(password: str, challenge: str) -> str:
    return hmac.new(password.encode(), challenge.encode(), "md5").hexdigest()
