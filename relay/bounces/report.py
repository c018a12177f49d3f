"""What a report says, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What came back."""

    DELIVERY = "delivery"
    """A delivery report: `fates` is not empty."""
    FEEDBACK = "feedback"
    """Somebody's mail service tells what its user did with the message: `feedback` says what."""
    AUTOMATIC = "automatic"
    """An automatic answer, such as a vacation's (RFC 3834): no report on any delivery."""
    OTHER = "other"


class Action(StrEnum):
    """What became of the message at the reporter's (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What a delivery report says of one recipient. Texts are of one line, printable and short."""

    action: Action
    recipients: frozenset[str] = frozenset()
    """As whom the reporter knows them, in lower case; empty where it does not say."""
    status: str = ""
    """The enhanced code, `5.1.1`; `""` where there is none."""
    code: int = 0
    """The SMTP reply code behind it; 0 where there is none."""
    text: str = ""
    host: str = ""
    """Who refused it: the remote host where it is named, else the reporter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One message that came back."""

    kind: Kind
    fates: tuple[Fate, ...] = ()
    feedback: str = ""
    """The feedback's type in lower case (RFC 5965 7.3): `abuse`, `fraud`, `not-spam`, …"""
    reporter: str = ""
    """The reporting host or program."""
    return_paths: tuple[str, ...] = ()
    """Envelope senders that the original is said to have had."""
