"""The tracking domain, opened: store and key ring behind the verbs that relay, web and commands share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tracker import keyring, log
from tracker.config import Config
from tracker.errors import KeyRingError, StoreUnavailable
from tracker.lookup import Lookup
from tracker.place import Countries
from tracker.policy import Policy
from tracker.store import ringkeys
from tracker.store.audit import Audit
from tracker.store.contacts import Contacts
from tracker.store.conversions import Conversions
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
from tracker.store.segments import Segments
from tracker.store.verdicts import Verdicts
from tracker.tokens import KeyRing

_TRY_AGAIN = 2.0
"""Seconds between two tries to open the store."""


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
        self.conversions = Conversions(database, ring, self.contacts)
        self.requests = Requests(database, ring)
        self.audit = Audit(database)
        self.segments = Segments(database)
        self._set_limits(config)
        self.verdicts = Verdicts(database, config.verdict.lists())
        self.countries = Countries(config.geography.database)
        self.lookup: Lookup | None = None
        """The user's CRM; whoever runs a program that sends mail puts it here, and it is closed with the rest."""
        self._retiring: set[asyncio.Task[None]] = set()
        self.opening: asyncio.Task[None] | None = None
        """Where the store was away at the start: ends when it is there, or raises what `open` raises."""
        self.renewals: list[Callable[[Config], None]] = []
        """Called with each new configuration by those who made something of the one before. They never raise."""

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

    async def take_up(self, ring: KeyRing) -> None:
        """A ring with keys that came to it; the store is told of them first. Raises KeyRingError, StoreError."""
        await ringkeys.agree(self.database, ring, self.config.tokens.keys_file, datetime.now(UTC))
        self.ring = ring

    def reconfigure(self, config: Config) -> None:
        """From now on these rules hold. Store and key ring stay: they change with a restart only."""
        countries, lists = Countries(config.geography.database), config.verdict.lists()
        self.countries, self.verdicts.lists = countries, lists
        self.policy = config.consent.policy()
        self.config = config
        self._set_limits(config)
        for renew in self.renewals:
            renew(config)

    def look_up_with(self, lookup: Lookup | None) -> None:
        """From now on this one is asked; the one before is closed when its questions are answered."""
        before, self.lookup = self.lookup, lookup
        if before is not None:
            task = asyncio.create_task(before.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _set_limits(self, config: Config) -> None:
        """What goes by how many people hide one another, and by how long things are kept."""
        store, least = (self.database, self.ring), config.anonymity.min_group
        self.erasure = Erasure(*store, self.holders, min_group=least)
        self.rights = Rights(*store, self.holders, min_group=least)
        self.purge = Purge(
            *store,
            config.retention,
            self.holders,
            min_group=least,
            originals_days=config.admin.previews_days,
        )

    @classmethod
    async def open_patiently(cls, config: Config) -> Domain:
        """As `open`, for a program that may start before its PostgreSQL does: tries for `[store] wait_at_start`. A
        file is there or not."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + config.store.wait_at_start
        while True:
            try:
                return await cls.open(config)
            except StoreUnavailable as error:
                left = ends_at - clock()
                if left <= 0 or config.store.url.startswith("sqlite"):
                    raise
                log.store_awaited(str(error), seconds=left)
                await asyncio.sleep(min(_TRY_AGAIN, left))

    @classmethod
    async def open_or_await(cls, config: Config) -> Domain:
        """As `open`, for a program that has something to do without its PostgreSQL: where that is away, links are told
        from others by the key file alone, and everybody hears that the store is away until it is there. Without a key
        file no link was ever made, and it is waited for as `open_patiently` does."""
        store = config.store
        try:
            return await cls.open(config)
        except StoreUnavailable as error:
            reason = str(error)
        try:
            ring = None if store.url.startswith("sqlite") else keyring.load(Path(config.tokens.keys_file))
        except KeyRingError:
            ring = None
        if ring is None:
            return await cls.open_patiently(config)
        limits = {"ask_within": store.ask_within, "write_within": store.write_within}
        domain = cls(config, Database.awaited(store.url, reason, **limits), ring)
        domain.opening = asyncio.create_task(domain._until_there())
        return domain

    async def _until_there(self) -> None:
        """Opens the store beside the one that is awaited: tables, and the check that store and key ring belong
        together."""
        while True:
            await asyncio.sleep(_TRY_AGAIN)
            try:
                opened = await Domain.open(self.config)
            except StoreUnavailable:
                continue
            await opened.close()
            self.database.there()
            return

    async def close(self) -> None:
        ending = {*self._retiring, *({self.opening} if self.opening is not None else ())}
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self.lookup is not None:
            await self.lookup.close()
        await self.verdicts.close()
        await self.database.close()
