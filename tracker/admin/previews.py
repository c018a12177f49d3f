"""What the pages ask of whoever keeps messages as they came: the tracker knows nothing of mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

Badges = Mapping[int, tuple[str, str]]
"""By a link's number: where it leads, and what is to be said of it."""


class Previews(Protocol):
    """Messages by id. Both raise StoreUnavailable."""

    async def has(self, message: bytes) -> bool:
        """Whether the message can be shown."""
        ...

    async def html(self, message: bytes, badges: Badges) -> str | None:
        """Its HTML with nothing that acts, and the badges on its links; None where it is not kept."""
        ...


PREVIEWS: web.AppKey[Previews] = web.AppKey("previews")
"""Not there where nobody keeps messages."""
