"""What waits in the queue, as tests ask for it and hurry it on."""

from __future__ import annotations

from sqlalchemy import Connection, update
from support.people import rows

from relay.store.schema import queue, spool
from tracker.domain import Domain


async def nothing_waits(domain: Domain) -> bool:
    """No recipient in the queue and no message in the spool."""
    return not await rows(domain, queue) and not await rows(domain, spool)


def let_leases_run_out(connection: Connection) -> None:
    """What two minutes would do."""
    connection.execute(update(queue).values(due_at=0.0))
