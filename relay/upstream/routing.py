"""Which servers a message may go to: routes, and the order in which a route's servers are asked. Pure.

The first route that fits decides, as in Postfix's transport table and among Exim's routers; what no route fits goes
to the default servers.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from relay.upstream.settings import UpstreamSettings
from relay.upstream.transaction import Transaction
from tracker.address import normalize, normalize_domain
from tracker.errors import InvalidAddress

DEFAULT_NAME = "default"
"""What the server is called that the configuration gives no name."""
NULL_SENDER = "<>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server mail may go to, under the name by which routes call it."""

    name: str = DEFAULT_NAME
    settings: UpstreamSettings
    priority: int = 10
    """The lowest is asked first."""
    weight: int = 1
    """Its share among those of the same priority."""


class Addresses:
    """A set of addresses, written as `joe@example.org`, `example.org` (that domain) or `*.example.org` (all domains
    below it, not itself); `<>` is the null sender. Case does not matter. ValueError for anything else."""

    __slots__ = ("_addresses", "_below", "_domains", "texts")

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self._addresses: set[str] = set()
        self._domains: set[str] = set()
        self._below: set[str] = set()
        for text in self.texts:
            self._add(text)

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Addresses) and self.texts == other.texts

    def __hash__(self) -> int:
        return hash(self.texts)

    def __contains__(self, address: str) -> bool:
        """`address` as it stands in the envelope, `""` for the null sender."""
        if not address:
            return NULL_SENDER in self._addresses
        domain = _domain(address.rpartition("@")[2]) if "@" in address else ""
        if domain in self._domains or (self._below and self._is_below(domain)):
            return True
        return bool(self._addresses) and _normal(address) in self._addresses

    def _add(self, text: str) -> None:
        try:
            if text == NULL_SENDER:
                self._addresses.add(text)
            elif text.startswith("*."):
                self._below.add(normalize_domain(text[2:]))
            elif text.rpartition("@")[0]:
                self._addresses.add(normalize(text))
            else:
                self._domains.add(normalize_domain(text.removeprefix("@")))
        except InvalidAddress:
            raise ValueError(
                f"{text!r} is neither an address (joe@example.org) nor a domain (example.org) nor all domains below"
                " one (*.example.org)"
            ) from None

    def _is_below(self, domain: str) -> bool:
        while domain:
            domain = domain.partition(".")[2]
            if domain in self._below:
                return True
        return False


NO_ADDRESSES = Addresses(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Fits when every condition that is set fits; one without any fits everything."""

    to: tuple[str, ...]
    """Names of servers."""
    senders: Addresses = NO_ADDRESSES
    recipients: Addresses = NO_ADDRESSES
    users: frozenset[str] = frozenset()

    @property
    def fits_all(self) -> bool:
        return not (self.senders or self.recipients or self.users)

    def fits_message(self, sender: str, user: str | None) -> bool:
        """All conditions but that on the recipient."""
        return (not self.users or user in self.users) and (not self.senders or sender in self.senders)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Those of a transaction's recipients who go the same way."""

    to: tuple[str, ...]
    numbers: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """All servers, and what goes where. ValueError when names do not fit together."""

    servers: tuple[Server, ...]
    routes: tuple[Route, ...] = ()
    default: tuple[str, ...] = field(default=(DEFAULT_NAME,))
    """Names of the servers for what no route fits."""

    def __post_init__(self) -> None:
        names = [server.name for server in self.servers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"server {', '.join(twice)} is there twice; each name may stand once")
        for to in (self.default, *(route.to for route in self.routes)):
            if not to:
                raise ValueError("a route needs at least one server to lead to")
            if unknown := sorted(set(to) - set(names)):
                raise ValueError(
                    f"a route leads to {', '.join(unknown)}; the servers are {', '.join(sorted(names))}"
                )

    @property
    def name(self) -> str:
        """Where mail goes, for people to read."""
        return ", ".join(server.settings.name for server in self.servers)

    def shares(self, transaction: Transaction) -> list[Share]:
        """Who goes where: each recipient in exactly one share, in the order of the recipients."""
        everyone = list(range(len(transaction.recipients)))
        if not self.routes:
            return [Share(to=self.default, numbers=everyone)]
        sender = transaction.sender if transaction.client_sender is None else transaction.client_sender
        routes = [route for route in self.routes if route.fits_message(sender, transaction.user)]
        ways: dict[tuple[str, ...], list[int]] = {}
        for number in everyone:
            to = self._way(routes, transaction.recipients[number].address)
            ways.setdefault(to, []).append(number)
        return [Share(to=to, numbers=numbers) for to, numbers in ways.items()]

    def _way(self, routes: Sequence[Route], recipient: str) -> tuple[str, ...]:
        for route in routes:
            if not route.recipients or recipient in route.recipients:
                return route.to
        return self.default


def in_order(servers: Sequence[Server], chance: random.Random) -> list[Server]:
    """By priority, the lowest first; within one priority by chance, so that each comes first as often as its weight
    says (Efraimidis and Spirakis: the largest of u^(1/w))."""
    if len(servers) == 1:
        return list(servers)
    return sorted(servers, key=lambda server: (server.priority, -(chance.random() ** (1 / server.weight))))


def _normal(address: str) -> str:
    try:
        return normalize(address)
    except InvalidAddress:
        return address.lower()


def _domain(domain: str) -> str:
    try:
        return normalize_domain(domain)
    except InvalidAddress:
        return domain.lower()
