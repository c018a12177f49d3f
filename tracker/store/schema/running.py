"""What the programs note for themselves and for their operators."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text, text
from sqlalchemy.types import JSON

from tracker.store.schema.columns import BigId, Id, Moment, key, metadata

ring_keys = Table(
    "ring_keys",
    metadata,
    key("key_id", LargeBinary(3)),
    Column("permanent", Id, nullable=False),  # fingerprint of the permanent secret that came with it
    Column("first_used", Moment, nullable=False),
)

tracking_hosts = Table(  # how our public URLs are, as the last probe found them
    "tracking_hosts",
    metadata,
    key("url", Text),
    Column("checked_at", Moment, nullable=False),
    Column("failing_since", Moment, nullable=True),  # null while it is well
    Column("problem", Text, nullable=False),
    Column("certificate_until", Moment, nullable=True),
)

audit = Table(  # what operators did with what is kept of people; names nobody, so that it outlives erasure
    "audit",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),  # tracker.store.audit.Action
    Column("contact_id", BigId, nullable=True),
    Column("about", Text, nullable=False),  # what else it was done with; no address
    Index(None, "contact_id"),
)

alerts = Table(  # what somebody was told, or is to be told, as it happened (tracker.alerting)
    "alerts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),  # of the [[alert]]
    Column("kind", Text, nullable=False),  # opens, click, bounces, test
    Column("key", Id, nullable=False, unique=True),  # of what it is about: told once
    Column("at", Moment, nullable=False),  # when it happened
    Column("found_at", Moment, nullable=False),
    Column("state", Text, nullable=False),  # waiting, sent, quiet, capped
    Column("settled_at", Moment, nullable=True),
    Column("message_id", Id, nullable=True),
    Column("delivery_id", Id, nullable=True),  # whom it names, and by this alone
    Column("link", Integer, nullable=True),
    Column("domain", Text, nullable=False),  # of bounces; "" for all
    Column("n", Integer, nullable=False),  # opens, clicks, bounces
    Column("of", Integer, nullable=False),  # deliveries that bounces are a share of; else 0
    Index(None, "delivery_id"),
    Index(None, "state"),
    Index(None, "at"),
)

cursors = Table(  # how far those have come who read all events once
    "cursors",
    metadata,
    key("name", Text),
    Column("done", BigInteger, nullable=False),  # every event up to this id was read
    Column(
        "ahead", JSON, nullable=False
    ),  # ids to come to once nobody writes below them: [id, transaction, since]
    Column("updated_at", Moment, nullable=False),
)

api_keys = Table(  # of programs that use the API
    "api_keys",
    metadata,
    key("id", Text),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of the key, which stands nowhere
    Column("scopes", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("last_used", Text, nullable=True),  # YYYY-MM-DD
    Column("revoked_at", Moment, nullable=True),
    Index(  # of those that hold
        "ix_api_keys_name",
        "name",
        unique=True,
        sqlite_where=text("revoked_at IS NULL"),
        postgresql_where=text("revoked_at IS NULL"),
    ),
)

api_answers = Table(  # what was answered to requests that may be made again; they name nobody
    "api_answers",
    metadata,
    key("mark", LargeBinary(32)),  # of key and Idempotency-Key
    Column("request", LargeBinary(32), nullable=False),
    Column("at", Moment, nullable=False),
    Column("status", SmallInteger, nullable=False),  # 0 while it is carried out
    Column("body", LargeBinary, nullable=False),
    Column("location", Text, nullable=False),
    Index(None, "at"),
)

jobs = Table(  # what is done by itself, by whichever process comes first
    "jobs",
    metadata,
    key("name", Text),
    Column("due_at", Moment, nullable=False),
    Column("holder", Text, nullable=False),  # who is at it; "" for nobody
    Column("held_until", Moment, nullable=False),
    Column("done_at", Moment, nullable=True),
    Column("failures", Integer, nullable=False),  # since it was last done
)
