"""The walk along the register that an operator asked for: one at a time, beside the loop's other work, broken off when
the program stops. What the last one found is known until then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tracker.domain import Domain
from tracker.errors import CandorError
from tracker.store.proof import Verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk."""

    began: datetime
    by: str
    rows: int = 0
    """That hold so far."""
    ended: datetime | None = None
    found: Verified | None = None
    failed: str = ""
    """Why it came to no end."""


class Verification:
    """`start`, `walk`, `await stop()`."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._task: asyncio.Task[None] | None = None
        self.walk: Walk | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, by: str) -> bool:
        """False where one is under way."""
        if self.is_running:
            return False
        self.walk = walk = Walk(began=datetime.now(UTC), by=by)
        self._task = asyncio.create_task(self._run(walk))
        return True

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, walk: Walk) -> None:
        def passed(rows: int) -> None:
            self.walk = replace(walk, rows=rows)

        try:
            found = await self._domain.proof.verify(passed=passed)
        except CandorError as error:
            self.walk = replace(walk, ended=datetime.now(UTC), failed=str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a row, its reader hears that it is
            self.walk = replace(walk, ended=datetime.now(UTC), failed=type(error).__name__)
        else:
            self.walk = replace(walk, rows=found.rows, ended=datetime.now(UTC), found=found)
