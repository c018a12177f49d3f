"""A public face on a socket, and a client so plain that every octet of an answer can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from support.tracking import PERSON

from tracker.domain import Domain
from tracker.web.app import PublicFace


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: the header block as octets, and the body."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def all(self, name: str) -> list[bytes]:
        """Every value of a header, untouched."""
        lines = [line.partition(b":") for line in self.head.split(b"\r\n")[1:]]
        return [value[1:] for key, _, value in lines if key.lower() == name.lower().encode()]

    def header(self, name: str) -> bytes | None:
        found = self.all(name)
        return found[0] if found else None

    @property
    def location(self) -> bytes | None:
        return self.header("Location")

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Asks the server at `address`, one connection for each request."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.base = f"http://{address[0]}:{address[1]}"

    async def octets(self, request: bytes) -> Answer:
        """Sends exactly this and reads until the server closes."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(request)
            await writer.drain()
            answer = await asyncio.wait_for(reader.read(-1), 20)
        finally:
            writer.close()
            await writer.wait_closed()
        head, _, body = answer.partition(b"\r\n\r\n")
        return Answer(head=head, body=body)

    async def ask(
        self, path: str, method: str = "GET", *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """A request as a browser would make it; a header of None would be absent."""
        fields = {"Host": "t.example.com", "User-Agent": PERSON, "Connection": "close"} | dict(headers or {})
        if body:
            fields.setdefault("Content-Length", str(len(body)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return await self.octets(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def choose(self, path: str, choice: str) -> Answer:
        """Sends the preference page's form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.ask(path, "POST", headers=kind, body=urlencode({"choice": choice}).encode())


@asynccontextmanager
async def serving(domain: Domain) -> AsyncIterator[tuple[Client, PublicFace]]:
    """The public face of the domain, stopped afterwards."""
    face = PublicFace(domain)
    try:
        yield Client(await face.start()), face
    finally:
        await face.stop()
