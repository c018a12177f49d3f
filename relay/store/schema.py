"""Mail's tables. The tracker's chain of migrations builds them; a test holds the two equal.

Spool and queue hold addresses and content, and both are emptied as soon as the last recipient of a message is
settled. `originals` holds content for some days, where that is switched on. Return paths and suppressions hold
addresses for as long as they are of use. All of these follow a person's erasure.
Due times and leases are seconds since 1970 by the database's own clock, so that nodes agree.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

from tracker.store.schema import Id, Moment
from tracker.store.schema import metadata as tracker_metadata

metadata = MetaData(naming_convention=tracker_metadata.naming_convention)

spool = Table(
    "spool",
    metadata,
    Column("message_id", Id, primary_key=True, nullable=False),
    Column("sender", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),  # the original, as it came
    Column("received_at", Moment, nullable=False),
    Column("client", JSON, nullable=False),
    Column("envelope", JSON, nullable=False),  # SMTPUTF8, BODY, ENVID, RET
)

queue = Table(
    "queue",
    metadata,
    Column("delivery_id", Id, primary_key=True, nullable=False),
    Column("message_id", Id, nullable=False),
    Column("position", Integer, nullable=False),
    Column("address", Text, nullable=False),  # exactly as given in RCPT TO
    Column("notify", Text, nullable=False),
    Column("orcpt", Text, nullable=True),
    Column("domain", Text, nullable=False),  # of the address, in normal form where it has one
    Column("state", Text, nullable=False),  # waiting, held, damaged
    Column("tries", Integer, nullable=False),
    Column("queued_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),  # while somebody works on it: when their lease runs out
    Column("lease", Text, nullable=False),  # who works on it; "" for nobody
    Column("delay_told", Boolean, nullable=False),
    Index(None, "state", "due_at"),
    Index(None, "state", "domain", "due_at"),
    Index(None, "message_id"),
)

return_paths = Table(  # whom reports on a message are passed on to, where its envelope sender was ours
    "return_paths",
    metadata,
    Column("message_id", Id, primary_key=True, nullable=False),
    Column("sender", Text, nullable=False),  # exactly as given in MAIL FROM
    Column("sender_key", Id, nullable=True),  # tracker.address.erased_key; null where it has no normal form
    Index(None, "sender_key"),
)

originals = Table(  # messages as they came, for some days, where the operator wants to see them ([admin] previews_days)
    "originals",
    metadata,
    Column("message_id", Id, primary_key=True, nullable=False),
    Column("kept_at", Moment, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index(None, "kept_at"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("person_key", Id, primary_key=True, nullable=False),  # tracker.address.erased_key
    Column("address", Text, nullable=True),  # normal form; null once erased
    Column("reason", Text, nullable=False),  # hard-bounce, complaint, manual
    Column("note", Text, nullable=False),
    Column("bounces", Integer, nullable=False),
    Column("since", Moment, nullable=True),  # null: counted, not suppressed yet
    Column("last_at", Moment, nullable=False),
)
