"""What is counted without a name, and what is added up for reports."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from tracker.store.schema.columns import Id, key, metadata

audience_members = Table(  # persons, not deliveries: whom upstream took a copy for that counts without a name
    "audience_members",
    metadata,
    key("mailing_id"),
    Column("mode", Text, primary_key=True, nullable=False),  # anonymous, aggregate
    Column("person_key", Id, primary_key=True, nullable=False),  # tracker.tokens.person_key
    Column("grp", Text, nullable=False),  # "" for people of no group
    Index(None, "mailing_id", "mode", "grp"),
)

counts = Table(
    "counts",
    metadata,
    key("mailing_id"),
    Column("scope", Text, primary_key=True, nullable=False),  # group, other, month, aggregate
    Column("grp", Text, primary_key=True, nullable=False),
    Column("kind", Text, primary_key=True, nullable=False),
    Column(
        "position", Integer, primary_key=True, nullable=False, autoincrement=False
    ),  # link number; 0: an open
    Column("day", Text, primary_key=True, nullable=False),  # YYYY-MM-DD, "" where no day is kept
    Column("n", BigInteger, nullable=False),
)

carried_totals = Table(  # what purged and erased events added up to (tracker.store.carried)
    "carried_totals",
    metadata,
    key("subject_id"),  # a message; a mailing where that would be about too few; else the sender's month
    Column("measure", Text, primary_key=True, nullable=False),  # hits, people, delivered
    Column("kind", Text, primary_key=True, nullable=False),
    Column("verdict", Text, primary_key=True, nullable=False),  # "" but for hits
    Column("link", Integer, primary_key=True, nullable=False, autoincrement=False),  # 0: none, or any
    Column("day", Text, primary_key=True, nullable=False),  # YYYY-MM-DD, YYYY-MM, or "" but for hits
    Column("n", BigInteger, nullable=False),
)

carried_deliveries = Table(  # what purged deliveries added up to
    "carried_deliveries",
    metadata,
    key("subject_id"),
    Column("status", Text, primary_key=True, nullable=False),
    Column("mode", Text, primary_key=True, nullable=False),
    Column("reason", Text, primary_key=True, nullable=False),
    Column("n", BigInteger, nullable=False),
)

rollups = Table(  # sums over deliveries, of which none is named (tracker.store.rollups_cells)
    "rollups",
    metadata,
    Column("subject", LargeBinary, primary_key=True, nullable=False),
    Column("measure", Text, primary_key=True, nullable=False),
    Column("slot", Integer, primary_key=True, nullable=False, autoincrement=False),
    Column("key", Text, primary_key=True, nullable=False),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
