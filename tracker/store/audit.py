"""Who among the operators did what with what is kept of people.

A row names the person by number only: it outlives erasure, and then points at nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, insert, select

from tracker.store.database import Database
from tracker.store.schema import audit


class Action(StrEnum):
    EXPORT = "export"
    ERASE = "erase"
    ANONYMIZE = "anonymize"
    CONSENT = "consent"
    REQUEST = "request"
    EXPORT_CONTACTS = "export-contacts"
    EXPORT_RECIPIENTS = "export-recipients"
    EXPORT_LEADS = "export-leads"
    EXPORT_QUIET = "export-quiet"
    """Lists of people, as files: nobody in particular is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One thing that was done."""

    at: datetime
    actor: str
    action: Action
    contact_id: int | None


_NOTE = insert(audit)


class Audit:
    """Writes and reads of the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, action: Action, contact_id: int | None, *, actor: str, now: datetime) -> None:
        """Before it is done: what cannot be written down is not done. Raises StoreUnavailable."""
        row = {"at": now, "actor": actor, "action": action.value, "contact_id": contact_id}
        await self._database.write((_NOTE, [row]))

    async def list(self, *, limit: int, offset: int = 0) -> list[Audited]:
        """Latest first. Raises StoreUnavailable."""

        def work(connection: Connection) -> list[Audited]:
            query = select(audit).order_by(audit.c.id.desc()).limit(limit).offset(offset)
            return [
                Audited(at=row.at, actor=row.actor, action=Action(row.action), contact_id=row.contact_id)
                for row in connection.execute(query)
            ]

        return await self._database.read(work)
