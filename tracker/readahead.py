"""A second process that reads a file of contacts ahead of the one that writes: both cores of a small machine work on
a large import. It knows the file and the rules, never the store.

It ends when its reader does, and hears no Ctrl-C: that is for its reader to answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import BinaryIO

from tracker.errors import CandorError, InvalidValue
from tracker.sheets import Reading, Sheet

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tracker.readahead import serve; serve()"
)
_LENGTH = struct.Struct("!I")
_AHEAD = 1 << 20
"""Octets that may wait to be taken, half of what asyncio lets wait: some thousand rows."""


def is_of_use() -> bool:
    """A machine with one core only loses by it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return bool(sys.executable) and cores > 1


@asynccontextmanager
async def read_ahead(reading: Reading) -> AsyncIterator[AsyncIterator[Sheet]]:
    """Gives the sheets as they come. Raises OSError where no process can be had; the sheets raise InvalidValue where
    the file cannot be read to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _START, json.dumps(sys.path)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        start_new_session=True,
        limit=_AHEAD,
    )
    try:
        yield _taken(process, reading)
    finally:
        await _end(process)


async def _taken(process: Process, reading: Reading) -> AsyncIterator[Sheet]:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - asked for above
    with suppress(ConnectionError):  # then nothing comes back either
        process.stdin.write(pickle.dumps(reading))
        process.stdin.write_eof()
        await process.stdin.drain()
    while True:
        try:
            (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
            word = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - from our own process
        except asyncio.IncompleteReadError:
            code = await process.wait()
            raise CandorError(
                f"{reading.file.path}: the process that reads it ended early ({code})"
            ) from None
        if word is None:
            return
        if isinstance(word, str):
            raise InvalidValue(f"{reading.file.path}: cannot be read to its end: {word}")
        yield word


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    assert process.stdout is not None  # noqa: S101
    while await process.stdout.read(_AHEAD):  # asyncio waits for the end of a pipe that it does not read
        pass
    await process.wait()


def serve() -> None:
    """The process itself: what to do comes from standard input, sheets go to standard output."""
    import gc

    gc.disable()  # as in the process that writes: rows make no cycles
    reading: Reading = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own process
    out = sys.stdout.buffer
    try:
        for sheet in reading.sheets(lambda: datetime.now(UTC)):
            _send(out, sheet)
        _send(out, None)
    except BrokenPipeError:
        os._exit(1)  # nobody is left to hear it
    except (OSError, ValueError) as error:
        _send(out, getattr(error, "strerror", None) or f"{type(error).__name__}")


def _send(out: BinaryIO, word: object) -> None:
    octets = pickle.dumps(word, pickle.HIGHEST_PROTOCOL)
    out.write(_LENGTH.pack(len(octets)) + octets)
    out.flush()
