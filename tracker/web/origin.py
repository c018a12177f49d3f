"""From where a request comes, when it passed through proxies that the operator trusts. Pure.

The address is used in memory and nowhere kept. A proxy is believed only as far as the configuration names it: each
address in the chain is believed because the one before it is trusted, and the first that is not is the client's. One
way of telling is believed, the configured one: a client could send the others itself.

Sources: RFC 7239 (Forwarded), the HAProxy PROXY protocol, versions 1 and 2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

Address = IPv4Address | IPv6Address


class Tells(StrEnum):
    """How proxies tell whom they speak for."""

    FORWARDED_FOR = "x-forwarded-for"
    FORWARDED = "forwarded"
    PROXY_PROTOCOL = "proxy-protocol"


_FORWARDED_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*)\s*')
_MOST_HOPS = 32

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_MOST_FIRST = 107
_HEADER = struct.Struct(">12sBBH")


class Networks:
    """The proxies that are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._all = tuple(ip_network(one) for one in networks)

    def __bool__(self) -> bool:
        return bool(self._all)

    def __contains__(self, address: Address | None) -> bool:
        return address is not None and any(
            address.version == one.version and address in one for one in self._all
        )


def address_of(text: str) -> Address | None:
    """The address, without port and zone; an IPv4 address dressed as IPv6 as what it is. None where it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_of(peer: Address | None, chain: Sequence[str], trusted: Networks) -> Address | None:
    """Whose request it is: `chain` is what proxies said, the latest last. None where a trusted proxy does not say."""
    address = peer
    for said in reversed(chain[-_MOST_HOPS:]):
        if address not in trusted:
            return address
        address = address_of(said)
    return address


def chain_of(forwarded_for: str) -> list[str]:
    """The addresses of `X-Forwarded-For`, the latest last."""
    return [one for one in (part.strip() for part in forwarded_for.split(",")) if one]


def forwarded_chain(forwarded: str) -> list[str]:
    """The `for` of each element of `Forwarded` (RFC 7239 4), the latest last; `""` where one says none or cannot be
    read, so that nothing before it is believed."""
    chain, said, at = [], "", 0
    while at < len(forwarded):
        pair = _FORWARDED_PAIR.match(forwarded, at)
        if pair is None:
            return [""]
        if pair[1].lower() == "for":
            said = re.sub(r"\\(.)", r"\1", pair[2][1:-1]) if pair[2].startswith('"') else pair[2]
        at = pair.end()
        if at == len(forwarded) or forwarded[at] == ",":
            chain.append(said)
            said = ""
        elif forwarded[at] != ";":
            return [""]
        at += 1
    return chain


class Preface(NamedTuple):
    """What a PROXY header said: its length in octets, and the client's address where there is one."""

    octets: int
    client: Address | None


def read_preface(octets: bytes) -> Preface | None:
    """The PROXY header that `octets` begin with; None while more of it is needed. Raises ValueError for anything
    else."""
    if octets[:1] == b"P":
        return _first_version(octets)
    if SIGNATURE.startswith(octets[:12]):
        return _second_version(octets)
    raise ValueError("there is no PROXY header")


def _first_version(octets: bytes) -> Preface | None:
    end = octets.find(b"\r\n", 0, _MOST_FIRST)
    if end < 0:
        if len(octets) >= _MOST_FIRST or not (octets.startswith(b"PROXY ") or b"PROXY ".startswith(octets)):
            raise ValueError("there is no PROXY header")
        return None
    words = octets[:end].decode("latin-1").split(" ")
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return Preface(end + 2, None)
    if len(words) != 6 or words[0] != "PROXY" or words[1] not in ("TCP4", "TCP6"):
        raise ValueError("the PROXY header does not read")
    return Preface(end + 2, _must_be(words[2]))


def _second_version(octets: bytes) -> Preface | None:
    if len(octets) < _HEADER.size:
        return None
    _, version, family, length = _HEADER.unpack_from(octets)
    if version >> 4 != 2:
        raise ValueError(f"version {version >> 4} of the PROXY protocol is not known here")
    end = _HEADER.size + length
    if len(octets) < end:
        return None
    client: Address | None = None
    if version & 15 == 1:  # PROXY; 0 is LOCAL, the proxy speaking for itself
        body = octets[_HEADER.size : end]
        if family >> 4 == 1 and length >= 12:
            client = IPv4Address(body[:4])
        elif family >> 4 == 2 and length >= 36:
            address = IPv6Address(body[:16])
            client = address.ipv4_mapped or address
    return Preface(end, client)


def _must_be(text: str) -> Address:
    address = address_of(text)
    if address is None:
        raise ValueError("the PROXY header names no address")
    return address


class Proxies:
    """The proxies in front of us, and how they tell whom they speak for."""

    def __init__(self, networks: Iterable[str], tells: Tells) -> None:
        self._trusted = Networks(networks)
        self._tells = tells

    def prefaced(self, peer: Address | None) -> bool:
        """Does a connection from there begin with a PROXY header?"""
        return self._tells is Tells.PROXY_PROTOCOL and peer in self._trusted

    def client(self, peer: Address | None, forwarded: str, forwarded_for: str) -> Address | None:
        """Whose request it is, given both headers as they came; None where that is not told."""
        if not (forwarded or forwarded_for) or not self._trusted:
            return peer
        if self._tells is Tells.FORWARDED:
            return client_of(peer, forwarded_chain(forwarded), self._trusted)
        if self._tells is Tells.FORWARDED_FOR:
            return client_of(peer, chain_of(forwarded_for), self._trusted)
        return peer
