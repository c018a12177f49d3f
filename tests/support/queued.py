"""Mail that waits in the queue, put there as the relay does it, with no relay beside that would try it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from support.submissions import submission
from support.tracking import UNTRACKED, Copy, Mail, configuration, send

from relay.config import Config, QueueTable
from relay.desk import MailDesk
from relay.queue import Queue
from relay.service import desk
from relay.store.schema import queue
from relay.store.spool import Waiting
from relay.submission import Recipient
from tracker.consent import Decision
from tracker.domain import Domain


def relay_configuration(store_url: str, folder: Path, **tables: Any) -> Config:
    """As `support.tracking.configuration`, with the relay's tables."""
    given = configuration(store_url, folder)
    return Config(**({name: getattr(given, name) for name in type(given).model_fields} | tables))


def desk_of(domain: Domain) -> MailDesk:
    """As a process that sends mail has it."""
    return desk(domain, None)


async def wait(
    domain: Domain,
    *recipients: str,
    decisions: Mapping[str, Decision] | None = None,
    answer: str = "Later, please",
    sender: str = "news@shop.example",
    status: str = "deferred",
    **mail: Any,
) -> dict[str, Copy]:
    """A message whose recipients were put off once and wait for their next try in an hour."""
    to = {address: (decisions or {}).get(address, UNTRACKED) for address in recipients}
    copies = await send(domain, Mail(to=to, status=status, text=answer, sender=sender, **mail))
    message = next(iter(copies.values())).message
    waiting = [
        Waiting(
            delivery_id=copy.delivery,
            position=position,
            recipient=Recipient(address=copy.recipient),
            tries=1,
        )
        for position, copy in enumerate(copies.values())
    ]
    keeper = Queue(domain.database, QueueTable(first_retry="1h"))
    sent = submission(*recipients, id=message, sender=sender)
    await domain.database.write(*keeper.keeping(sent, waiting, mine=False, tried=True))
    return copies


async def states(domain: Domain) -> dict[str, str]:
    """Who waits, and how."""
    query = select(queue.c.address, queue.c.state)
    rows = await domain.database.read(lambda connection: connection.execute(query).all())
    return {row.address: row.state for row in rows}


async def in_hand(domain: Domain, address: str) -> None:
    """A worker has this one now."""
    taken = update(queue).where(queue.c.address == address)
    taken = taken.values(lease="other-node/4711/abc", due_at=4_000_000_000.0)
    await domain.database.change(lambda connection: connection.execute(taken).rowcount)
