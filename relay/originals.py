"""Messages that were kept as they came, for the operator's pages: whether there is one, and how it looks.

Fulfils `tracker.admin.previews.Previews`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from relay import log
from relay.config import Config
from relay.display import displayed
from relay.store.originals import is_kept, original_of
from tracker.domain import Domain


class Originals:
    """Reads in the store of `domain`; what is older than `[admin] previews_days` today is not shown any more."""

    def __init__(self, domain: Domain, config: Config) -> None:
        self._domain = domain
        self._rules = config.rewrite.rules(*config.tracker.urls)

    async def has(self, message: bytes) -> bool:
        """Whether the message is kept. Raises StoreUnavailable."""
        since = self._since()
        return await self._domain.database.read(
            lambda connection: is_kept(connection, message, since=since), within=10.0
        )

    async def html(self, message: bytes, badges: Mapping[int, tuple[str, str]]) -> str | None:
        """The message's HTML with nothing that acts, and a badge on each link that `badges` tell of (by number: where
        it leads, and the words); None where it is not kept or cannot be shown. Raises StoreUnavailable."""
        since = self._since()
        data = await self._domain.database.read(
            lambda connection: original_of(connection, message, since=since), within=10.0
        )
        if data is None:
            return None
        try:
            return await asyncio.to_thread(displayed, data, self._rules, badges)
        except Exception as error:  # noqa: BLE001 - whatever a message holds, the page about it is there
            log.not_displayed(message.hex(), error=error)
            return None

    def _since(self) -> datetime:
        return datetime.now(UTC) - timedelta(days=self._domain.config.admin.previews_days)
