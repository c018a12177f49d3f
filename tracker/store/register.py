"""The register of consent: an append-only ledger, and the current values derived from it.

Each change of `tracking_consent` and `do_not_track` is a row that says who said what, when, through whom and on
what evidence; country, group and free attributes are facts about the person, kept only at their latest value.
The rows are chained by hashes over a salted commitment to their content: erasure removes salt and content, and
the chain still verifies. (GDPR art. 7(1): the controller must be able to demonstrate consent.)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, select

from tracker.address import normalize
from tracker.consent import Consent, Contact, DoNotTrack
from tracker.errors import InvalidValue
from tracker.statements import Statement, checked
from tracker.store.bulk import Bulk
from tracker.store.contacts import contact_of, find
from tracker.store.database import Database
from tracker.store.ledger import Seal, end_of_chain, seal, write_chain
from tracker.store.newcomers import Newcomer
from tracker.store.schema import consent_ledger
from tracker.store.standing import Found, Standing, others_version
from tracker.tokens import KeyRing
from tracker.weighing import Effect, Held, Recorded, Source, Speaker, weigh

__all__ = ["MOST_CHANGES", "Beside", "Effect", "Recorded", "Register", "Source", "Taken", "overriding"]

MOST_CHANGES = 5000
"""People in one transaction: longer ones would keep mail waiting for the writer."""
_WORTH_PREPARING = 50
"""Statements; fewer are weighed inside their transaction, which spares a question."""
_PATIENCE = 30.0
Said = Callable[[int], tuple[Statement, Speaker]]
"""What the statement at this place says, and who brings it."""
Beside = Callable[[Connection], None]
"""What else belongs into a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a batch of statements."""

    recorded: list[Recorded]
    seconds: float
    """How long its transaction lasted, from the first statement to the commit."""


class Register:
    """Writes of what people said."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def record(
        self, statements: Sequence[Statement], *, source: Source, actor: str, now: datetime
    ) -> list[Recorded]:
        """Takes down what was said, in order, one transaction for at most `MOST_CHANGES` statements.

        Raises InvalidAddress and InvalidValue before anything is written, StoreUnavailable."""
        named = [(normalize(statement.address), checked(statement, now)) for statement in statements]
        speaker = Speaker(source=source, actor=actor, now=now)
        return (await self.take_down(named, speaker)).recorded

    async def take_down(
        self,
        named: Sequence[tuple[str, Statement]],
        speaker: Speaker,
        *,
        before: Beside | None = None,
        beside: Beside | None = None,
        store: Bulk | None = None,
    ) -> Taken:
        """As `record`, for statements that were `checked`, each with its address in normal form. `before`: may raise in
        the transaction, and then nothing is taken down. `store`: the way into the database, where it is not the
        programs' own."""
        addresses = [address for address, _ in named]
        alone = store is not None and store.is_one_connection
        batch = _Batch(
            addresses, lambda place: (named[place][1], speaker), speaker.now, self._ring, alone=alone
        )
        return await self._take(batch, beside, store, before)

    async def take_newcomers(
        self,
        newcomers: Sequence[Newcomer],
        said: Said,
        now: datetime,
        *,
        beside: Beside | None = None,
        store: Bulk | None = None,
    ) -> Taken:
        """As `take_down`, for people of whom most are strangers: what their statements come to was worked out ahead.
        `said` is asked only of those who are known after all."""
        addresses = [one.address for one in newcomers]
        alone = store is not None and store.is_one_connection
        batch = _Batch(addresses, said, now, self._ring, newcomers=newcomers, alone=alone)
        return await self._take(batch, beside, store)

    async def _take(
        self, batch: _Batch, beside: Beside | None, store: Bulk | None, before: Beside | None = None
    ) -> Taken:
        if batch.size > MOST_CHANGES:
            raise InvalidValue(f"at most {MOST_CHANGES} statements at a time, not {batch.size}")
        if batch.size >= _WORTH_PREPARING:  # so that others wait only for what must happen inside
            await (store or self._database).read(batch.prepare, within=_PATIENCE)
        began = 0.0

        def work(connection: Connection) -> list[Recorded]:
            nonlocal began
            began = perf_counter()
            if before is not None:
                before(connection)
            recorded = batch.write(connection)
            if beside is not None:
                beside(connection)
            return recorded

        patience = max(self._database.write_within, _PATIENCE)
        recorded = await (store or self._database).change(work, within=patience)
        return Taken(recorded=recorded, seconds=perf_counter() - began)

    async def held_at(self, address: str, at: datetime) -> Contact:
        """The contact as the register knew it at that time: consent and `do_not_track` from the ledger, country
        and group, of which it keeps no history, as they are today. `address` in normal form. Raises
        StoreUnavailable."""
        return await self._database.read(lambda connection: _held_at(connection, address, at, self._ring))


def _held_at(connection: Connection, address: str, at: datetime, ring: KeyRing) -> Contact:
    row = find(connection, address, ring)
    if row is None:
        return Contact()
    held = replace(contact_of(row), consent=Consent.UNKNOWN, do_not_track=DoNotTrack.UNSET)
    rows = connection.execute(
        select(consent_ledger.c.content)
        .where(consent_ledger.c.contact_id == row.id)
        .where(consent_ledger.c.recorded_at <= at)
        .where(consent_ledger.c.content.is_not(None))
        .order_by(consent_ledger.c.seq)
    )
    for one in rows:
        said = json.loads(one.content)
        if not said.get("effective"):
            continue
        if said["attribute"] == "tracking_consent":
            held = replace(held, consent=Consent(said["new"]))
        elif said["attribute"] == "do_not_track":
            held = replace(held, do_not_track=DoNotTrack(said["new"]))
    return held


def overriding(
    addresses: Sequence[str], content: Mapping[str, str], *, now: datetime, ring: KeyRing
) -> Callable[[Connection], None]:
    """Writes into the ledger that consent was passed over for these people, and on what ground: one row each."""

    def note(connection: Connection) -> None:
        link = end_of_chain(connection)
        standing = Standing(connection.dialect)
        wanted = sorted(set(addresses))
        while True:
            people = standing.held(wanted, standing.find(connection, wanted, ring))
            new = [held for held in people.values() if held.new]
            if standing.number(connection, new, now):
                break
        standing.write(connection, new, (), now)
        for address, held in people.items():
            if held.erased_key is None:  # erased meanwhile: then no override reaches them, nor any row
                link.add(now, held.id, {**content, "attribute": "override", "address": address})
        write_chain(connection, link)

    return note


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What a batch comes to, given what was found of its people."""

    found: Found
    people: dict[str, Held]
    new: list[Held | Newcomer]
    recorded: list[Recorded]
    notes: list[tuple[Held | Newcomer, Seal]]


class _Batch:
    """Statements on their way into the register. What they come to is worked out before the transaction; inside, only
    whether what was found still stands is asked again, and if it does not, they are weighed anew. `alone`: one SQLite
    connection prepares and writes, so that it can tell whether anybody else wrote in between."""

    def __init__(
        self,
        addresses: Sequence[str],
        said: Said,
        now: datetime,
        ring: KeyRing,
        *,
        newcomers: Sequence[Newcomer] = (),
        alone: bool,
    ) -> None:
        """`newcomers`: what each statement comes to if its person is a stranger, where that is known."""
        self.size = len(addresses)
        self._alone = alone
        self._version: int | None = None
        self._said = said
        self._now = now
        self._ring = ring
        self._newcomers = newcomers
        self._in_order = addresses
        self._addresses = sorted(set(addresses))
        self._weighed: _Weighed | None = None

    def prepare(self, connection: Connection) -> None:
        """Weighs the statements by what is found now."""
        if self._alone:  # asked first: what others write from here on shows
            self._version = others_version(connection)
        self._weigh(*self._find(connection))

    def write(self, connection: Connection) -> list[Recorded]:
        """Inside the transaction."""
        link, now = end_of_chain(connection), self._now
        standing, weighed = Standing(connection.dialect), self._weighed
        if weighed is None or self._version is None or self._version != others_version(connection):
            standing, found = self._find(connection)
            if weighed is None or weighed.found != found:
                weighed = self._weigh(standing, found)
        while not standing.number(connection, weighed.new, now):
            weighed = self._weigh(*self._find(connection))
        standing.write(connection, weighed.new, weighed.people.values(), now)
        link.extend(now, ((held.id, sealed) for held, sealed in weighed.notes))
        write_chain(connection, link)
        return weighed.recorded

    def _find(self, connection: Connection) -> tuple[Standing, Found]:
        standing = Standing(connection.dialect)
        return standing, standing.find(connection, self._addresses, self._ring)

    def _weigh(self, standing: Standing, found: Found) -> _Weighed:
        people = standing.held(self._to_be_weighed(found), found)
        new: list[Held | Newcomer] = [held for held in people.values() if held.new]
        notes: list[Any] = []
        recorded = []
        for place, address in enumerate(self._in_order):
            held = people.get(address)
            if held is None:
                newcomer = self._newcomers[place]
                new.append(newcomer)
                notes += [(newcomer, sealed) for sealed in newcomer.sealed]
                effect = Effect.CHANGED if newcomer.changed else Effect.UNCHANGED
                recorded.append(Recorded(address=address, effect=effect))
            else:
                said, speaker = self._said(place)
                recorded.append(weigh(held, address, said, speaker, notes))
        self._weighed = _Weighed(found, people, new, recorded, _sealed(notes) if people else notes)
        return self._weighed

    def _to_be_weighed(self, found: Found) -> Sequence[str]:
        """Who is no stranger, or is spoken of twice."""
        if not self._newcomers:
            return self._addresses
        known = found.by_address.keys() | found.by_erased_key.keys()
        if len(self._addresses) < self.size:
            known |= {address for address, times in Counter(self._in_order).items() if times > 1}
        return sorted(known)


def _sealed(notes: Sequence[tuple[Held | Newcomer, Any]]) -> list[tuple[Held | Newcomer, Seal]]:
    """Those that are not, are."""
    seals = iter(seal([note for _, note in notes if not isinstance(note, tuple)]))
    return [(about, note if isinstance(note, tuple) else next(seals)) for about, note in notes]
