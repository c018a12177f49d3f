"""The intake: listeners, who is connected, and the orderly end.

Runs in the loop that calls it; makes no threads. Settings and certificate may change at any time and hold for
sessions that begin later.
"""

from __future__ import annotations

import asyncio
import ssl

import structlog

from relay import log as words
from relay import replies
from relay.intake.deliveries import Deliver, Deliveries
from relay.intake.gate import Gate
from relay.intake.limits import Connections, possible_connections
from relay.intake.services import Check, HasMailbox, Refused, Services, UserBase
from relay.intake.session import Session
from relay.intake.settings import Address, Settings
from relay.replies import Reply

BACKLOG = 1024
LAST_WORDS = 1.0
"""Seconds that the last replies have to reach their clients when everything ends."""


class Intake:
    """Takes mail in and gives each message to `deliver`, whose reply the client hears."""

    def __init__(
        self,
        settings: Settings,
        deliver: Deliver,
        *,
        users: UserBase | None = None,
        tls: ssl.SSLContext | None = None,
        check: Check | None = None,
        has_mailbox: HasMailbox | None = None,
        refused: Refused = lambda reply: None,
    ) -> None:
        """`deliver` may raise: the client is then asked to try again. `check` is asked at every MAIL and may
        refuse it (disk nearly full); it must not block. `refused` hears of what never comes to `deliver`."""
        self._log = structlog.get_logger("relay.intake")
        self._settings = settings
        self._tls = tls
        self._services = Services(
            deliveries=Deliveries(deliver, self._log),
            users=users,
            check=check,
            log=self._log,
            has_mailbox=has_mailbox,
            refused=refused,
        )
        self._connections = Connections()
        self._possible = possible_connections()
        self._servers: list[asyncio.Server] = []
        self._gates: set[Gate] = set()
        self._sessions: set[Session] = set()
        self._admitted: set[Session] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._cap()

    @property
    def sessions(self) -> int:
        """Clients that are connected."""
        return len(self._sessions)

    async def listen(
        self, host: str, port: int, *, implicit_tls: bool = False, reuse_port: bool = False
    ) -> tuple[str, int]:
        """Begin to take connections; returns the address bound, the port chosen where `port` is 0. Raises
        OSError, and ValueError for implicit TLS without a certificate."""
        if implicit_tls and self._tls is None:
            raise ValueError("implicit TLS needs a certificate")
        server = await asyncio.get_running_loop().create_server(
            lambda: self._connection(implicit_tls=implicit_tls),
            host or None,
            port,
            backlog=BACKLOG,
            reuse_port=reuse_port or None,
        )
        self._servers.append(server)
        bound: tuple[str, int] = server.sockets[0].getsockname()[:2]
        words.listening(self._log, host=bound[0], port=bound[1], implicit_tls=implicit_tls)
        return bound

    def reconfigure(self, settings: Settings, tls: ssl.SSLContext | None, *, users: UserBase | None) -> None:
        """For sessions that begin from now on; what users may do holds at once for those that are logged in, too.
        Listeners stay as they are."""
        self._settings = settings
        self._tls = tls
        self._services.users = users
        self._cap()

    def _cap(self) -> None:
        configured = self._settings.max_connections
        if configured > self._possible:
            words.connections_capped(self._log, configured=configured, possible=self._possible)

    async def stop(self, *, grace: float) -> None:
        """No new connections; the idle hear 421 at once, open transactions may go on for `grace` seconds.
        Returns when no session and no delivery is left."""
        words.stopping(self._log, sessions=len(self._sessions), deliveries=len(self._services.deliveries))
        self._services.stopping = True
        for server in self._servers:
            server.close()
        for gate in list(self._gates):
            gate.abort()
        for session in list(self._sessions):
            session.dismiss()
        ends_at = asyncio.get_running_loop().time() + grace
        await self._wait_until_empty(grace)
        for session in list(self._sessions):
            session.end(replies.SHUTTING_DOWN)
        await self._services.deliveries.finish(grace=max(0.0, ends_at - asyncio.get_running_loop().time()))
        await self._wait_until_empty(LAST_WORDS)
        for session in list(self._sessions):
            session.abort()
        # From Python 3.12.1 this waits for the connections, which are all gone or going.
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def _wait_until_empty(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            pass

    def _connection(self, *, implicit_tls: bool) -> asyncio.Protocol:
        networks = self._settings.proxy_networks
        if not networks:
            return self._session(None, implicit_tls=implicit_tls)
        return Gate(
            networks,
            lambda client: self._session(client, implicit_tls=implicit_tls),
            self._gates,
            most=max(1, self._possible - len(self._sessions)),
            log=self._log,
        )

    def _session(self, client: Address | None, *, implicit_tls: bool) -> Session:
        return Session(
            self._settings,
            self._services,
            tls=self._tls,
            implicit_tls=implicit_tls,
            client=client,
            enter=self._enter,
            leave=self._leave,
        )

    def _enter(self, session: Session) -> Reply | None:
        self._sessions.add(session)
        self._empty.clear()
        if self._services.stopping:
            return replies.SHUTTING_DOWN
        refusal = self._connections.enter(
            session.key,
            most=min(self._settings.max_connections, self._possible),
            most_per_client=self._settings.max_connections_per_client,
        )
        if refusal is None:
            self._admitted.add(session)
        return refusal

    def _leave(self, session: Session) -> None:
        self._sessions.discard(session)
        if session in self._admitted:
            self._admitted.discard(session)
            self._connections.leave(session.key)
        if not self._sessions:
            self._empty.set()
