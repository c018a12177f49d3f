"""A store that is taken away and comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Outage:
    """A store, how it is taken away and how it comes back."""

    store_url: str
    begin: Callable[[], object]
    end: Callable[[], object]
