"""The operator's pages on a socket, and people who have signed in to them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode

from argon2 import PasswordHasher
from support.web import Answer, Client

from tracker.admin.app import AdminFace
from tracker.config import AdminTable
from tracker.desk import Desk
from tracker.domain import Domain

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
ROLES = ("viewer", "operator", "admin")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def admin_table(**more: Any) -> AdminTable:
    """A user of each role, called like it, with the password "secret"."""
    users = tuple({"name": role, "password_hash": HASH, "role": role} for role in ROLES)
    return AdminTable(**({"listen": "127.0.0.1:0", "user": users} | more))


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who has signed in; or, without a cookie, who sits at the machine."""

    client: Client
    cookie: str = ""

    @property
    def _headers(self) -> dict[str, str]:
        return {"Cookie": self.cookie} if self.cookie else {"Host": "localhost"}

    async def get(self, path: str) -> Answer:
        return await self.client.ask(path, headers=self._headers)

    async def page(self, path: str) -> Answer:
        """What must be there."""
        answer = await self.get(path)
        assert answer.status == 200, (path, words(answer))
        return answer

    async def post(self, path: str, **fields: str) -> Answer:
        """A form of theirs, with the token that stands in it."""
        return await self.forged(path, form_token=await self.token(), **fields)

    async def forged(self, path: str, **fields: str) -> Answer:
        """A form with nothing in it but this."""
        body = urlencode(fields).encode()
        return await self.client.ask(path, "POST", headers={**FORM, **self._headers}, body=body)

    async def token(self) -> str:
        page = (await self.get("/")).text
        return page.split('name="form_token" value="')[1].split('"')[0]


@asynccontextmanager
async def visiting(domain: Domain, desk: Desk | None = None) -> AsyncIterator[dict[str, Visit]]:
    """The pages, and one of each role who has signed in; `""` is whoever sits there, where nobody is named."""
    face = AdminFace(domain, desk=desk)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    client = Client((host, int(port)))
    try:
        visits = {"": Visit(client)}
        for role in ROLES if domain.config.admin.user else ():
            body = urlencode({"name": role, "password": "secret", "next": "/"}).encode()
            answer = await client.ask("/sign-in", "POST", headers=FORM, body=body)
            visits[role] = Visit(client, answer.all("Set-Cookie")[0].split(b";")[0].decode())
        yield visits
    finally:
        await face.stop()


def words(answer: Answer) -> str:
    """The page's text, in one line, without what folds open to explain a word."""
    body = re.sub(
        r"(?s)<(style|head|details class=.about)\b.*?</(style|head|details)>", "", dechunked(answer)
    )
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def dechunked(answer: Answer) -> str:
    """What a streamed answer says."""
    if answer.header("Transfer-Encoding") != b"chunked":
        return answer.text
    left, whole = answer.body, b""
    while left:
        size, _, left = left.partition(b"\r\n")
        whole, left = whole + left[: int(size, 16)], left[int(size, 16) + 2 :]
    return whole.decode()
