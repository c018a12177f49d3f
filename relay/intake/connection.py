"""What the others ask of the connection that carries a session; `Session` is the real one."""

from __future__ import annotations

from typing import Protocol

from relay.intake.settings import Address


class Peer(Protocol):
    """What is to be known of a connection here."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str:
        """What its client's limits are counted under."""

    @property
    def alias(self) -> str:
        """What the log calls its client."""

    @property
    def address(self) -> Address | None: ...
    @property
    def tls_version(self) -> str | None: ...
    @property
    def can_start_tls(self) -> bool: ...


class Connection(Peer, Protocol):
    """What a dialogue asks of the connection that carries it."""

    @property
    def is_open(self) -> bool: ...
    def deadline(self, seconds: float | None) -> None:
        """Cut the session off with 421 unless called again in time; None for no deadline."""

    async def start_tls(self) -> None:
        """Answer 220 and come back under TLS. Raises ClientGone when it fails."""
