"""A writer of databases in MaxMind's format (version 2.0), as small as tests need: networks and countries."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"


def write(file: Path, countries: Mapping[str, Any]) -> Path:
    """A database of networks → records (a text stands for `{"country": {"iso_code": text}}`)."""
    nodes: list[list[tuple[str, int] | None]] = [[None, None]]
    data, offsets = b"", dict[str, int]()
    for network, record in countries.items():
        if isinstance(record, str):
            record = {"country": {"iso_code": record}}
        key = repr(record)
        if key not in offsets:
            offsets[key] = len(data)
            data += _encoded(record)
        _insert(nodes, network, offsets[key])
    tree = b"".join(_node(node, len(nodes)) for node in nodes)
    metadata = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_700_000_000,
        "database_type": "Test-Country", "description": {"en": "for tests"}, "ip_version": 6, "languages": ["en"],
        "node_count": len(nodes), "record_size": 32,
    }  # fmt: skip
    file.write_bytes(tree + bytes(16) + data + _MARKER + _encoded(metadata))
    return file


def _insert(nodes: list[list[tuple[str, int] | None]], network: str, offset: int) -> None:
    net = ipaddress.ip_network(network)
    bits, length = int(net.network_address), net.prefixlen
    if net.version == 4:  # IPv4 lies at ::/96
        length += 96
    at = 0
    for depth in range(length):
        side = bits >> (127 - depth) & 1
        if depth == length - 1:
            nodes[at][side] = ("data", offset)
            return
        found = nodes[at][side]
        if found is None:
            nodes.append([None, None])
            found = nodes[at][side] = ("node", len(nodes) - 1)
        at = found[1]


def _node(node: list[tuple[str, int] | None], count: int) -> bytes:
    def number(side: tuple[str, int] | None) -> int:
        if side is None:
            return count
        return side[1] if side[0] == "node" else count + 16 + side[1]

    return b"".join(number(side).to_bytes(4, "big") for side in node)


_NUMBERS = {"node_count": (6, 4), "build_epoch": (9, 8)}
"""Types and octets of numbers that are no uint16."""


def _encoded(value: Any, name: str = "") -> bytes:
    if isinstance(value, dict):
        return _head(7, len(value)) + b"".join(
            _encoded(key) + _encoded(one, key) for key, one in value.items()
        )
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(map(_encoded, value))
    if isinstance(value, str):
        return _head(2, len(value.encode())) + value.encode()
    kind, octets = _NUMBERS.get(name, (5, 2))
    return _head(kind, octets) + value.to_bytes(octets, "big")


def _head(kind: int, size: int) -> bytes:
    assert size < 29
    return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])
