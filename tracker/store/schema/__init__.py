"""The tracking domain's tables, by subject. `migrations/` builds them; a test holds the two equal.

Times are aware UTC datetimes, ids of messages, deliveries and mailings 16 octets. An address stands only in
`contacts` and `deliveries` (and, until it is settled, in the relay's queue).
"""

from __future__ import annotations

from tracker.store.schema.columns import BigId, Id, Moment, metadata, moment_of, moment_text
from tracker.store.schema.conversions import (
    carried_conversions,
    carried_credits,
    conversion_touches,
    conversions,
)
from tracker.store.schema.mail import attempts, deliveries, events, mailings, messages, page_visits
from tracker.store.schema.people import consent_ledger, contacts, imports, ledger_heads, requests, segments
from tracker.store.schema.running import (
    alerts,
    api_answers,
    api_keys,
    audit,
    cursors,
    jobs,
    ring_keys,
    tracking_hosts,
)
from tracker.store.schema.sums import audience_members, carried_deliveries, carried_totals, counts, rollups

__all__ = [
    "BigId",
    "Id",
    "Moment",
    "alerts",
    "api_answers",
    "api_keys",
    "attempts",
    "audience_members",
    "audit",
    "carried_conversions",
    "carried_credits",
    "carried_deliveries",
    "carried_totals",
    "consent_ledger",
    "contacts",
    "conversion_touches",
    "conversions",
    "counts",
    "cursors",
    "deliveries",
    "events",
    "imports",
    "jobs",
    "ledger_heads",
    "mailings",
    "messages",
    "metadata",
    "moment_of",
    "moment_text",
    "page_visits",
    "requests",
    "ring_keys",
    "rollups",
    "segments",
    "tracking_hosts",
]
