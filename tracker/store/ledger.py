"""The ledger: an append-only chain of hashes over salted commitments to what each row says.

Erasure removes a row's salt and content, and the chain still verifies: what is hashed is the commitment. Whoever
holds a later hash can tell whether an earlier row was changed, and nobody can tell what an erased row said.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, desc, insert, select, text

from tracker.store.schema import consent_ledger

GENESIS = bytes(32)
"""What stands in place of a previous hash in the first row."""
_LOCK = 0x6C6564676572  # "ledger": PostgreSQL's advisory locks are numbers


@dataclass(slots=True)
class Chain:
    """The end of the chain while rows are added to it."""

    seq: int
    hash: bytes
    rows: list[dict[str, Any]]

    def add(self, at: datetime, contact_id: int, content: Mapping[str, Any], *, keep: bool = True) -> None:
        body = canonical(content)
        salt = secrets.token_bytes(16)
        seal = commitment(salt, body)
        previous, self.seq = self.hash, self.seq + 1
        self.hash = chain_hash(self.seq, at, previous, seal)
        self.rows.append(
            {
                "seq": self.seq,
                "recorded_at": at,
                "contact_id": contact_id,
                "salt": salt if keep else None,
                "content": body if keep else None,
                "commitment": seal,
                "previous": previous,
                "hash": self.hash,
            }
        )


def canonical(content: Mapping[str, Any]) -> str:
    """The one spelling of a row's content that its commitment is made over."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def commitment(salt: bytes, content: str) -> bytes:
    return hashlib.sha256(salt + content.encode("ascii")).digest()


def chain_hash(seq: int, recorded_at: datetime, previous: bytes, seal: bytes) -> bytes:
    """SHA-256 over sequence, time in microseconds since 1970, the previous hash and the commitment."""
    micros = (recorded_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return hashlib.sha256(struct.pack(">Qq", seq, micros) + previous + seal).digest()


def end_of_chain(connection: Connection) -> Chain:
    """The chain's end, held against other writers until the transaction is over (on SQLite the transaction
    itself does that)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    last = select(consent_ledger.c.seq, consent_ledger.c.hash).order_by(desc(consent_ledger.c.seq)).limit(1)
    row = connection.execute(last).one_or_none()
    return Chain(row.seq, bytes(row.hash), []) if row else Chain(0, GENESIS, [])


def write_chain(connection: Connection, link: Chain) -> None:
    if link.rows:
        connection.execute(insert(consent_ledger), link.rows)
