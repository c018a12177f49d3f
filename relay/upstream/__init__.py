"""The SMTP client's face: a transaction goes in, one outcome per recipient comes out, never an exception.

`open_upstream(parse_url("smtp://mail.example.org"))` is where mail goes from there on; a `Routing` in place of one
server's settings names several, and what goes where. Knows upstream and its ways of failing; knows nothing of consent,
copies or queues.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from relay.upstream.routed import RoutedUpstream
from relay.upstream.routing import Addresses, Route, Routing, Server
from relay.upstream.settings import Scheme, Tls, UpstreamSettings, parse_url
from relay.upstream.smtp import SmtpUpstream, utc_now
from relay.upstream.transaction import Condition, ServerState, Transaction, Upstream

__all__ = [
    "Addresses",
    "Condition",
    "Route",
    "RoutedUpstream",
    "Routing",
    "Scheme",
    "Server",
    "ServerState",
    "SmtpUpstream",
    "Tls",
    "Transaction",
    "Upstream",
    "UpstreamSettings",
    "open_upstream",
    "parse_url",
]


def open_upstream(
    where: UpstreamSettings | Routing, *, clock: Callable[[], datetime] = utc_now
) -> RoutedUpstream:
    """The upstream these settings describe. Connects to nothing yet. ValueError when a certificate named in
    them cannot be read."""
    routing = where if isinstance(where, Routing) else Routing(servers=(Server(settings=where),))
    return RoutedUpstream(routing, clock=clock)
