"""Moments as people and programs read them."""

from __future__ import annotations

from datetime import datetime


def isoformat(moment: datetime) -> str:
    """UTC, ISO 8601, to the millisecond: `2026-05-01T12:00:00.000Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(moment: str) -> str:
    """What `isoformat` gives, or begins like it, for people: to the second, `2026-05-01 12:00:00Z`."""
    return f"{moment[:10]} {moment[11:19]}Z"
