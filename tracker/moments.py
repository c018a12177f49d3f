"""Moments as people and programs read them."""

from __future__ import annotations

from datetime import datetime


def isoformat(moment: datetime) -> str:
    """UTC, ISO 8601, to the millisecond: `2026-05-01T12:00:00.000Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(moment: str) -> str:
    """What `isoformat` gives, or begins like it, for people: to the second, `2026-05-01 12:00:00Z`."""
    return f"{moment[:10]} {moment[11:19]}Z"


_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def lasting(seconds: float | None) -> str:
    """For people, the two largest units: `3d 4h`; `""` for None."""
    if seconds is None:
        return ""
    left, words = int(seconds), []
    for size, unit in _UNITS:
        if number := left // size:
            words.append(f"{number}{unit}")
            left -= number * size
    return " ".join(words[:2]) or "0s"
