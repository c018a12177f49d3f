"""Whom mail goes to: contacts, what they said, what they asked for; and selections over them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, text
from sqlalchemy.types import JSON

from tracker.store.schema.columns import BigId, Id, Moment, key, metadata

contacts = Table(
    "contacts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("address", Text, nullable=True, unique=True),  # normal form; null once erased
    Column("erased_key", Id, nullable=True),  # tracker.address.erased_key, only once erased
    Column("tracking_consent", Text, nullable=False),
    Column("consent_as_of", Moment, nullable=True),
    Column("consent_source", Text, nullable=True),
    Column("do_not_track", Text, nullable=False),
    Column("do_not_track_as_of", Moment, nullable=True),
    Column("do_not_track_source", Text, nullable=True),
    Column("country", Text, nullable=True),
    Column("grp", Text, nullable=True),
    Column("attributes", JSON, nullable=False),
    Column("last_open_day", Text, nullable=True),  # YYYY-MM-DD, hygiene mode only
    Column("created_at", Moment, nullable=False),
    Index(  # of the few who were erased: everybody else is spared an entry
        None,
        "erased_key",
        unique=True,
        sqlite_where=text("erased_key IS NOT NULL"),
        postgresql_where=text("erased_key IS NOT NULL"),
    ),
)

consent_ledger = Table(
    "consent_ledger",
    metadata,
    key("seq", BigId),
    Column("recorded_at", Moment, nullable=False),
    Column("contact_id", BigId, nullable=True),
    Column("salt", LargeBinary(16), nullable=True),
    Column("content", Text, nullable=True),  # canonical JSON; with the salt gone at erasure
    Column("commitment", LargeBinary(32), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index(None, "contact_id"),
)

ledger_heads = Table(
    "ledger_heads",
    metadata,
    key("seq", BigId),
    Column("hash", LargeBinary(32), nullable=False),
    Column("signed_at", Text, nullable=False),  # exactly as it was signed
    Column("key_id", LargeBinary(3), nullable=False),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)

imports = Table(  # how far each file of contacts is taken down, in the same transactions
    "imports",
    metadata,
    key("digest", LargeBinary(32)),  # SHA-256 of the file
    Column("rows", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

requests = Table(  # what people asked of the operator
    "requests",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("contact_id", BigId, nullable=False),
    Column("kind", Text, nullable=False),  # export, erase
    Column("state", Text, nullable=False),  # open, done, refused
    Column("asked_at", Moment, nullable=False),
    Column("settled_at", Moment, nullable=True),
    Column("note", Text, nullable=False),
    Index(None, "contact_id"),
    Index(None, "state"),
)

segments = Table(  # saved selections over people; they hold conditions, and nobody's name
    "segments",
    metadata,
    key("name", Text),
    Column("definition", JSON, nullable=False),  # tracker.segments.terms
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("changed_by", Text, nullable=False),
)
