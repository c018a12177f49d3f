"""Transactions to send, and an upstream client to send them with, its patience short enough for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from relay.submission import Recipient
from relay.upstream import SmtpUpstream, Transaction, parse_url

MESSAGE = b"Subject: A day in spring\r\n\r\nIt rains.\r\n"


def to(*addresses: str, content: tuple[bytes, ...] = (MESSAGE,), **envelope: Any) -> Transaction:
    """A transaction for these recipients from `sender@example.org`; `envelope` overrides."""
    recipients = tuple(Recipient(address=address) for address in addresses or ("ann@example.net",))
    fields: dict[str, Any] = {"sender": "sender@example.org", "recipients": recipients, "content": content}
    return Transaction(**(fields | envelope))


@asynccontextmanager
async def client_of(url: str, **settings: Any) -> AsyncIterator[SmtpUpstream]:
    """An open `SmtpUpstream`, closed without grace at the end."""
    patience = {"connect_timeout": 30.0, "command_timeout": 30.0, "data_timeout": 30.0}
    upstream = SmtpUpstream(replace(parse_url(url), **(patience | settings)))
    try:
        yield upstream
    finally:
        await upstream.close(grace=0)
