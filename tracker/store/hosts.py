"""How our tracking hosts are, as the last probe found them: one row each, so that all nodes agree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text

from tracker.store.schema import Moment, tracking_hosts

_NOTE = text(
    "INSERT INTO tracking_hosts (url, checked_at, failing_since, problem, certificate_until)"
    " VALUES (:url, :now, :failing, :problem, :until)"
    " ON CONFLICT (url) DO UPDATE SET checked_at = excluded.checked_at, problem = excluded.problem,"
    " certificate_until = excluded.certificate_until, failing_since = CASE WHEN excluded.failing_since IS NULL THEN NULL"
    " ELSE coalesce(tracking_hosts.failing_since, excluded.failing_since) END"
).bindparams(
    bindparam("now", type_=Moment), bindparam("failing", type_=Moment), bindparam("until", type_=Moment)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What one look at a tracking host found."""

    problem: str = ""
    """In words for the operator; `""` where it is well."""
    certificate_until: datetime | None = None
    """When its certificate runs out; None where it has none, or was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingHost:
    """A public URL of ours, and how it is."""

    url: str
    checked_at: datetime
    failing_since: datetime | None
    """Since the first of the failures in a row; None while it is well."""
    problem: str
    certificate_until: datetime | None


def note(connection: Connection, url: str, found: Examined, now: datetime) -> TrackingHost:
    """Writes down what a look found; gives how the host is now."""
    connection.execute(
        _NOTE,
        {
            "url": url,
            "now": now,
            "failing": now if found.problem else None,
            "problem": found.problem,
            "until": found.certificate_until,
        },
    )
    return tracking_hosts_of(connection)[url]


def tracking_hosts_of(connection: Connection) -> dict[str, TrackingHost]:
    """All that were ever looked at, by URL."""
    rows = connection.execute(select(tracking_hosts).order_by(tracking_hosts.c.url))
    return {
        row.url: TrackingHost(
            url=row.url,
            checked_at=row.checked_at,
            failing_since=row.failing_since,
            problem=row.problem,
            certificate_until=row.certificate_until,
        )
        for row in rows
    }
