"""A limit on work that must end: what takes longer is stopped and seen, instead of stalling the run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Hang(BaseException):
    """Not an Exception: code that catches those must not take it for its own."""


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raises Hang in the main thread after so many seconds; regular expressions are stopped as well."""

    def stop(*_: object) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
