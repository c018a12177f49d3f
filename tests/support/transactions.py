"""Transactions to send, and an upstream client to send them with, its patience short enough for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from relay.submission import Recipient
from relay.upstream import Route, RoutedUpstream, Routing, Server, SmtpUpstream, Transaction, parse_url

PATIENCE = {"connect_timeout": 30.0, "command_timeout": 30.0, "data_timeout": 30.0}
MESSAGE = b"Subject: A day in spring\r\n\r\nIt rains.\r\n"


def to(*addresses: str, content: tuple[bytes, ...] = (MESSAGE,), **envelope: Any) -> Transaction:
    """A transaction for these recipients from `sender@example.org`; `envelope` overrides."""
    recipients = tuple(Recipient(address=address) for address in addresses or ("ann@example.net",))
    fields: dict[str, Any] = {"sender": "sender@example.org", "recipients": recipients, "content": content}
    return Transaction(**(fields | envelope))


@asynccontextmanager
async def client_of(url: str, **settings: Any) -> AsyncIterator[SmtpUpstream]:
    """An open `SmtpUpstream`, closed without grace at the end."""
    upstream = SmtpUpstream(replace(parse_url(url), **(PATIENCE | settings)))
    try:
        yield upstream
    finally:
        await upstream.close(grace=0)


def server(name: str, url: str, *, priority: int = 10, weight: int = 1, **settings: Any) -> Server:
    """A server to route to."""
    return Server(
        name=name,
        settings=replace(parse_url(url), **(PATIENCE | settings)),
        priority=priority,
        weight=weight,
    )


def routing(*servers: Server, routes: tuple[Route, ...] = (), default: tuple[str, ...] = ()) -> Routing:
    """These servers; all of them are the default ones unless some are named."""
    return Routing(servers=servers, routes=routes, default=default or tuple(one.name for one in servers))


@asynccontextmanager
async def upstream_of(
    *servers: Server, routes: tuple[Route, ...] = (), default: tuple[str, ...] = (), **options: Any
) -> AsyncIterator[RoutedUpstream]:
    """All of these as one upstream, closed without grace at the end."""
    upstream = RoutedUpstream(routing(*servers, routes=routes, default=default), **options)
    try:
        yield upstream
    finally:
        await upstream.close(grace=0)
