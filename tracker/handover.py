"""What a parent hands to its workers while they run: the configuration that holds now.

The parent alone reads the file. Were each worker to read it again, a change in between could give each another one.
The value lies in a file that has no name, which workers inherit when they are forked; nobody else can open it.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import zlib
from typing import Generic, TypeVar

T = TypeVar("T")
_HEAD = 12
"""Octets in front: the length and a checksum, so that half a value is never taken for one."""


class Handover(Generic[T]):
    def __init__(self, value: T) -> None:
        """To be made before the first worker is forked."""
        self._end = (
            os.memfd_create("candor-configuration")
            if hasattr(os, "memfd_create")
            else os.dup(tempfile.TemporaryFile().fileno())  # noqa: SIM115 - stays open as long as we live
        )
        self.give(value)

    def give(self, value: T) -> None:
        """From now on this is what workers take."""
        octets = pickle.dumps(value)
        head = len(octets).to_bytes(8, "big") + zlib.crc32(octets).to_bytes(4, "big")
        os.pwrite(self._end, head + octets, 0)

    def taken(self) -> T:
        """What was given last. Raises OSError when there is nothing whole."""
        for _ in range(100):  # the parent may be writing the next one
            head = os.pread(self._end, _HEAD, 0)
            octets = os.pread(self._end, int.from_bytes(head[:8], "big"), _HEAD)
            if zlib.crc32(octets) == int.from_bytes(head[8:], "big"):
                value: T = pickle.loads(octets)  # noqa: S301 - written by our own parent, out of anybody's reach
                return value
        raise OSError("what the parent handed over cannot be read")
