"""The tracking domain, opened: store and key ring behind the verbs that relay, web and commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tracker import keyring
from tracker.config import Config
from tracker.policy import Policy
from tracker.store import ringkeys
from tracker.store.contacts import Contacts
from tracker.store.database import Database
from tracker.store.deliveries import Deliveries
from tracker.store.erasure import Erasure
from tracker.store.events import Events
from tracker.store.holders import Holder
from tracker.store.proof import Proof
from tracker.store.purge import Purge
from tracker.store.register import Register
from tracker.store.requests import Requests
from tracker.store.rights import Rights
from tracker.tokens import KeyRing


class Domain:
    """Open with `await Domain.open(config)`, close with `await close()`."""

    def __init__(self, config: Config, database: Database, ring: KeyRing) -> None:
        self.config = config
        self.database = database
        self.ring = ring
        self.policy: Policy = config.consent.policy()
        self.contacts = Contacts(database, ring)
        self.register = Register(database, ring)
        self.proof = Proof(database, ring)
        self.deliveries = Deliveries(database, ring)
        self.events = Events(database)
        self.holders: list[Holder] = []
        """Others who keep something of people in this store; they join when they start."""
        min_group = config.anonymity.min_group
        self.erasure = Erasure(database, ring, self.holders, min_group=min_group)
        self.rights = Rights(database, ring, self.holders, min_group=min_group)
        self.requests = Requests(database, ring)
        self.purge = Purge(database, ring, config.retention, self.holders, min_group=min_group)

    @classmethod
    async def open(cls, config: Config) -> Domain:
        """Store and key ring, and the check that they belong together.

        Raises KeyRingError, StoreUnavailable, StoreError."""
        keys_file = Path(config.tokens.keys_file)
        store = config.store
        database = await Database.open(
            store.url, ask_within=store.ask_within, write_within=store.write_within
        )
        try:
            # A ring made beside a store that knows another would only stand where the right one belongs.
            used = await ringkeys.sealed_with(database)
            ring = keyring.load(keys_file) if used else keyring.load_or_create(keys_file)
            await ringkeys.agree(database, ring, str(keys_file), datetime.now(UTC))
        except BaseException:
            await database.close()
            raise
        return cls(config, database, ring)

    async def close(self) -> None:
        await self.database.close()
