"""What an operator may see and do of the queue by the store alone, while relays work on it: Postfix's postqueue and
postsuper. Giving mail up needs more (`relay.postmaster`).

Whatever is being sent at the moment is left to the worker that has it, and counted as `sending`: a hold takes effect
after that try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, case, update

from relay.store import selection
from relay.store.schema import queue
from relay.store.selection import Selection
from relay.store.spool import DAMAGED, HELD, STATE, WAITING, database_now
from tracker.domain import Domain
from tracker.errors import NotFound

T = TypeVar("T")
_AT_ONCE = 200
"""Recipients in one transaction: a relay that runs beside waits no longer than that takes."""
_WITHIN = 30.0


class _OnIds(Protocol):
    def __call__(self, connection: Connection, /, ids: list[bytes]) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of those who were meant."""

    changed: int
    sending: int
    """In a worker's hands at the moment."""
    damaged: int = 0
    """Cannot be returned to their sender, because their message cannot be read."""


class Steering:
    """The queue in an operator's hands. Its methods raise StoreUnavailable, InvalidValue and NotFound."""

    def __init__(self, domain: Domain) -> None:
        self._database = domain.database
        self._deliveries = domain.deliveries

    async def find(self, prefix: str) -> Selection:
        """The one message whose id begins so."""
        message_id = await self._read(lambda connection: selection.the_message(connection, prefix))
        return Selection(message=message_id.hex())

    async def count(self, wanted: Selection) -> dict[str, int]:
        return await self._read(lambda connection: selection.how_many(connection, wanted))

    async def page(
        self,
        wanted: Selection,
        *,
        limit: int,
        offset: int = 0,
        sort: str = "since",
        descending: bool = False,
    ) -> list[dict[str, Any]]:
        """Recipients who wait, oldest first unless `sort` says otherwise."""
        order = selection.Order(sort=sort, descending=descending, limit=limit, offset=offset)
        return await self._read(lambda connection: selection.page(connection, wanted, order))

    async def statistics(self, *, domains: int) -> dict[str, Any]:
        return await self._read(lambda connection: selection.statistics(connection, domains=domains))

    async def show(self, prefix: str) -> dict[str, Any]:
        """One message with all its recipients, those it has reached included, and every attempt."""
        wanted = await self.find(prefix)
        message_id = bytes.fromhex(wanted.message)
        waiting = await self.page(wanted, limit=1_000_000)
        ids = [bytes.fromhex(one["delivery"]) for one in waiting]
        tries = await self._read(lambda connection: selection.tries_of(connection, ids))
        for one in waiting:
            one["attempts"] = tries.get(bytes.fromhex(one["delivery"]), [])
        try:
            story = await self._deliveries.show(message_id)
        except NotFound:  # came while the store was away
            story = {"subject": "", "deliveries": []}
        return {
            "id": wanted.message,
            "subject": story["subject"],
            **await self._read(lambda connection: selection.envelope_of(connection, message_id)),
            "waiting": waiting,
            "settled": [one for one in story["deliveries"] if bytes.fromhex(one["id"]) not in set(ids)],
        }

    async def original(self, prefix: str) -> bytes:
        """The message as it came."""
        wanted = await self.find(prefix)
        return await self._read(
            lambda connection: selection.original_of(connection, bytes.fromhex(wanted.message))
        )

    async def retry(self, wanted: Selection) -> Done:
        """What waits is due now."""

        def due(connection: Connection, ids: list[bytes]) -> int:
            now = update(queue).where(selection.free(ids), STATE == WAITING)
            return connection.execute(now.values(due_at=database_now(), lease="")).rowcount

        return await self._change(wanted, due)

    async def hold(self, wanted: Selection) -> Done:
        """What waits is not tried until it is released; what is being sent, not after this try."""

        def hold(connection: Connection, ids: list[bytes]) -> int:
            waiting = update(queue).where(queue.c.delivery_id.in_(ids), STATE == WAITING)
            return connection.execute(waiting.values(state=HELD)).rowcount

        return await self._change(wanted, hold)

    async def release(self, wanted: Selection) -> Done:
        """What was held or set aside as damaged is tried (and read) again."""

        def release(connection: Connection, ids: list[bytes]) -> int:
            kept = update(queue).where(queue.c.delivery_id.in_(ids), STATE.in_((HELD, DAMAGED)))
            now = case((queue.c.lease == "", database_now()), else_=queue.c.due_at)
            return connection.execute(kept.values(state=WAITING, due_at=now)).rowcount

        return await self._change(wanted, release)

    async def _change(self, wanted: Selection, work: _OnIds) -> Done:
        sending = (await self.count(wanted))[selection.SENDING]
        changed = 0
        for ids in shares(await self._read(lambda connection: selection.ids_of(connection, wanted))):
            changed += await self._database.change(partial(work, ids=ids))
        return Done(changed=changed, sending=sending)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read(work, within=_WITHIN)


def shares(ids: list[bytes]) -> Iterable[list[bytes]]:
    """In one transaction each."""
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
