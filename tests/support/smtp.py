"""A running intake on loopback, and a client that speaks to it line by line."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from relay.intake import Intake, Settings, UserBase
from relay.replies import Reply, accepted
from relay.submission import Submission
from relay.users import User

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "hostname": "relay.test",
        "allowed_networks": LOOPBACK,
        "max_message_size": 1_000_000,
        "failed_login_delay": 0.0,
    }
    return Settings(**(given | changes))


@dataclass
class Inbox:
    """A `deliver` that keeps what it is given."""

    submissions: list[Submission] = field(default_factory=list)

    async def __call__(self, submission: Submission) -> Reply:
        self.submissions.append(submission)
        return accepted(submission.id.hex())

    @property
    def only(self) -> Submission:
        (submission,) = self.submissions
        return submission


@dataclass(frozen=True)
class Anybody:
    """Users without limits: whoever this function lets in."""

    authenticate: Callable[[str, str], Awaitable[bool]]

    def get(self, name: str) -> User | None:
        return User(name=name, password_hash="")


@dataclass
class Talker:
    """Raw lines in, raw replies out; nothing is done for the caller."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def reply(self) -> str:
        """One reply, its lines joined by newlines; `""` at the end of the connection."""
        lines: list[str] = []
        while True:
            try:
                octets = await self.reader.readline()
            except ConnectionError:
                return ""
            if not octets:
                return ""
            assert octets.endswith(b"\r\n"), octets
            lines.append(octets[:-2].decode("ascii"))
            if lines[-1][3:4] != "-":
                return "\n".join(lines)

    async def ask(self, line: str | bytes) -> str:
        octets = line.encode() if isinstance(line, str) else line
        await self.send(octets + b"\r\n")
        return await self.reply()

    async def hello(self) -> str:
        """Past greeting and EHLO."""
        assert (await self.reply()).startswith("220 ")
        return await self.ask("EHLO client.test")

    async def envelope(self, *recipients: str, sender: str = "from@example.org") -> None:
        assert (await self.ask(f"MAIL FROM:<{sender}>")).startswith("250 ")
        for recipient in recipients or ("to@example.org",):
            assert (await self.ask(f"RCPT TO:<{recipient}>")).startswith("250 ")

    async def data(self, octets: bytes) -> str:
        """DATA with exactly these octets, terminator and all; the final reply."""
        assert (await self.ask("DATA")).startswith("354 ")
        await self.send(octets)
        return await self.reply()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        assert (await self.ask("STARTTLS")).startswith("220 ")
        await self.writer.start_tls(context, server_hostname="localhost")

    async def closed(self) -> bool:
        """True once the server has closed; waits for it."""
        try:
            return not await self.reader.read()
        except ConnectionError:
            return True


@dataclass
class Server:
    intake: Intake
    host: str
    port: int

    @asynccontextmanager
    async def talk(self, **options: Any) -> AsyncIterator[Talker]:
        reader, writer = await asyncio.open_connection(self.host, self.port, **options)
        try:
            yield Talker(reader, writer)
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except (ConnectionError, ssl.SSLError):
                pass


Deliver = Callable[[Submission], Awaitable[Reply]]


@asynccontextmanager
async def serving(
    deliver: Deliver,
    *,
    implicit_tls: bool = False,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    authenticate: Callable[[str, str], Awaitable[bool]] | None = None,
    users: UserBase | None = None,
    check: Callable[[], Reply | None] | None = None,
    **changes: Any,
) -> AsyncIterator[Server]:
    users = Anybody(authenticate) if authenticate is not None else users
    intake = Intake(settings(**changes), deliver, tls=tls, users=users, check=check)
    bound_host, port = await intake.listen(host, 0, implicit_tls=implicit_tls)
    try:
        yield Server(intake, bound_host, port)
    finally:
        await intake.stop(grace=0)
