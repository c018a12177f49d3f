"""What was sent, and what became of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger, Table, Text, text
from sqlalchemy.types import JSON

from tracker.store.schema.columns import BigId, Id, Moment, key, metadata

mailings = Table(
    "mailings",
    metadata,
    key("id"),
    Column("kind", Text, nullable=False),  # campaign, sender-day, sender-month
    Column("name", Text, nullable=False),
    Column("sender", Text, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    key("id"),
    Column("mailing_id", Id, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("sender", Text, nullable=False),
    Column("from_header", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("metadata", JSON(none_as_null=True), nullable=True),  # the sender's variables: text by name
    Column("variant", Text, nullable=True),
    Column("class", Text, nullable=True),
    Column("size", BigInteger, nullable=False),
    Column("recipients", Integer, nullable=False, server_default="0"),  # deliveries that it came with
    Column("untouched", Text, nullable=True),  # why the message as a whole was not tracked
    Column(
        "kept", JSON(none_as_null=True), nullable=True
    ),  # what stayed: [part, reason, where, how often], …
    Column("links", JSON(none_as_null=True), nullable=True),  # what was wrapped: [number, url, text], …
    Index(None, "received_at"),
    Index(None, "mailing_id", "received_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    key("id"),
    Column("message_id", Id, nullable=False),
    Column("position", Integer, nullable=False),  # order of RCPT TO
    Column("recipient", Text, nullable=True),  # normal form; null for erased persons
    Column("domain", Text, nullable=False),
    Column("grp", Text, nullable=True),
    Column("person_key", Id, nullable=True),  # tracker.tokens.person_key; null where untracked or erased
    Column("mode", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("opens", Boolean, nullable=False),
    Column("clicks", Boolean, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("accepted_at", Moment, nullable=True),
    Column("updated_at", Moment, nullable=False),
    Column("rolled", Text, nullable=True),  # what it was last rolled up as (tracker.store.rollups)
    Column("unrolled", SmallInteger, nullable=False, server_default="1"),  # 0 while it is still that
    # As it was rolled up, in Unix microseconds: when people last opened and clicked, and did either; and when it came
    # in, where nobody has since.
    Column("opened_at", BigInteger, nullable=True),
    Column("clicked_at", BigInteger, nullable=True),
    Column("alive_at", BigInteger, nullable=True),
    Column("silent_at", BigInteger, nullable=True),
    Index(None, "message_id"),
    Index(None, "recipient"),
    Index(
        "ix_deliveries_alive",
        "alive_at",
        "recipient",
        "opened_at",
        "clicked_at",
        sqlite_where=text("alive_at IS NOT NULL"),
        postgresql_where=text("alive_at IS NOT NULL"),
    ),
    Index(
        "ix_deliveries_silent",
        "silent_at",
        "recipient",
        sqlite_where=text("silent_at IS NOT NULL"),
        postgresql_where=text("silent_at IS NOT NULL"),
    ),
    Index(  # of the few that were refused
        "ix_deliveries_bounced",
        "domain",
        sqlite_where=text("status = 'bounced'"),
        postgresql_where=text("status = 'bounced'"),
    ),
    Index(  # of the few that wait to be rolled up
        "ix_deliveries_unrolled",
        "id",
        sqlite_where=text("unrolled = 1"),
        postgresql_where=text("unrolled = 1"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("delivery_id", Id, nullable=False),
    Column("at", Moment, nullable=False),
    Column("status", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("tls", Text, nullable=True),
    Column("code", SmallInteger, nullable=False),
    Column("enhanced", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index(None, "delivery_id"),
)

page_visits = (
    Table(  # looks at preference pages, for some minutes: what follows every link follows theirs too
        "page_visits",
        metadata,
        Column("id", BigId, primary_key=True, autoincrement=True),
        Column("delivery_id", Id, nullable=False),
        Column("at", Moment, nullable=False),
        Index(None, "delivery_id"),
        Index(None, "at"),
    )
)

events = Table(
    "events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("message_id", Id, nullable=False),
    Column("delivery_id", Id, nullable=False),
    Column("link", Integer, nullable=True),
    Column("verdict", Text, nullable=False),
    Column("verdict_reasons", Text, nullable=False),
    Column("rules", SmallInteger, nullable=False),
    Column("client", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("country", Text, nullable=False),  # two letters (ISO 3166); "" where none is known or may be kept
    Column("rolled", Text, nullable=False, server_default=""),  # the verdict it was rolled up under
    Index(  # of the few that wait to be rolled up, for the first time or anew
        "ix_events_unrolled",
        "id",
        sqlite_where=text("rolled <> verdict"),
        postgresql_where=text("rolled <> verdict"),
    ),
    Index(None, "message_id"),
    Index(None, "delivery_id", "at"),
    Index(None, "at"),
    sqlite_autoincrement=True,  # ids are never used twice: receivers read on from the last they saw
)
