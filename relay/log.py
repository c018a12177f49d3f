"""The words of the relay's log: each function is one event, and there are no others.

A line names a session or a submission by its id. Mail addresses and client addresses are said at debug level
only; the default level shows neither. Nothing here formats or routes: that is structlog's configuration.
"""

from __future__ import annotations

import traceback
from typing import Any

from relay.replies import Reply

Log = Any
"""A structlog logger: its type depends on how it is configured."""


# Upstream. Its own words are not arguments, its host is; who waits for the mail is in the context.


def upstream_refused_login(log: Log, *, host: str, reply: Reply) -> None:
    """Loud, like the next five: all mail waits until somebody changes something."""
    log.error("upstream-refused-login", host=host, reply=_code(reply))


def upstream_offers_no_login(log: Log, *, host: str, tls: bool) -> None:
    log.error("upstream-offers-no-login", host=host, tls=tls)


def upstream_not_verified(log: Log, *, host: str, problem: str) -> None:
    log.error("upstream-not-verified", host=host, problem=problem)


def upstream_tls_failed(log: Log, *, host: str, problem: str) -> None:
    log.error("upstream-tls-failed", host=host, problem=problem)


def upstream_without_tls(log: Log, *, host: str) -> None:
    log.error("upstream-without-tls", host=host)


def upstream_wants_login(log: Log, *, host: str, reply: Reply) -> None:
    """Within a transaction: it takes nothing from us as we are."""
    log.error("upstream-wants-login", host=host, reply=_code(reply))


def upstream_spoken_to_in_clear(log: Log, *, host: str, problem: str) -> None:
    log.warning("upstream-spoken-to-in-clear", host=host, problem=problem)


def upstream_trouble(log: Log, *, host: str, reply: Reply, recipients: int) -> None:
    log.warning("upstream-trouble", host=host, reply=_code(reply), recipients=recipients)


def may_be_sent_twice(log: Log, *, host: str, recipients: int) -> None:
    """Upstream had the whole message, but its reply never came."""
    log.warning("may-be-sent-twice", host=host, recipients=recipients)


def upstream_failed(log: Log, *, host: str, error: BaseException) -> None:
    log.error("upstream-failed", host=host, **_described(error))


def capture_failed(log: Log, *, path: str, problem: str) -> None:
    log.error("capture-failed", path=path, problem=problem)


def _code(reply: Reply) -> str:
    """Without its text: an upstream's words often quote addresses."""
    return f"{reply.code} {reply.enhanced}".rstrip()


def _described(error: BaseException) -> dict[str, object]:
    """Where it happened, never what it said: texts of exceptions quote statements, addresses, messages."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-5:]]}
