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


def listening(log: Log, *, host: str, port: int, implicit_tls: bool) -> None:
    log.info("listening", host=host, port=port, implicit_tls=implicit_tls)


def stopping(log: Log, *, sessions: int, deliveries: int) -> None:
    log.info("stopping", sessions=sessions, deliveries=deliveries)


def delivery_cut_off(log: Log, *, count: int) -> None:
    """The grace period ended before these messages were settled; their clients heard no 250."""
    log.warning("delivery-cut-off", count=count)


def connections_capped(log: Log, *, configured: int, possible: int) -> None:
    log.warning("connections-capped", configured=configured, possible=possible)


def session_opened(log: Log, session: str, *, address: str) -> None:
    log.debug("session-opened", session=session, address=address)


def session_refused(log: Log, session: str, *, reply: Reply) -> None:
    log.info("session-refused", session=session, reply=_code(reply))


def session_ended(log: Log, session: str, *, reason: str) -> None:
    log.debug("session-ended", session=session, reason=reason)


def session_cut_off(log: Log, session: str, *, reply: Reply) -> None:
    """We ended it: too slow, too many errors, shutting down."""
    log.info("session-cut-off", session=session, reply=_code(reply))


def session_failed(log: Log, session: str, *, id: str, error: BaseException) -> None:
    log.error("session-failed", session=session, id=id, **_described(error))


def tls_failed(log: Log, session: str, *, error: BaseException) -> None:
    log.info("tls-failed", session=session, error=type(error).__name__)


def login_succeeded(log: Log, session: str, *, user: str) -> None:
    log.debug("login-succeeded", session=session, user=user)


def login_failed(log: Log, session: str) -> None:
    log.info("login-failed", session=session)


def login_error(log: Log, session: str, *, error: BaseException) -> None:
    log.error("login-error", session=session, **_described(error))


def submission_received(
    log: Log, id: str, *, session: str, recipients: int, size: int, tls: str | None
) -> None:
    log.debug("submission-received", id=id, session=session, recipients=recipients, size=size, tls=tls)


def submission_answered(log: Log, id: str, *, reply: Reply, client_waits: bool) -> None:
    """`client_waits` is false when the client left before it could hear the reply."""
    log.info("submission-answered", id=id, reply=_code(reply), client_waits=client_waits)


def submission_refused(log: Log, id: str, *, reply: Reply) -> None:
    """Refused by the intake itself, nothing was kept."""
    log.info("submission-refused", id=id, reply=_code(reply))


def submission_failed(log: Log, id: str, *, error: BaseException) -> None:
    log.error("submission-failed", id=id, **_described(error))


def _code(reply: Reply) -> str:
    """Without its text: an upstream's words often quote addresses."""
    return f"{reply.code} {reply.enhanced}".rstrip()


def _described(error: BaseException) -> dict[str, object]:
    """Where it happened, never what it said: texts of exceptions quote statements, addresses, messages."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-5:]]}
