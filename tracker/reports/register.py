"""What pages list of the register of consent: its rows, latest first, and its signed heads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, false, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.address import normalize
from tracker.domain import Domain
from tracker.errors import InvalidAddress, NotFound
from tracker.heads import Head
from tracker.store.contacts import find
from tracker.store.proof import head_of, holds
from tracker.store.schema import consent_ledger, contacts, ledger_heads


class Kind(StrEnum):
    """What a row is about."""

    CONSENT = "tracking_consent"
    DO_NOT_TRACK = "do_not_track"
    OVERRIDE = "override"
    STATUS = "status"
    ERASED = "erased"
    """Its content went with an erasure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One row. What it says is `""` once its content was erased."""

    seq: int
    recorded_at: datetime
    contact_id: int | None
    address: str | None
    """Of its person today; None once erased."""
    kind: str
    old: str
    new: str
    source: str
    actor: str
    evidence: str
    effective: bool | None
    """None where that says nothing of the row."""
    holds: bool
    """Its content is what was committed to, and its hash what follows from that and the row before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEnd:
    """How long the register is."""

    rows: int
    last: datetime | None
    people: int


async def find_rows(
    domain: Domain,
    *,
    person: str = "",
    kind: str = "",
    source: str = "",
    descending: bool = True,
    limit: int,
    offset: int = 0,
) -> list[LedgerRow]:
    """Rows about a person (their whole address, or their number), of a kind, from a source. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[LedgerRow]:
        conditions = _conditions(kind, source)
        if person:
            contact_id = _number(connection, domain, person)
            conditions.append(false() if contact_id is None else consent_ledger.c.contact_id == contact_id)
        seq = consent_ledger.c.seq
        query = (
            select(consent_ledger, contacts.c.address)
            .outerjoin(contacts, contacts.c.id == consent_ledger.c.contact_id)
            .where(*conditions)
            .order_by(seq.desc() if descending else seq.asc())
        )
        return [_listed(row) for row in connection.execute(query.limit(limit).offset(offset))]

    return await domain.database.read(work, within=30.0)


async def ledger_end(domain: Domain) -> LedgerEnd:
    """Raises StoreUnavailable."""

    def work(connection: Connection) -> LedgerEnd:
        # Rows are numbered without gaps, which is what verifying the chain shows.
        query = select(consent_ledger.c.seq, consent_ledger.c.recorded_at)
        row = connection.execute(query.order_by(consent_ledger.c.seq.desc()).limit(1)).one_or_none()
        people = connection.execute(select(func.count()).select_from(contacts)).scalar_one()
        if row is None:
            return LedgerEnd(rows=0, last=None, people=people)
        return LedgerEnd(rows=row.seq, last=row.recorded_at, people=people)

    return await domain.database.read(work, within=30.0)


async def heads(domain: Domain, *, limit: int, offset: int = 0, descending: bool = True) -> list[Head]:
    """Signed heads, latest first unless `descending` is False. Raises StoreUnavailable."""

    def work(connection: Connection) -> list[Head]:
        seq = ledger_heads.c.seq
        query = select(ledger_heads).order_by(seq.desc() if descending else seq.asc())
        query = query.limit(limit).offset(offset)
        return [head_of(row) for row in connection.execute(query)]

    return await domain.database.read(work)


async def head(domain: Domain, seq: int) -> Head:
    """The head signed over this row. Raises NotFound, StoreUnavailable."""

    def work(connection: Connection) -> Head:
        row = connection.execute(select(ledger_heads).where(ledger_heads.c.seq == seq)).one_or_none()
        if row is None:
            raise NotFound(f"row {seq} was not signed")
        return head_of(row)

    return await domain.database.read(work)


def _conditions(kind: str, source: str) -> list[ColumnElement[bool]]:
    """By the one spelling that a row's content has (`tracker.store.ledger.canonical`). A quote within a value is
    escaped there, so nothing that somebody said looks like a key."""
    content, found = consent_ledger.c.content, list[ColumnElement[bool]]()
    if kind == Kind.ERASED:
        found.append(content.is_(None))
    elif kind:
        # Of evidence, whose keys are anybody's, every value is a text.
        followers = ('"effective":true', '"effective":false', '"confirmed_by":', '"new":"erased"}')
        found.append(
            or_(*(content.contains(f'"attribute":"{kind}",{one}', autoescape=True) for one in followers))
        )
    if source:
        found.append(content.endswith(f'"source":"{source}"}}', autoescape=True))
    return found


def _number(connection: Connection, domain: Domain, person: str) -> int | None:
    if person.isascii() and person.isdigit() and len(person) < 16:
        return int(person)
    try:
        row = find(connection, normalize(person), domain.ring)
    except InvalidAddress:
        return None
    return None if row is None else int(row.id)


def _listed(row: Any) -> LedgerRow:
    said = _said(row.content)
    return LedgerRow(
        seq=row.seq,
        recorded_at=row.recorded_at,
        contact_id=row.contact_id,
        address=row.address,
        kind=str(said.get("attribute", "" if row.content is not None else Kind.ERASED)),
        old=str(said.get("old", "")),
        new=str(said.get("new", "")),
        source=str(said.get("source", "")),
        actor=str(said.get("actor", said.get("user", ""))),
        evidence=_evidence(said),
        effective=said.get("effective"),
        holds=holds(row),
    )


def _said(content: str | None) -> dict[str, Any]:
    """Nothing of what was damaged: that the row does not hold says it."""
    try:
        said = json.loads(content or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _evidence(said: dict[str, Any]) -> str:
    evidence = said.get("evidence")
    if isinstance(evidence, dict):
        return "; ".join(f"{key}: {value}" for key, value in evidence.items())
    ground: Sequence[str] = ("lawful_basis", "confirmed_by", "message")
    return "; ".join(f"{key.replace('_', ' ')}: {said[key]}" for key in ground if said.get(key))
