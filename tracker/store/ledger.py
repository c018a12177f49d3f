"""The ledger: an append-only chain of hashes over salted commitments to what each row says.

Erasure removes a row's salt and content, and the chain still verifies: what is hashed is the commitment. Whoever
holds a later hash can tell whether an earlier row was changed, and nobody can tell what an erased row said.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, desc, select, text

from tracker.store.prepared import insert_many
from tracker.store.schema import consent_ledger, moment_text

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
GENESIS = bytes(32)
"""What stands in place of a previous hash in the first row."""
_SALT = 16
_LOCK = 0x6C6564676572  # "ledger": PostgreSQL's advisory locks are numbers


Seal = tuple[str, bytes, bytes]
"""What a row says, its salt, and the commitment to both. It can be made before its place in the chain is known."""


def seal(contents: Sequence[Mapping[str, Any]]) -> list[Seal]:
    """Each with a salt of its own."""
    salts = secrets.token_bytes(_SALT * len(contents))
    sealed = []
    for number, content in enumerate(contents):
        body, salt = canonical(content), salts[number * _SALT : (number + 1) * _SALT]
        sealed.append((body, salt, commitment(salt, body)))
    return sealed


@dataclass(slots=True)
class Chain:
    """The end of the chain while rows are added to it."""

    seq: int
    hash: bytes
    rows: list[tuple[Any, ...]]
    """As `_COLUMNS` has them."""

    def add(self, at: datetime, contact_id: int, content: Mapping[str, Any], *, keep: bool = True) -> None:
        """`keep` False: only the commitment stays, as after an erasure."""
        (sealed,) = seal([content])
        self.extend(at, [(contact_id, sealed)], keep=keep)

    def extend(self, at: datetime, sealed: Iterable[tuple[int, Seal]], *, keep: bool = True) -> None:
        """Many rows of one moment: (contact's id, what the row says)."""
        micros = _micros(at)
        for contact_id, (content, salt, committed) in sealed:
            previous, self.seq = self.hash, self.seq + 1
            self.hash = _hash(self.seq, micros, previous, committed)
            kept = (salt, content) if keep else (None, None)
            self.rows.append((self.seq, at, contact_id, *kept, committed, previous, self.hash))


def canonical(content: Mapping[str, Any]) -> str:
    """The one spelling of a row's content that its commitment is made over."""
    if (
        len(content) == len(_STATED) and content.keys() == _STATED
    ):  # nearly all; written out: an import feels it
        said = content["evidence"]
        if len(said) == 1 and type(said.get("reference")) is str:
            evidence = f'{{"reference":{_quoted(said["reference"])}}}'
        else:
            evidence = _encoded(said) if said else "{}"
        effective = "true" if content["effective"] else "false"
        return (
            f'{{"actor":{_quoted(content["actor"])},"address":{_quoted(content["address"])},'
            f'"as_of":{_quoted(content["as_of"])},"attribute":{_quoted(content["attribute"])},'
            f'"effective":{effective},"evidence":{evidence},"new":{_quoted(content["new"])},'
            f'"old":{_quoted(content["old"])},"source":{_quoted(content["source"])}}}'
        )
    return _encoded(content)


_STATED = frozenset(
    ("actor", "address", "as_of", "attribute", "effective", "evidence", "new", "old", "source")
)
_quoted = json.encoder.encode_basestring_ascii


def _encoder() -> Callable[[Mapping[str, Any]], str]:
    """The library makes its encoder anew for each document, which takes longer than the encoding."""
    plain = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    make, quote = getattr(json.encoder, "c_make_encoder", None), json.encoder.encode_basestring_ascii
    if make is None:
        return plain.encode
    pieces = make(None, plain.default, quote, None, ":", ",", True, False, True)
    return lambda content: "".join(pieces(content, 0))


_encoded = _encoder()


def commitment(salt: bytes, content: str) -> bytes:
    return hashlib.sha256(salt + content.encode("ascii")).digest()


def chain_hash(seq: int, recorded_at: datetime, previous: bytes, seal: bytes) -> bytes:
    """SHA-256 over sequence, time in microseconds since 1970, the previous hash and the commitment."""
    return _hash(seq, _micros(recorded_at), previous, seal)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _hash(seq: int, micros: int, previous: bytes, seal: bytes) -> bytes:
    return hashlib.sha256(_PLACE.pack(seq, micros) + previous + seal).digest()


_PLACE = struct.Struct(">Qq")


def end_of_chain(connection: Connection) -> Chain:
    """The chain's end, held against other writers until the transaction is over (on SQLite the transaction
    itself does that)."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    last = select(consent_ledger.c.seq, consent_ledger.c.hash).order_by(desc(consent_ledger.c.seq)).limit(1)
    row = connection.execute(last).one_or_none()
    return Chain(row.seq, bytes(row.hash), []) if row else Chain(0, GENESIS, [])


def write_chain(connection: Connection, link: Chain) -> None:
    """Written by the driver itself: an import adds a million rows, and this is half of its transactions."""
    if not link.rows:
        return
    if connection.dialect.name == "sqlite":
        stored = {at: moment_text(at) for at in {row[1] for row in link.rows}}
        rows = [
            # The driver looks for an adapter of every `bytes`, which takes longer than storing them; of these not.
            (
                seq,
                stored[at],
                contact_id,
                salt and bytearray(salt),
                content,
                bytearray(seal),
                bytearray(previous),
                bytearray(hashed),
            )
            for seq, at, contact_id, salt, content, seal, previous, hashed in link.rows
        ]
        insert_many(connection, "consent_ledger", tuple(_COLUMNS), rows)
    else:
        names = ", ".join(_COLUMNS)
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_COLUMNS.values(), 1))
        columns = tuple(map(list, zip(*link.rows, strict=True)))
        connection.exec_driver_sql(
            f"INSERT INTO consent_ledger ({names}) SELECT * FROM unnest({arrays})",  # noqa: S608
            columns,
        )


_COLUMNS = {
    "seq": "bigint",
    "recorded_at": "timestamptz",
    "contact_id": "bigint",
    "salt": "bytea",
    "content": "text",
    "commitment": "bytea",
    "previous": "bytea",
    "hash": "bytea",
}
