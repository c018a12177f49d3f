"""Person or machine: what one hit tells by itself, from its user agent, its network and its time. Pure.

What mail services send stands in lists that can be replaced (`tracker/data`); what they do is known better from
several hits together (`tracker.behaviour`). Every verdict carries its reasons, which are all that is kept of the facts,
and the version of these rules, so that kept events can be judged again.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from tracker.events import EventKind, Verdict, VerdictKind

RULES = 2
"""Version of the rules, here and in `tracker.behaviour`; goes up whenever a verdict could change."""
TOO_SOON = 2.0
"""Seconds after upstream's acceptance within which nobody can have read a mail."""
MACHINES = frozenset({VerdictKind.PREFETCH, VerdictKind.SCANNER})
NO_AGENT, TOO_SOON_REASON, MANY_NETWORKS = "no-user-agent", "too-soon", "many-networks"

_MOST = 512  # characters of a user agent that are looked at: patterns take their time with long ones
_REASON = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_V4_BITS, _V6_BITS = 24, 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What one request told, held in memory only until it is judged."""

    kind: EventKind
    user_agent: str
    since_accepted: float | None
    """Seconds since upstream took the mail; None when it has not (yet)."""
    address: str = ""
    """The client's IP address; `""` where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One entry of the list of user agents."""

    reason: str
    opened: VerdictKind
    clicked: VerdictKind
    clicked_reason: str
    exact: str | None = None
    contains: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None

    def fits(self, text: str) -> bool:
        if self.exact is not None:
            return text == self.exact
        found = all(one in text for one in self.contains) if self.contains else False
        found = found or (self.pattern is not None and self.pattern.search(text) is not None)
        return found and not (self.unless is not None and self.unless.search(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One entry of the list of networks. Without a verdict it says only that they are one."""

    reason: str
    verdict: VerdictKind | None = None
    kinds: frozenset[EventKind] = frozenset(EventKind)


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Place = tuple[int, int]
"""A network: IP version and the number of its /24 or /48; (0, n) for the n-th entry of the list."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lists:
    """The lists of machines, ready for use."""

    agents: tuple[Agent, ...] = ()
    networks: tuple[Network, ...] = ()
    prefixes: Mapping[tuple[int, int], Mapping[int, int]] = field(default_factory=dict)
    """(IP version, bits to drop) → what is left of an address → index of its entry."""
    kinds: Mapping[tuple[str, EventKind], VerdictKind] = field(default_factory=dict)
    """What a reason of the lists says of a kind of hit."""

    @cached_property
    def agent(self) -> Callable[[str], Agent | None]:
        """The first entry that fits a user agent. People's programs are the same few, so what was found is remembered;
        the text is held there with nobody's name."""
        return lru_cache(maxsize=2048)(
            lambda text: next((one for one in self.agents if one.fits(text)), None)
        )

    @cached_property
    def _of_version(self) -> Mapping[int, Sequence[tuple[int, Mapping[int, int]]]]:
        return {
            version: [(dropped, known) for (of, dropped), known in self.prefixes.items() if of == version]
            for version in (4, 6)
        }

    def place(self, address: str | Address) -> tuple[Place | None, Network | None]:
        """The network an address lies in, and its entry where the list has one. `(None, None)` for no address."""
        try:
            parsed = ipaddress.ip_address(address) if isinstance(address, str) else address
        except ValueError:
            return None, None
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        number, version = int(parsed), parsed.version
        first = len(self.networks)
        for dropped, known in self._of_version[version]:
            index = known.get(number >> dropped, first)
            first = index if index < first else first
        if first < len(self.networks):
            return (0, first), self.networks[first]
        return (version, number >> (32 - _V4_BITS if version == 4 else 128 - _V6_BITS)), None


def classify(hit: Hit, lists: Lists) -> Verdict:
    """The verdict on a single hit; the first rule that speaks wins."""
    spoken = _by_user_agent(hit, lists) or _by_network(hit, lists)
    too_soon = hit.since_accepted is None or not hit.since_accepted >= TOO_SOON
    return verdict(spoken, too_soon=too_soon)


def verdict(spoken: tuple[VerdictKind, str] | None, *, too_soon: bool, more: Sequence[str] = ()) -> Verdict:
    """From what the request said of itself, whether it came before anybody could have read, and what the hits around
    it add: reasons of a scanner."""
    late = (TOO_SOON_REASON,) if too_soon else ()
    if spoken is None:
        reasons = (*late, *more)
        return Verdict(
            kind=VerdictKind.SCANNER if reasons else VerdictKind.PERSON, reasons=reasons, rules=RULES
        )
    kind, reason = spoken
    if kind is VerdictKind.PROXY and too_soon:  # nobody can have asked it to fetch
        return Verdict(kind=VerdictKind.PREFETCH, reasons=(reason, *late), rules=RULES)
    return Verdict(kind=kind, reasons=(reason,), rules=RULES)


def _by_user_agent(hit: Hit, lists: Lists) -> tuple[VerdictKind, str] | None:
    agent = hit.user_agent[:_MOST].strip()
    if not agent:
        return VerdictKind.SCANNER, NO_AGENT
    found = lists.agent(agent)
    if found is None:
        return None
    if hit.kind is EventKind.CLICKED:
        return found.clicked, found.clicked_reason
    return found.opened, found.reason


def _by_network(hit: Hit, lists: Lists) -> tuple[VerdictKind, str] | None:
    if not hit.address or not any(one.verdict for one in lists.networks):
        return None
    _, entry = lists.place(hit.address)
    if entry is None or entry.verdict is None or hit.kind not in entry.kinds:
        return None
    return entry.verdict, entry.reason


# --- the lists as they are written ---


def read_lists(agents: Mapping[str, Any], networks: Mapping[str, Any]) -> Lists:
    """The lists from their documents. Raises ValueError that says which entry is wrong, and how."""
    known = tuple(_read("agent", number, one, _read_agent) for number, one in _entries(agents, "agent"))
    ranges = [_read("network", number, one, _read_network) for number, one in _entries(networks, "network")]
    prefixes: dict[tuple[int, int], dict[int, int]] = {}
    for index, (_, written) in enumerate(ranges):
        for network in written:
            dropped = network.max_prefixlen - network.prefixlen
            places = prefixes.setdefault((network.version, dropped), {})
            places.setdefault(int(network.network_address) >> dropped, index)
    kinds: dict[tuple[str, EventKind], VerdictKind] = {}
    for agent in known:
        kinds[agent.reason, EventKind.OPENED] = agent.opened
        kinds[agent.clicked_reason, EventKind.CLICKED] = agent.clicked
    for entry, _ in ranges:
        if entry.verdict is not None:
            kinds.update({(entry.reason, kind): entry.verdict for kind in entry.kinds})
    return Lists(agents=known, networks=tuple(entry for entry, _ in ranges), prefixes=prefixes, kinds=kinds)


def _entries(document: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    if set(document) - {name} or not isinstance(document.get(name, []), list):
        raise ValueError(f"expected nothing but [[{name}]] entries")
    return list(enumerate(document.get(name, []), 1))


def _read(name: str, number: int, entry: Any, reading: Any) -> Any:
    try:
        return reading(dict(entry))
    except (ValueError, TypeError, KeyError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"[[{name}]] {number}: {what}") from None


def _read_agent(entry: dict[str, Any]) -> Agent:
    reason = _reason(entry.pop("reason"))
    opened = VerdictKind(entry.pop("opened"))
    agent = Agent(
        reason=reason,
        opened=opened,
        clicked=VerdictKind(entry.pop("clicked", opened)),
        clicked_reason=_reason(entry.pop("clicked_reason", reason)),
        exact=entry.pop("exact", None),
        contains=_texts(entry.pop("contains", ())),
        pattern=_pattern(entry.pop("pattern", None)),
        unless=_pattern(entry.pop("unless", None)),
    )
    if agent.exact is None and not agent.contains and agent.pattern is None:
        raise ValueError("needs one of exact, contains, pattern")
    _nothing_left(entry)
    return agent


def _read_network(entry: dict[str, Any]) -> tuple[Network, list[Any]]:
    spoken = entry.pop("verdict", None)
    network = Network(
        reason=_reason(entry.pop("reason")),
        verdict=VerdictKind(spoken) if spoken is not None else None,
        kinds=frozenset(map(EventKind, entry.pop("kinds", tuple(EventKind)))),
    )
    written = [ipaddress.ip_network(one) for one in _texts(entry.pop("networks"))]
    _nothing_left(entry)
    return network, written


def _reason(value: object) -> str:
    if not isinstance(value, str) or not _REASON.match(value):
        raise ValueError(f"a reason is one word of small letters, digits and hyphens (it is {value!r})")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"expected a list of texts (it is {value!r})")
    return tuple(value)


def _pattern(value: object) -> re.Pattern[str] | None:
    if value is None:
        return None
    try:
        return re.compile(str(value), re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None


def _nothing_left(entry: Mapping[str, Any]) -> None:
    if entry:
        raise ValueError(f"no such key: {', '.join(sorted(entry))}")
