"""What an operator can set about the SMTP face: one frozen value, checked when it is made.

Knows nothing of files or TOML; the defaults here are the documented ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from tracker.rates import Rate

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

LEAST_MAX_RECIPIENTS = 100
"""RFC 5321 4.5.3.1.8: a server must be able to take this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times are seconds, sizes octets. Raises ValueError for what cannot work."""

    hostname: str
    """Our name in the greeting and in EHLO; never looked up."""
    allowed_networks: Networks
    """Clients that may send without AUTH."""
    local_domains: frozenset[str] = frozenset()
    """Domains, in lower case, whose mail ends here: anybody may write to them, without AUTH and from anywhere.
    Such recipients are marked `local`."""
    max_message_size: int
    """Of the message itself: terminator and stuffed dots are not counted (RFC 1870 5)."""
    max_header_size: int = 1024 * 1024
    """Of the message's header, all its lines together."""
    max_recipients: int = 1000
    bare_newlines: Literal["refuse", "normalize"] = "refuse"
    """What becomes of a bare CR or LF inside DATA. It never ends DATA either way."""
    plaintext_auth_networks: Networks = ()
    """Clients that may use AUTH without TLS; meant for loopback."""
    max_connections: int = 1000
    """Lowered to what the process's limit on open files allows."""
    max_connections_per_client: int = 100
    """Per IPv4 address or IPv6 /64."""
    max_memory: int = 512 * 1024 * 1024
    """For all messages being received or delivered together; at least one message always fits."""
    command_timeout: float = 300.0
    """For one whole command line (RFC 5321 4.5.3.2.7: at least five minutes)."""
    data_timeout: float = 300.0
    """The longest silence, and the start allowance, while a message is received."""
    lowest_data_rate: int = 500
    """Octets per second a client must reach on average while it sends a message; 0 for no such limit."""
    max_errors: int = 50
    """Bad commands in a session, counted afresh after each message taken."""
    max_junk_commands: int = 100
    """Commands in a session that bring no message nearer, such as NOOP and RSET, counted afresh likewise."""
    max_failed_logins: int = 3
    """On one connection."""
    client_rate: Rate | None = None
    """How much one client may send that is not logged in; users have rates of their own."""
    proxy_networks: Networks = ()
    """Who must say with the PROXY protocol which client it speaks for: load balancers."""
    failed_login_delay: float = 1.0
    """Before the answer to a login from an address that lately failed once; doubles, up to 30 times this."""

    def __post_init__(self) -> None:
        if self.max_recipients < LEAST_MAX_RECIPIENTS:
            raise ValueError(f"max_recipients must be at least {LEAST_MAX_RECIPIENTS} (RFC 5321 4.5.3.1.8)")
        for name in (
            "max_message_size",
            "max_header_size",
            "max_connections",
            "max_connections_per_client",
            "max_errors",
            "max_junk_commands",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if min(self.command_timeout, self.data_timeout) <= 0:
            raise ValueError("timeouts must be greater than 0")


@lru_cache(maxsize=4096)
def client_address(text: str) -> Address | None:
    """The client's address, an IPv4 address inside an IPv6 one unwrapped; None where there is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_within(address: Address | None, networks: Networks) -> bool:
    return address is not None and any(address in network for network in networks)
