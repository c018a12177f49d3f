"""What the store knows of the people a message goes to, in one question: their consent, and whether mail to them is
skipped. Callers that ask at the same time share it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection

from relay.store.suppression import Suppressed, suppressed
from tracker.consent import Contact
from tracker.domain import Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One person as of now; of somebody nothing is known of, nothing is."""

    contact: Contact = field(default_factory=Contact)
    suppressed: Suppressed | None = None


NOBODY = Known()


class Recipients:
    """`await Recipients(domain).ask(addresses)`."""

    def __init__(self, domain: Domain) -> None:
        self._contacts = domain.contacts
        self._ring = domain.ring
        self._asked = domain.database.coalesced(self._fetch, may_wait=True)

    async def ask(self, addresses: Collection[str]) -> dict[str, Known]:
        """Everybody of whom anything is known, by address (in normal form). Raises StoreUnavailable: then nobody may
        be tracked, and nobody is skipped."""
        return await self._asked.get(addresses)

    def _fetch(self, connection: Connection, addresses: list[str]) -> dict[str, Known]:
        contacts = self._contacts.fetch(connection, addresses)
        skipped = suppressed(connection, addresses, self._ring)
        return {
            address: Known(contact=contacts.get(address, NOBODY.contact), suppressed=skipped.get(address))
            for address in contacts.keys() | skipped.keys()
        }
