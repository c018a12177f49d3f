"""What can happen, as values. The words are django-anymail's, so that every receiver knows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    OPENED = "opened"
    CLICKED = "clicked"


class VerdictKind(StrEnum):
    """Who made a hit (see `tracker.verdict`)."""

    PERSON = "person"
    PROXY = "proxy"
    PREFETCH = "prefetch"
    SCANNER = "scanner"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who made a hit, why we think so, and by which version of the rules."""

    kind: VerdictKind
    reasons: tuple[str, ...] = ()
    rules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a user agent told, coarse on purpose; `""` where it told nothing."""

    client: str = ""
    kind: str = ""
    """`desktop`, `mobile`, `tablet`, or `""`."""
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something an identified delivery lived to see. Neither IP address nor user agent is in it."""

    kind: EventKind
    at: datetime
    message: bytes
    delivery: bytes
    link: int | None = None
    verdict: Verdict
    device: Device = Device()
    country: str = ""
    """Two letters (ISO 3166); `""` where it is not known or may not be kept."""
