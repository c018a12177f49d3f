"""Networks as they are written in the configuration."""

from __future__ import annotations

import ipaddress

from tracker.config import NetworkText

__all__ = ["NetworkText", "networks", "within"]


def networks(texts: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """What checked texts stand for."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def within(address: str, networks: tuple[str, ...]) -> bool:
    """Does the IP address lie in one of the networks? False for what is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return any((mapped or ip) in ipaddress.ip_network(network) for network in networks)
