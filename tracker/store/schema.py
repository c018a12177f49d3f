"""The tracking domain's tables, on one page. `migrations/` builds them; a test holds the two equal.

Times are aware UTC datetimes, ids of messages, deliveries and mailings 16 octets. An address stands only in
`contacts` and `deliveries` (and, until it is settled, in the relay's queue).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import JSON, TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def moment_text(value: datetime | None) -> str | None:
    """As SQLite's DateTime writes it, in less time."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    value = value if value.tzinfo is UTC else value.astimezone(UTC)
    return value.replace(tzinfo=None).isoformat(" ", "microseconds")


def moment_of(text: str | None) -> datetime | None:
    """What `moment_text` wrote."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware datetime; kept in UTC on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        value = value if value.tzinfo is UTC else value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


Id = LargeBinary(16)
BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts only plain INTEGER keys by itself."""


def _key(name: str, kind: Any = Id) -> Column[Any]:
    return Column(name, kind, primary_key=True, nullable=False)


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
    _key("seq", BigId),
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
    _key("seq", BigId),
    Column("hash", LargeBinary(32), nullable=False),
    Column("signed_at", Text, nullable=False),  # exactly as it was signed
    Column("key_id", LargeBinary(3), nullable=False),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("signature", LargeBinary(64), nullable=False),
)

imports = Table(  # how far each file of contacts is taken down, in the same transactions
    "imports",
    metadata,
    _key("digest", LargeBinary(32)),  # SHA-256 of the file
    Column("rows", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

ring_keys = Table(
    "ring_keys",
    metadata,
    _key("key_id", LargeBinary(3)),
    Column("permanent", Id, nullable=False),  # fingerprint of the permanent secret that came with it
    Column("first_used", Moment, nullable=False),
)

mailings = Table(
    "mailings",
    metadata,
    _key("id"),
    Column("kind", Text, nullable=False),  # campaign, sender-day, sender-month
    Column("name", Text, nullable=False),
    Column("sender", Text, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    _key("id"),
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
    _key("id"),
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

audience_members = Table(  # persons, not deliveries: whom upstream took a copy for that counts without a name
    "audience_members",
    metadata,
    _key("mailing_id"),
    Column("mode", Text, primary_key=True, nullable=False),  # anonymous, aggregate
    Column("person_key", Id, primary_key=True, nullable=False),  # tracker.tokens.person_key
    Column("grp", Text, nullable=False),  # "" for people of no group
    Index(None, "mailing_id", "mode", "grp"),
)

counts = Table(
    "counts",
    metadata,
    _key("mailing_id"),
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
    _key("subject_id"),  # a message; a mailing where that would be about too few; else the sender's month
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
    _key("subject_id"),
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
    _key("conversion_id", BigId),
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
    _key("goal", Text),
    Column("day", Text, primary_key=True, nullable=False),  # YYYY-MM-DD
    Column("reason", Text, primary_key=True, nullable=False),
    Column("currency", Text, primary_key=True, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("value", BigInteger, nullable=False),
)

carried_credits = Table(  # what they, and those that may name nobody, earned for whom
    "carried_credits",
    metadata,
    _key("subject_id"),  # a message; a mailing, or the sender's month, where that would be about too few
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

tracking_hosts = Table(  # how our public URLs are, as the last probe found them
    "tracking_hosts",
    metadata,
    _key("url", Text),
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

segments = Table(  # saved selections over people; they hold conditions, and nobody's name
    "segments",
    metadata,
    _key("name", Text),
    Column("definition", JSON, nullable=False),  # tracker.segments.terms
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("changed_by", Text, nullable=False),
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
    _key("name", Text),
    Column("done", BigInteger, nullable=False),  # every event up to this id was read
    Column(
        "ahead", JSON, nullable=False
    ),  # ids to come to once nobody writes below them: [id, transaction, since]
    Column("updated_at", Moment, nullable=False),
)

api_keys = Table(  # of programs that use the API
    "api_keys",
    metadata,
    _key("id", Text),
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
    _key("mark", LargeBinary(32)),  # of key and Idempotency-Key
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
    _key("name", Text),
    Column("due_at", Moment, nullable=False),
    Column("holder", Text, nullable=False),  # who is at it; "" for nobody
    Column("held_until", Moment, nullable=False),
    Column("done_at", Moment, nullable=True),
    Column("failures", Integer, nullable=False),  # since it was last done
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
