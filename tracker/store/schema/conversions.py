"""What people did where mail led them, and which mail earned it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from tracker.store.schema.columns import BigId, Id, Moment, key, metadata

conversions = Table(  # what people did on the sites that mail led them to, as those tell it
    "conversions",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("goal", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("person_key", Id, nullable=True),  # whose it is, keyed; null where that may not be known
    Column("order_key", Id, nullable=True),  # of goal and order, keyed
    Column("reason", Text, nullable=False),  # why nobody earned it; "" where somebody did
    Column("window_days", Integer, nullable=False),
    Column("currency", Text, nullable=False),  # "" where it has no value
    Column("value", BigInteger, nullable=False),  # minor units
    Index(None, "goal", "at"),
    Index(None, "at"),
    *(
        Index(
            None,
            name,
            unique=name == "order_key",
            sqlite_where=text(f"{name} IS NOT NULL"),
            postgresql_where=text(f"{name} IS NOT NULL"),
        )
        for name in ("person_key", "order_key")
    ),
)

conversion_touches = Table(  # what may earn them (tracker.attribution.that_matter)
    "conversion_touches",
    metadata,
    key("conversion_id", BigId),
    Column("position", Integer, primary_key=True, nullable=False, autoincrement=False),
    Column("event_id", BigId, nullable=False),  # which may be gone, or judged anew
    Column("kind", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("message_id", Id, nullable=False),
    Column("delivery_id", Id, nullable=False),
    Column("grp", Text, nullable=False),
    Column("link", Integer, nullable=False),  # 0: none
    Index(None, "delivery_id"),
    Index(None, "at"),
)

carried_conversions = Table(  # what purged and erased conversions added up to
    "carried_conversions",
    metadata,
    key("goal", Text),
    Column("day", Text, primary_key=True, nullable=False),  # YYYY-MM-DD
    Column("reason", Text, primary_key=True, nullable=False),
    Column("currency", Text, primary_key=True, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("value", BigInteger, nullable=False),
)

carried_credits = Table(  # what they, and those that may name nobody, earned for whom
    "carried_credits",
    metadata,
    key("subject_id"),  # a message; a mailing, or the sender's month, where that would be about too few
    Column("goal", Text, primary_key=True, nullable=False),
    Column("model", Text, primary_key=True, nullable=False),
    Column("day", Text, primary_key=True, nullable=False),  # of the conversion; YYYY-MM where it is a month's
    Column("link", Integer, primary_key=True, nullable=False, autoincrement=False),  # 0: none
    Column("grp", Text, primary_key=True, nullable=False),
    Column("currency", Text, primary_key=True, nullable=False),
    Column("credit", BigInteger, nullable=False),  # millionths of a conversion
    Column("value", BigInteger, nullable=False),  # minor units
    Index(None, "goal", "model", "day"),
)
