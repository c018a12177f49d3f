"""The API on a socket, and programs with keys that ask it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from support.operators import dechunked
from support.web import Answer, Client

from tracker.admin.app import AdminFace
from tracker.apikeys import SCOPES
from tracker.desk import Desk
from tracker.domain import Domain
from tracker.store.api_keys import ApiKeys


@dataclass(frozen=True, slots=True)
class Program:
    """Asks with its key."""

    client: Client
    token: str
    domain: Domain

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """`path` below `/api/v1`; `body` as JSON, octets as they are."""
        said = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        octets = b""
        if body is not None:
            said["Content-Type"] = "application/json"
            octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.ask(
            f"/api/v1{path}", method, headers=said | dict(headers or {}), body=octets
        )

    async def get(self, path: str) -> Any:
        """What must be there."""
        answer = await self.ask("GET", path)
        assert answer.status == 200, (path, answer.text)
        return json.loads(answer.body)

    async def post(self, path: str, body: Any, **more: Any) -> Any:
        """What must succeed."""
        answer = await self.ask("POST", path, body, **more)
        assert answer.status == 200, (path, answer.text)
        return json.loads(answer.body)

    async def lines(self, path: str) -> list[Any]:
        """All of a list."""
        answer = await self.ask("GET", path, headers={"Accept": "application/x-ndjson"})
        assert answer.header("Content-Type") == b"application/x-ndjson", answer.text
        return [json.loads(line) for line in dechunked(answer).splitlines()]

    async def wrong(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, set[str]]:
        """The status, and which fields are wrong; held to be a problem."""
        answer = await self.ask(method, path, body, **more)
        assert answer.header("Content-Type") == b"application/problem+json", answer.text
        problem = json.loads(answer.body)
        assert set(problem) == {"type", "title", "status", "detail", "errors"}
        assert problem["status"] == answer.status
        return answer.status, {one["field"] for one in problem["errors"]}

    async def with_scopes(self, *scopes: str) -> Program:
        """The same with another key."""
        return replace(self, token=await new_key(self.domain, "other", *scopes))


async def new_key(domain: Domain, name: str, *scopes: str) -> str:
    """The token of a key that may do this; everything where nothing is said."""
    keys = ApiKeys(domain.database)
    _, made = await keys.create(name, scopes or tuple(SCOPES), by="test", now=datetime.now(UTC))
    return made.token


@asynccontextmanager
async def asking(domain: Domain, desk: Desk | None = None) -> AsyncIterator[Program]:
    """The operator's listener, and a program called "shop" that may do everything."""
    face = AdminFace(domain, desk=desk)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    try:
        yield Program(Client((host, int(port))), await new_key(domain, "shop"), domain)
    finally:
        await face.stop()
