"""Addresses that programs listen on: which option named them, and whether they are ours to have."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tracker.errors import CannotListen


@contextmanager
def listening(option: str, address: str) -> Iterator[None]:
    """What goes wrong within is said of that option. Raises CannotListen."""
    try:
        yield
    except OSError as error:
        known = error.errno is not None and not isinstance(error, socket.gaierror)
        words = os.strerror(error.errno) if known and error.errno else error.strerror or str(error)
        raise CannotListen(f"{option}: cannot listen on {address}: {words.lower()}") from error


def claim(host: str, port: int) -> None:
    """Is this address ours to share? Processes that share a port (SO_REUSEPORT) would join any other program that
    does so too. Raises OSError."""
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
