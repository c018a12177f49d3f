"""The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): for whom a load balancer speaks. Pure.

The header comes before anything else on the connection, before TLS too. Only what names a TCP connection is of use;
`LOCAL` and `UNKNOWN`, as health checks send them, name nobody, and the load balancer's own address counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from relay.intake.settings import Address

MOST_V1 = 107
"""Octets of the longest line (2.1)."""
MOST_V2 = 16 + 2048
"""Ours: what senders really add after the addresses is some hundred octets of TLVs; the format would allow 64 KiB."""

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_FAMILIES: dict[int, tuple[type[IPv4Address] | type[IPv6Address], int]] = {
    0x11: (IPv4Address, 4),
    0x21: (IPv6Address, 16),
}
"""TCP over IPv4 and over IPv6 (2.2): the kind of address and its octets."""


class ProxyError(ValueError):
    """No PROXY header. Its text never holds an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    client: Address | None
    """None where it names nobody."""
    size: int
    """Octets of the header; what follows is the client's."""


def read(octets: bytes) -> Header | None:
    """The header at the beginning; None while it is not complete. Raises ProxyError as soon as it cannot be one."""
    if octets[: len(_V2)] == _V2[: len(octets)]:
        return _version_2(octets)
    if octets[: len(_V1)] == _V1[: len(octets)]:
        return _version_1(octets)
    raise ProxyError("no PROXY header")


def _version_1(octets: bytes) -> Header | None:
    end = octets.find(b"\r\n", 0, MOST_V1)
    if end < 0:
        if len(octets) >= MOST_V1:
            raise ProxyError("line too long")
        return None
    size = end + 2
    try:
        words = octets[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyError("not ASCII") from None
    if words[1] == "UNKNOWN":  # 2.1: whatever follows is to be ignored
        return Header(client=None, size=size)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyError("malformed line")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        client, _ = kind(words[2]), kind(words[3])
    except ValueError:
        raise ProxyError("malformed address") from None
    if not all(map(_is_port, words[4:])):
        raise ProxyError("malformed port")
    return Header(client=_plain(client), size=size)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and str(int(text[:6])) == text and int(text) <= 65535


def _version_2(octets: bytes) -> Header | None:
    if len(octets) < 16:
        return None
    version, command = octets[12] >> 4, octets[12] & 0xF
    if version != 2 or command > 1:
        raise ProxyError("unknown version or command")
    size = 16 + int.from_bytes(octets[14:16], "big")
    if size > MOST_V2:
        raise ProxyError("too long")
    known = _FAMILIES.get(octets[13])
    if command == 1 and known is not None and size < 16 + 2 * known[1] + 4:
        raise ProxyError("too short for its addresses")
    if len(octets) < size:
        return None
    if command == 0 or known is None:  # 2.2: LOCAL, and families that are none of ours
        return Header(client=None, size=size)
    kind, length = known
    return Header(client=_plain(kind(octets[16 : 16 + length])), size=size)


def _plain(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address
