"""Enhanced status codes (RFC 3463, RFC 5248) that say of a mailbox that it will never take mail."""

from __future__ import annotations

_MAILBOX = frozenset(
    {
        "5.1.1",  # no such mailbox
        "5.1.2",  # no such domain
        "5.1.3",  # not an address
        "5.1.6",  # moved, nobody knows where to
        "5.1.10",  # its domain takes no mail (RFC 7505); at Microsoft's: no such mailbox
        "5.2.1",  # disabled
    }
)


def concerns_mailbox(status: str) -> bool:
    """Whether mail to the same address would fail the same way, whoever sends it and whatever it says.

    Not among them, though they begin alike: 5.1.0 and 5.1.4 (who knows whose address), 5.1.5 (a success), 5.1.7 to
    5.1.9 (the *sender's* address), 5.2.0 and 5.2.2 to 5.2.4 (full, too long, a list's trouble), 5.3 to 5.6 (hosts,
    routes, protocol, content), 5.7 (policy: what was refused is us, not them)."""
    return status in _MAILBOX
