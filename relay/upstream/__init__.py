"""The SMTP client's face: a transaction goes in, one outcome per recipient comes out, never an exception.

`open_upstream(parse_url("smtp://mail.example.org"))` is where mail goes from there on. Knows upstream and its
ways of failing; knows nothing of consent, copies or queues.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from relay.upstream.settings import Scheme, UpstreamSettings, parse_url
from relay.upstream.smtp import SmtpUpstream, utc_now
from relay.upstream.transaction import Transaction, Upstream

__all__ = [
    "Scheme",
    "SmtpUpstream",
    "Transaction",
    "Upstream",
    "UpstreamSettings",
    "open_upstream",
    "parse_url",
]


def open_upstream(settings: UpstreamSettings, *, clock: Callable[[], datetime] = utc_now) -> Upstream:
    """The upstream these settings describe. Connects to nothing yet. ValueError when a certificate named in
    them cannot be read."""
    if settings.scheme is Scheme.CAPTURE:
        from relay.capture import Capture  # it needs our Transaction

        return Capture(settings.path, clock=clock)
    return SmtpUpstream(settings, clock)
