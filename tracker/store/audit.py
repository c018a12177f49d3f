"""Who among the operators did what with what is kept of people, and with their mail.

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
    EXPORT_SEGMENT = "export-segment"
    EXPORT_ALERTS = "export-alerts"
    """Lists of people, as files: nobody in particular is named."""
    SEGMENT_SAVE = "segment-save"
    SEGMENT_DELETE = "segment-delete"
    RETRY = "queue-retry"
    HOLD = "queue-hold"
    RELEASE = "queue-release"
    DROP = "queue-drop"
    READ = "queue-read"
    SUPPRESS = "suppress"
    LIFT = "suppression-lift"
    VERIFY = "register-verify"
    SIGN = "register-sign"
    UPDATE = "contact-update"
    LOOK = "api-read"
    """A program read what names people, for the first time in an hour."""
    KEY_CREATE = "api-key-create"
    KEY_REVOKE = "api-key-revoke"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One thing that was done."""

    at: datetime
    actor: str
    action: str
    """An Action, or a newer release's."""
    contact_id: int | None
    about: str = ""
    """What else it was done with, in words that name nobody."""


_NOTE = insert(audit)


class Audit:
    """Writes and reads of the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(
        self, action: Action, contact_id: int | None, *, actor: str, now: datetime, about: str = ""
    ) -> None:
        """Before it is done: what cannot be written down is not done. Raises StoreUnavailable."""
        row = {"at": now, "actor": actor, "action": action.value, "contact_id": contact_id, "about": about}
        await self._database.write((_NOTE, [row]))

    async def list(self, *, limit: int, offset: int = 0) -> list[Audited]:
        """Latest first. Raises StoreUnavailable."""

        def work(connection: Connection) -> list[Audited]:
            query = select(audit).order_by(audit.c.id.desc()).limit(limit).offset(offset)
            return [
                Audited(
                    at=row.at,
                    actor=row.actor,
                    action=row.action,
                    contact_id=row.contact_id,
                    about=row.about,
                )
                for row in connection.execute(query)
            ]

        return await self._database.read(work)
