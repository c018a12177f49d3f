"""A store that is taken away and comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tracker.store.breaker import Breaker

_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(store_url: str) -> Iterator[None]:
    """Another process holds the SQLite file exclusively."""
    process = subprocess.Popen(
        [sys.executable, "-c", _LOCK, store_url.removeprefix("sqlite:///")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
    finally:
        process.communicate()


@contextmanager
def away(*breakers: Breaker) -> Iterator[None]:
    """As if the disk were gone: what asks is refused, and no probe finds the store back until this is left."""

    async def fails() -> None:
        raise OSError("as if the disk were gone")

    with pytest.MonkeyPatch.context() as patch:
        for one in breakers:
            patch.setattr(one, "_probe", fails)
            one.trip("as if the disk were gone")
        yield


@dataclass(frozen=True, slots=True)
class Outage:
    """A store, how it is taken away and how it comes back."""

    store_url: str
    begin: Callable[[], object]
    end: Callable[[], object]
