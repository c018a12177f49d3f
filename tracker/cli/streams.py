"""Standard streams that are closed, full, or not read to their end: no command answers that with a traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("stdin", "stdout", "stderr")
_closed: set[str] = set()
_WRITING = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


def stand_in_for_closed() -> None:
    """Puts the null device where a standard stream is closed: else the next file that is opened would take its place,
    and what is printed would be written into it."""
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            _closed.add(name)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def was_closed(name: str) -> bool:
    """Whether `stdin`, `stdout` or `stderr` was closed when the program began: for commands whose whole purpose is to
    read from it or to write to it."""
    return name in _closed


@contextmanager
def readable_trouble() -> Iterator[None]:
    """Around a whole command: what cannot be written is one sentence and exit code 1. Whoever stops reading (`| head`)
    has what they wanted, and hears nothing."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _WRITING or error.filename:
            raise  # it is about something else
        _give_up(error)
    except SystemExit as ended:
        try:
            sys.stdout.flush()
        except OSError as error:
            _give_up(error, code=ended.code)
        raise


def _give_up(error: OSError, *, code: object = None) -> None:
    """Nothing more is written to standard output. `code`: how the command would have ended."""
    if sys.stdout is sys.__stdout__:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    if error.errno != errno.EPIPE:
        print(f"candor: cannot write the output: {error.strerror or error}", file=sys.stderr)  # noqa: T201
    raise SystemExit(code or 1) from None
