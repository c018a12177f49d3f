"""Proof from the ledger: that it is whole, and what one person said (GDPR art. 7(1), art. 15).

Verifying walks the chain from its first row and names the first that does not hold; it reads in batches, so that a
long ledger needs no more memory than a short one, and mail goes on being written meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, desc, insert, select

from tracker.address import normalize
from tracker.consent import Consent, DoNotTrack
from tracker.errors import NotFound
from tracker.heads import Head, sign
from tracker.moments import isoformat
from tracker.store.contacts import find
from tracker.store.database import Database
from tracker.store.ledger import GENESIS, chain_hash, commitment, end_of_chain
from tracker.store.schema import consent_ledger, contacts, ledger_heads
from tracker.tokens import KeyRing

_BATCH = 500
"""Rows at a time: with PostgreSQL they are read on the loop, which others need too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a walk along the ledger found."""

    rows: int
    erased: int
    """Rows whose content an erasure removed; the chain holds over them."""
    hash: bytes
    """Of the last row that holds."""
    broken: str | None
    """The first thing that does not hold, in words; None when everything does."""


class Proof:
    """Reads and signs the ledger."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def verify(
        self, kept: Sequence[Head] = (), *, passed: Callable[[int], None] = lambda rows: None
    ) -> Verified:
        """Walks the whole ledger, then compares the signed heads (ours, and those in `kept`, which somebody kept
        outside) and every person's present values with it. `passed` hears now and then how many rows hold so far.
        Raises StoreUnavailable."""
        heads = [*await self._database.read(_heads, within=30.0), *kept]
        signed = {head.seq: head for head in heads}
        walk = _Walk(self._ring, signed)
        while walk.broken is None:
            rows = await self._database.read(partial(_rows, after=walk.seq), within=30.0)
            if not rows:
                break
            await asyncio.to_thread(walk.take, rows)  # hashing: the loop goes on meanwhile
            passed(walk.rows)
        broken = walk.broken or walk.missing()
        if broken is None:
            broken = await self._compare_contacts()
        return Verified(rows=walk.rows, erased=walk.erased, hash=walk.hash, broken=broken)

    async def head(self, now: datetime, *, daily: bool = False) -> Head | None:
        """The ledger's present end, signed now unless that was done already; `daily`: the one of today, where there is
        one. None while the ledger is empty. Raises StoreUnavailable."""
        return await self._database.change(lambda connection: _head(connection, now, self._ring, daily))

    async def history(self, address: str) -> dict[str, Any]:
        """All that the ledger says of one person, each row with what proves it, ready for JSON. Raises
        InvalidAddress, NotFound, StoreUnavailable."""
        normal = normalize(address)
        return await self._database.read(
            lambda connection: _history(connection, normal, self._ring), within=30.0
        )

    async def _compare_contacts(self) -> str | None:
        last = 0
        while True:
            people = await self._database.read(partial(_people, after=last), within=30.0)
            if not people:
                return None
            for contact_id, held, said in people:
                if held != said:
                    return (
                        f"contact {contact_id}: tracking_consent is {held[0]} and do_not_track {held[1]}, but the "
                        f"ledger says {said[0]} and {said[1]}"
                    )
            last = people[-1][0]


class _Walk:
    """Along the chain, row by row."""

    def __init__(self, ring: KeyRing, signed: dict[int, Head]) -> None:
        self._ring = ring
        self._signed = dict(signed)
        self.rows = self.erased = self.seq = 0
        self.hash = GENESIS
        self.broken: str | None = None

    def take(self, rows: Iterable[Any]) -> None:
        for row in rows:
            problem = self._problem(row)
            if problem:
                self.broken = f"row {row.seq}: {problem}"
                return
            self.rows += 1
            self.erased += row.content is None
            self.seq, self.hash = row.seq, bytes(row.hash)

    def missing(self) -> str | None:
        """A signed head beyond the end: the last rows are gone."""
        if not self._signed:
            return None
        seq = max(self._signed)
        return f"row {seq}: signed on {self._signed[seq].signed_at}, and no longer there"

    def _problem(self, row: Any) -> str | None:
        if row.seq != self.seq + 1:
            return f"row {self.seq + 1} is missing before it"
        if bytes(row.previous) != self.hash:
            return "does not follow from the row before it"
        if (row.salt is None) != (row.content is None):
            return "has lost a part of its content"
        if row.content is None and row.contact_id is not None:  # an erasure takes both
            return "has lost its content, and its person was not erased"
        if row.content is not None and commitment(bytes(row.salt), row.content) != bytes(row.commitment):
            return "its content is not what was committed to"
        if chain_hash(row.seq, row.recorded_at, self.hash, bytes(row.commitment)) != bytes(row.hash):
            return "its hash does not fit what it says"
        return self._against_head(row)

    def _against_head(self, row: Any) -> str | None:
        head = self._signed.pop(row.seq, None)
        if head is None:
            return None
        if head.hash != bytes(row.hash):
            return f"is not the row that was signed on {head.signed_at}"
        key = self._ring.keys.get(head.key_id)
        if key is None or not head.is_signed_with(key):
            return f"the head signed on {head.signed_at} was not signed with a key of this key ring"
        return None


def _rows(connection: Connection, after: int) -> Sequence[Any]:
    query = select(consent_ledger).where(consent_ledger.c.seq > after).order_by(consent_ledger.c.seq)
    return connection.execute(query.limit(_BATCH)).all()


def _heads(connection: Connection) -> list[Head]:
    return [head_of(row) for row in connection.execute(select(ledger_heads))]


def head_of(row: Any) -> Head:
    """Of a row of `ledger_heads`."""
    return Head(
        seq=row.seq,
        hash=bytes(row.hash),
        signed_at=row.signed_at,
        key_id=bytes(row.key_id),
        public_key=bytes(row.public_key),
        signature=bytes(row.signature),
    )


def _head(connection: Connection, now: datetime, ring: KeyRing, daily: bool) -> Head | None:
    end = end_of_chain(connection)  # also keeps two from signing at once
    if end.seq == 0:
        return None
    latest = connection.execute(
        select(ledger_heads).order_by(desc(ledger_heads.c.seq)).limit(1)
    ).one_or_none()
    is_of_today = latest is not None and latest.signed_at[:10] == isoformat(now)[:10]
    if latest is not None and (latest.seq == end.seq or (daily and is_of_today)):
        return head_of(latest)
    head = sign(end.seq, end.hash, now, ring.newest)
    connection.execute(
        insert(ledger_heads).values(
            seq=head.seq,
            hash=head.hash,
            signed_at=head.signed_at,
            key_id=head.key_id,
            public_key=head.public_key,
            signature=head.signature,
        )
    )
    return head


def _history(connection: Connection, address: str, ring: KeyRing) -> dict[str, Any]:
    person = find(connection, address, ring)
    if person is None:
        raise NotFound(f"nothing is known of {address}")
    rows = connection.execute(
        select(consent_ledger).where(consent_ledger.c.contact_id == person.id).order_by(consent_ledger.c.seq)
    ).all()
    latest = connection.execute(
        select(ledger_heads).order_by(desc(ledger_heads.c.seq)).limit(1)
    ).one_or_none()
    erased = person.erased_key is not None
    return {
        "address": None if erased else person.address,
        "status": "erased" if erased else "active",
        "tracking_consent": person.tracking_consent,
        "do_not_track": person.do_not_track,
        "known_since": isoformat(person.created_at),
        "rows": [_row(row) for row in rows],
        "head": head_of(latest).document() if latest is not None else None,
    }


def _row(row: Any) -> dict[str, Any]:
    """What was said, and what proves that it was: salt and content give the commitment, and that the hash."""
    content = row.content
    return {
        "seq": row.seq,
        "recorded_at": row.recorded_at.isoformat(),  # to the microsecond, as it is hashed
        "said": _said(content),
        "content": content,
        "salt": bytes(row.salt).hex() if row.salt is not None else None,
        "commitment": bytes(row.commitment).hex(),
        "previous": bytes(row.previous).hex(),
        "hash": bytes(row.hash).hex(),
        "holds": holds(row),
    }


def _said(content: str | None) -> Any:
    """None of what was damaged too: that its row does not hold says the rest."""
    try:
        return None if content is None else json.loads(content)
    except ValueError:
        return None


def holds(row: Any) -> bool:
    """Whether a row of the ledger is in itself what was committed to and hashed; not yet, that it follows from the one
    before."""
    committed = bytes(row.commitment)
    if row.content is not None and (
        row.salt is None or commitment(bytes(row.salt), row.content) != committed
    ):
        return False
    return chain_hash(row.seq, row.recorded_at, bytes(row.previous), committed) == bytes(row.hash)


_Values = tuple[str, str]


def _people(connection: Connection, after: int) -> list[tuple[int, _Values, _Values]]:
    """The next people in order of their ids: what is held of each, and what the ledger comes to. Erased people are
    passed over: what they said is gone, and what is held of them is a refusal."""
    columns = ("id", "address", "tracking_consent", "do_not_track", "erased_key")
    query = (
        select(*(contacts.c[name] for name in columns))
        .where(contacts.c.id > after)
        .order_by(contacts.c.id)
        .limit(_BATCH)
    )
    rows = connection.execute(query).all()
    if not rows:
        return []
    addresses = {row.id: row.address for row in rows}
    said = {row.id: [str(Consent.UNKNOWN), str(DoNotTrack.UNSET)] for row in rows}
    misplaced: set[int] = set()
    entries = connection.execute(
        select(consent_ledger.c.contact_id, consent_ledger.c.content)
        .where(consent_ledger.c.contact_id > after)
        .where(consent_ledger.c.contact_id <= rows[-1].id)
        .where(consent_ledger.c.content.is_not(None))
        .order_by(consent_ledger.c.seq)
    )
    for entry in entries:
        content = json.loads(entry.content)
        if not content.get("effective") or entry.contact_id not in said:
            continue
        if content["address"] != addresses[entry.contact_id]:
            misplaced.add(entry.contact_id)
        elif content["attribute"] in ("tracking_consent", "do_not_track"):
            said[entry.contact_id][content["attribute"] == "do_not_track"] = content["new"]
    for contact_id in misplaced:
        said[contact_id] = ["what somebody else said", "what somebody else said"]
    return [
        (row.id, held, held if row.erased_key is not None else (said[row.id][0], said[row.id][1]))
        for row in rows
        for held in [(row.tracking_consent, row.do_not_track)]
    ]
