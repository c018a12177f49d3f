"""What the operator's pages may see and do of mail: fulfils `tracker.desk.Desk`.

Everything but giving mail up is done by the store alone, so that the process on the public web needs nothing of mail
for it: it holds a desk without a postmaster, and says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from relay.store import selection
from relay.store import suppression as suppressions
from relay.store.schema import queue
from relay.store.selection import Selection
from relay.store.spool import database_now
from relay.store.steering import Done as Steered
from relay.store.steering import Steering
from relay.store.suppression import Listed, Reason, Suppressing
from tracker.address import normalize
from tracker.desk import (
    OLDER,
    Counted,
    DomainWaiting,
    Done,
    Envelope,
    Found,
    QueueStanding,
    Suppressed,
    UpstreamState,
    Waiting,
    Wanted,
    Worker,
)
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.store.deliveries import Attempt

if TYPE_CHECKING:
    from relay.postmaster import Postmaster
    from relay.upstream.transaction import ServerState

_WITHIN = 30.0


class MailDesk:
    """A desk on this store. `postmaster` gives what can also drop mail; `upstreams` the servers as this process sees
    them; `findings` what `candor doctor` would say at once. Each only where the process has it."""

    def __init__(
        self,
        domain: Domain,
        *,
        postmaster: Callable[[], Postmaster] | None = None,
        upstreams: Callable[[], Sequence[ServerState]] | None = None,
        findings: Callable[[], Sequence[Found]] | None = None,
    ) -> None:
        self._domain = domain
        self._steering = Steering(domain)
        self._postmaster = postmaster
        self._upstreams = upstreams
        self._findings = findings

    @property
    def may_drop(self) -> bool:
        return self._postmaster is not None

    def upstreams(self) -> Sequence[UpstreamState] | None:
        return None if self._upstreams is None else [_upstream(one) for one in self._upstreams()]

    async def findings(self) -> Sequence[Found]:
        return [] if self._findings is None else await asyncio.to_thread(self._findings)

    async def standing(self, *, domains: int) -> QueueStanding:
        found = await self._steering.statistics(domains=domains)
        return QueueStanding(**{**found, "domains": [DomainWaiting(**one) for one in found["domains"]]})

    async def workers(self) -> Sequence[Worker]:
        return await self._domain.database.read(_workers)

    async def count(self, wanted: Wanted) -> Counted:
        return Counted(**await self._steering.count(_selection(wanted)))

    async def waiting(
        self, wanted: Wanted, *, sort: str, descending: bool, limit: int, offset: int = 0
    ) -> Sequence[Waiting]:
        found = await self._steering.page(
            _selection(wanted), limit=limit, offset=offset, sort=sort, descending=descending
        )
        return [_waiting(one) for one in found]

    async def envelope(self, message: str) -> Envelope | None:
        message_id = selection.id_range(message)[0]
        found = await self._domain.database.read(
            lambda connection: selection.envelope_of(connection, message_id), within=_WITHIN
        )
        if not found:
            return None
        return Envelope(
            message=message,
            sender=found["sender"],
            received_at=_moment(found["received_at"]),
            size=found["size"],
            said=envelope_words(found["envelope"]),
        )

    async def original(self, message: str) -> bytes:
        return await self._steering.original(message)

    async def retry(self, wanted: Wanted) -> Done:
        return _done(await self._steering.retry(_selection(wanted)))

    async def hold(self, wanted: Wanted) -> Done:
        return _done(await self._steering.hold(_selection(wanted)))

    async def release(self, wanted: Wanted) -> Done:
        return _done(await self._steering.release(_selection(wanted)))

    async def drop(self, wanted: Wanted, *, bounce: bool, by: str, why: str) -> Done:
        if self._postmaster is None:
            raise InvalidValue("mail is dropped by the relay's own process: use `candor queue drop` there")
        done = await self._postmaster().drop(_selection(wanted), bounce=bounce, by=by, why=why)
        return _done(done)

    async def suppressed(
        self, *, search: str, reason: str, sort: str, descending: bool, limit: int, offset: int = 0
    ) -> Sequence[Suppressed]:
        def work(connection: Connection) -> list[Suppressed]:
            found = suppressions.listed(
                connection,
                search=search,
                reason=reason,
                sort=sort,
                descending=descending,
                limit=limit,
                offset=offset,
            )
            return [_suppressed(one) for one in found]

        return await self._domain.database.read(work, within=_WITHIN)

    async def suppress(self, address: str, *, note: str, now: datetime) -> None:
        one = Listed(address=normalize(address), reason=Reason.MANUAL, since=now, note=note)
        await self._domain.database.write(*Suppressing(ring=self._domain.ring).listing([one]))

    async def listed(self, key: str) -> Suppressed | None:
        found = await self._domain.database.read(
            lambda connection: suppressions.listed_as(connection, bytes.fromhex(key))
        )
        return None if found is None else _suppressed(found)

    async def lift(self, key: str) -> bool:
        return await self._domain.database.change(
            lambda connection: suppressions.remove_key(connection, bytes.fromhex(key))
        )


def _moment(text: str) -> datetime | None:
    """As the store holds it: without a zone, and then in UTC, or with one."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def envelope_words(text: str) -> str:
    """What else the client said with a message, as words; what is damaged as it stands there."""
    try:
        said = json.loads(text)
        return ", ".join(f"{key} {value}" for key, value in said.items() if value) or "nothing more"
    except (ValueError, AttributeError):
        return text


def _workers(connection: Connection) -> list[Worker]:
    """Who holds a lease that has not run out."""
    query = select(queue.c.lease, func.count()).where(queue.c.lease != "", queue.c.due_at > database_now())
    rows = connection.execute(query.group_by(queue.c.lease).order_by(queue.c.lease)).all()
    return [
        Worker(
            node=lease.partition("/")[0], process=lease.split("/")[1] if "/" in lease else "", recipients=n
        )
        for lease, n in rows
    ]


def _selection(wanted: Wanted) -> Selection:
    return Selection(
        message=wanted.message,
        delivery=wanted.delivery,
        holding=wanted.search,
        domain=wanted.domain or None,
        state=wanted.state or None,
        reply=wanted.reply,
        older_than=OLDER[wanted.older] if wanted.older else None,
    )


def _done(one: Steered) -> Done:
    return Done(changed=one.changed, sending=one.sending, damaged=one.damaged)


def _waiting(one: dict[str, Any]) -> Waiting:
    last = one["last_try"]
    return Waiting(
        message=one["message"],
        delivery=one["delivery"],
        subject=one["subject"],
        sender=one["sender"],
        recipient=one["recipient"],
        domain=one["domain"],
        state=one["state"],
        tries=one["tries"],
        since=datetime.fromisoformat(one["since"]),
        next_try=None if one["due_at"] is None else datetime.fromisoformat(one["due_at"]),
        size=one["size"],
        last=None
        if last is None
        else Attempt(
            delivery_id=bytes.fromhex(one["delivery"]), **{**last, "at": datetime.fromisoformat(last["at"])}
        ),
    )


def _suppressed(one: Listed) -> Suppressed:
    return Suppressed(
        key=one.key.hex(),
        address=one.address,
        reason=one.reason.value,
        since=one.since,
        bounces=one.bounces,
        note=one.note,
    )


_OF_SERVER = [field.name for field in fields(UpstreamState)]


def _upstream(one: ServerState) -> UpstreamState:
    return UpstreamState(**{name: getattr(one, name) for name in _OF_SERVER})
