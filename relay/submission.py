"""What came in: one message as its client handed it over, frozen.

Knows the envelope's words (RFC 5321, RFC 3461) and nothing of how they were spoken or what becomes of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

MESSAGE_ID_OCTETS = 16
"""A submission's id is this many random octets; people see it as hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who spoke to us. Kept for the `Received:` line and the rights of the session; never written to a log
    at the default level."""

    address: str
    """IP address as text, `""` for a local injection."""
    helo: str = ""
    user: str | None = None
    """The authenticated user's name; None for a client that was let in by its network."""
    tls: str | None = None
    """TLS version of the session (`TLSv1.3`), None in clear."""
    esmtp: bool = True
    tags: tuple[str, ...] = ()
    """What the configuration adds to the tags of every message of this user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One `RCPT TO`, its wishes for delivery reports kept as the client spelt them (RFC 3461)."""

    address: str
    """Exactly as given between the angle brackets, any source route removed (RFC 5321 4.1.1.3)."""
    notify: tuple[str, ...] = ()
    """`NEVER`, or any of `SUCCESS` `FAILURE` `DELAY`; empty when nothing was asked."""
    orcpt: str | None = None
    """`addr-type;xtext`, still encoded."""
    local: bool = False
    """In a domain of our own (`Settings.local_domains`), anybody may write to it: never to be sent upstream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A message and its envelope, complete and permitted; nothing has been decided about it yet."""

    id: bytes
    """16 random octets (`MESSAGE_ID_OCTETS`)."""
    sender: str
    """The reverse path; `""` for the null sender."""
    recipients: tuple[Recipient, ...]
    """In the order given; each address once."""
    data: bytes
    """The message as it came after dot-unstuffing: CRLF line ends, every other byte as sent."""
    received_at: datetime
    """Aware, UTC."""
    client: Client
    smtputf8: bool = False
    eight_bit: bool = False
    """The client said `BODY=8BITMIME` (RFC 6152)."""
    envid: str | None = None
    """`ENVID=` still in xtext (RFC 3461 4.4)."""
    ret: str | None = None
    """`FULL` or `HDRS`."""
    options: Options = field(default_factory=lambda: Options())


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the message's own control headers ask for. They can only ask for less than consent allows,
    name things, or (override) ask for what the configuration must permit."""

    opens: bool = True
    clicks: bool = True
    html_links: bool = True
    """Links of HTML may be wrapped, where clicks may be tracked at all."""
    text_links: bool = True
    """The same of plain text."""
    pixel_first: bool = False
    """The pixel is wanted at the beginning of the body."""
    override: bool = False
    refused: bool = False
    """The sender declared the recipient's refusal (`X-Tracking-Consent: denied|withdrawn`)."""
    declared: str | None = None
    """What `X-Tracking-Consent` says: `granted`, `denied` or `withdrawn`; None where it says nothing, or not one of
    these words. It counts for the register only from who is trusted with it."""
    tags: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    """Variables of the sender's own, by name."""
    policy: str | None = None
    """The name of a policy (`X-SES-CONFIGURATION-SET`); the configuration says what it permits."""
    campaign: str | None = None
    variant: str | None = None
    message_class: str | None = None
    """`transactional`, `requested` or `marketing`; None when absent."""
