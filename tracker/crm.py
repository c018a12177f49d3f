"""Questions to the user's CRM over HTTP: one person by GET, many by POST. No redirect is followed, no more is read
than an answer may hold, and no error says whom it was about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import aiohttp
from yarl import URL

from tracker.config import LookupTable
from tracker.lookup import Lookup, LookupFailed, read_many, read_one
from tracker.statements import Statement

_PLACE = "{address}"
_MOST_PEOPLE = 200
_MOST_OCTETS = 1 << 20


def open_lookup(table: LookupTable) -> Lookup | None:
    """The lookup that the configuration asks for, if it does; on the running loop."""
    return Lookup(table, HttpCrm(table)) if table.url else None


class HttpCrm:
    """One CRM, by its URL."""

    def __init__(self, table: LookupTable) -> None:
        self._url = table.url
        self.most = 1 if _PLACE in table.url else _MOST_PEOPLE
        token = {"Authorization": f"Bearer {table.token}"} if table.token else {}
        self._session = aiohttp.ClientSession(
            headers={"Accept": "application/json", "User-Agent": "candor", **token},
            connector=aiohttp.TCPConnector(limit=table.at_once),
            timeout=aiohttp.ClientTimeout(total=table.within),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def ask(self, addresses: Sequence[str]) -> Mapping[str, Statement | None]:
        if self.most == 1:
            (address,) = addresses
            url = self._url.replace(_PLACE, quote(address, safe=""))
            body = await self._fetch("GET", url, None)
            return {address: None if body is None else read_one(address, body)}
        body = await self._fetch("POST", self._url, {"addresses": list(addresses)})
        if body is None:
            raise LookupFailed("HTTP 404")
        return read_many(addresses, body)

    async def close(self) -> None:
        await self._session.close()

    async def _fetch(self, method: str, url: str, document: object) -> bytes | None:
        """The answer's body; None for a 404, which says that there is no such person."""
        try:
            async with self._session.request(
                method, URL(url, encoded=True), json=document, allow_redirects=False
            ) as answer:
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise LookupFailed(f"HTTP {answer.status}")
                body = bytearray()
                async for chunk in answer.content.iter_chunked(1 << 16):
                    body += chunk
                    if len(body) > _MOST_OCTETS:
                        raise LookupFailed(f"an answer of more than {_MOST_OCTETS} octets")
                return bytes(body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise LookupFailed(
                type(error).__name__
            ) from None  # its words may hold the URL, and so the address
