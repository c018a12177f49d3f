"""What the others ask of the connection that carries a session; `Session` is the real one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

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

    def start_tls(self) -> None:
        """Answer 220, and go on when TLS has begun. Raises ClientGone."""

    def resume(self, first: Callable[[], None]) -> None:
        """Do this, what was waited for being there, and go on; nothing where the session is over."""

    def call_again(self) -> None:
        """Go on after others have had their turn."""

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on when this is done; it is cancelled should the session end before."""
