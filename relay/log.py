"""The words of the relay's log: each function is one event, and there are no others.

A line names a session or a submission by its id. Mail addresses and client addresses are said at debug level
only; the default level shows neither. Nothing here formats or routes: that is structlog's configuration.
"""

from __future__ import annotations

import hashlib
import secrets
import traceback
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import structlog

from relay import replies
from relay.replies import Reply

_log = structlog.get_logger("candor.relay")

Log = Any
"""A structlog logger: its type depends on how it is configured."""


_ALIASES = secrets.token_bytes(32)
"""Drawn at each start, kept nowhere: workers that were forked from one parent share it."""


@lru_cache(maxsize=4096)
def alias(client: str) -> str:
    """The same for the same client until the next start, so that its lines can be seen together; nobody can tell the
    address from it."""
    return hashlib.blake2b(client.encode(), key=_ALIASES, digest_size=4).hexdigest()


# --- our tracking host ---


def tracking_host_failing(*, url: str, problem: str, grace: float) -> None:
    """The first failure in a row."""
    _log.warning("tracking-host-failing", url=url, problem=problem, untracked_after=round(grace))


def tracking_host_away(*, url: str, problem: str, since: object) -> None:
    """Mail goes out without pixel and wrapped links. Said again every ten minutes."""
    _log.error(
        "tracking-host-away",
        url=url,
        problem=problem,
        since=str(since),
        consequence="mail goes out without pixel and wrapped links until it is back",
    )


def tracking_host_back(*, url: str) -> None:
    _log.warning("tracking-host-back", url=url)


def certificate_runs_out(*, url: str, days: int) -> None:
    _log.error("certificate-runs-out", url=url, days=days)


# --- intake ---


def listening(log: Log, *, host: str, port: int, implicit_tls: bool) -> None:
    log.info("listening", host=host, port=port, implicit_tls=implicit_tls)


def stopping(log: Log, *, sessions: int, deliveries: int) -> None:
    log.info("stopping", sessions=sessions, deliveries=deliveries)


def delivery_cut_off(log: Log, *, count: int) -> None:
    """The grace period ended before these messages were settled; their clients heard no 250."""
    log.warning("delivery-cut-off", count=count)


def connections_capped(log: Log, *, configured: int, possible: int) -> None:
    log.warning("connections-capped", configured=configured, possible=possible)


def session_opened(log: Log, session: str, *, address: object) -> None:
    log.debug("session-opened", session=session, address=_Text(address))


class _Text:
    """Made into text only where the line is written."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return str(self._value)


def session_refused(log: Log, session: str, *, client: str, reply: Reply) -> None:
    log.info("session-refused", session=session, client=client, reply=_code(reply))


def proxy_header_wrong(log: Log, *, reason: str) -> None:
    """A load balancer's connection, closed because nobody knows whom it speaks for."""
    log.warning("proxy-header-wrong", reason=reason)


class Refusals:
    """Commands refused in one session: the first of each kind at once, how many there were at its end. A list of a
    thousand bad recipients is two lines."""

    __slots__ = ("_client", "_counts", "_log", "_session")

    def __init__(self, log: Log, session: str, *, client: str) -> None:
        self._log = log
        self._session = session
        self._client = client
        self._counts: dict[tuple[str, str], int] = {}

    def note(self, command: str, reply: Reply, user: str | None = None) -> None:
        """`command` is the first four letters of the line; what is no word of SMTP's is not repeated."""
        kind = (_COMMANDS.get(command, "unknown"), _code(reply))
        known = self._counts.get(kind, 0)
        self._counts[kind] = known + 1
        if not known:
            self._log.info(
                "command-refused",
                session=self._session,
                client=self._client,
                command=kind[0],
                reply=kind[1],
                **_user(user),
            )

    def close(self) -> None:
        for (command, reply), count in self._counts.items():
            if count > 1:
                self._log.info(
                    "commands-refused", session=self._session, command=command, reply=reply, count=count
                )


_COMMANDS = {
    word[:4]: word
    for word in (
        *("EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET"),
        *("NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS", "AUTH"),
    )
}


def session_ended(log: Log, session: str, *, reason: str) -> None:
    log.debug("session-ended", session=session, reason=reason)


def session_cut_off(log: Log, session: str, *, client: str, reply: Reply) -> None:
    """We ended it: too slow, too many errors, shutting down."""
    log.info("session-cut-off", session=session, client=client, reply=_code(reply))


def session_failed(log: Log, session: str, *, id: str, error: BaseException) -> None:
    log.error("session-failed", session=session, id=id, **_described(error))


def tls_failed(log: Log, session: str, *, client: str, error: BaseException) -> None:
    log.info("tls-failed", session=session, client=client, error=type(error).__name__)


def login_succeeded(log: Log, session: str, *, user: str) -> None:
    log.debug("login-succeeded", session=session, user=user)


def login_failed(log: Log, session: str, *, client: str, user: str | None) -> None:
    """`user` where there is one of that name: people type passwords, and strangers addresses, into that field."""
    log.info("login-failed", session=session, client=client, **_user(user))


def login_error(log: Log, session: str, *, error: BaseException) -> None:
    log.error("login-error", session=session, **_described(error))


def rate_exceeded(log: Log, session: str, *, client: str, rate: str, user: str | None) -> None:
    log.info("rate-exceeded", session=session, client=client, rate=rate, **_user(user))


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


# --- delivery and queue ---


def forwarding(upstream: str) -> None:
    """Where mail goes from here; `capture:PATH` keeps it on this machine."""
    _log.info("forwarding", upstream=upstream)


def doubtful(doubt: str) -> None:
    """The configuration allows it, and the operator hardly meant it."""
    _log.warning("doubtful-configuration", doubt=doubt)


def wishes_not_understood(id: str, *, headers: list[str]) -> None:
    """Control headers, or their values, that are none of ours: read as asking for less. Values may be anything."""
    _log.warning("wishes-not-understood", id=id, headers=headers)


def headers_without_meaning(id: str, *, headers: Sequence[str]) -> None:
    """Other services' headers that were taken out and change nothing here; their values may hold addresses."""
    _log.debug("headers-without-meaning", id=id, headers=headers)


def store_away(id: str) -> None:
    """Nobody is tracked by this message."""
    _log.warning("sent-untracked-store-away", id=id)


def not_recorded(id: str, *, error: BaseException) -> None:
    _log.warning("not-recorded", id=id, error=type(error).__name__)


def consent_not_recorded(id: str, *, error: BaseException) -> None:
    """What the message or the lookup said of its recipients did not reach the register; the mail goes on."""
    _log.warning("consent-not-recorded", id=id, error=type(error).__name__)


def not_compiled(id: str, *, error: BaseException) -> None:
    """Passed on untouched: nobody is tracked by it."""
    _log.error("passed-on-not-compiled", id=id, **_described(error))


def not_displayed(id: str, *, error: BaseException) -> None:
    """The page about it shows everything but how it looked."""
    _log.error("not-displayed", id=id, **_described(error))


def attempt_failed(id: str, *, error: BaseException) -> None:
    _log.error("attempt-failed", id=id, **_described(error))


def copy_failed(id: str, *, error: BaseException) -> None:
    """Sent without pixel and wrapped links instead."""
    _log.error("sent-untracked-copy-failed", id=id, **_described(error))


def not_signed(id: str, *, error: BaseException) -> None:
    """A DKIM key failed: the copy went as it came, untracked and with the signatures it came with."""
    _log.error("sent-not-signed", id=id, **_described(error.__cause__ or error))


def outcome_lost(id: str, *, error: BaseException) -> None:
    """What became of this message is not on record; the mail itself is where its client was told it is."""
    _log.error("outcome-lost", id=id, error=type(error).__name__)


def no_report_owed(id: str, *, recipients: int) -> None:
    _log.info("refused-no-report-owed", id=id, recipients=recipients)


def came_back(id: str, *, kind: str, deliveries: list[str], fresh: bool) -> None:
    """A report on deliveries of ours, or what somebody sent to their return path; not `fresh`: it had come before."""
    _log.info("came-back", id=id, kind=str(kind), deliveries=deliveries, fresh=fresh)


def nobody_to_pass_on_to(id: str) -> None:
    """The original's sender is not on record any more; what came back is recorded and goes no further."""
    _log.warning("came-back-for-nobody", id=id)


def report_not_read(id: str, *, error: BaseException) -> None:
    """Passed on all the same."""
    _log.error("report-not-read", id=id, **_described(error))


def double_bounce(id: str, *, recipients: int) -> None:
    """A report of ours, or other mail from nobody, was refused for good: dropped, there is nobody to tell."""
    _log.warning("double-bounce-dropped", id=id, recipients=recipients)


def took_over(*, processes: int, recipients: int) -> None:
    """Mail that was under way in processes of this machine that are dead."""
    _log.warning("took-over", processes=processes, recipients=recipients)


def disk_nearly_full(*, free: int, least: int) -> None:
    """New mail is put off with 452 until there is room again."""
    _log.error("disk-nearly-full", free=free, least=least)


def disk_has_room(*, free: int) -> None:
    _log.warning("disk-has-room", free=free)


def clock_jumped(*, seconds: float) -> None:
    """The database's clock was set: what waited then is not taken to be so much older, or younger."""
    _log.warning("clock-jumped", seconds=round(seconds))


def due_too_late(*, recipients: int) -> None:
    """Put off by a clock that was wrong, until a time far away: due now."""
    _log.warning("due-too-late", recipients=recipients)


def upstream_away(*, seconds: float) -> None:
    """The last tries found no connection: the queue waits so long before it tries a single message again."""
    _log.error("upstream-away", seconds=round(seconds, 1))


def upstream_back() -> None:
    _log.warning("upstream-back")


def presence_failed(*, error: BaseException) -> None:
    """Should this process die, its mail is taken over only when its leases have run out."""
    _log.warning("presence-failed", **_described(error))


def set_aside(id: str, *, recipients: int) -> None:
    """What the queue holds of this message cannot be read; it is kept for the operator and not tried again."""
    _log.error("queue-row-damaged", id=id, recipients=recipients)


def lease_lost(id: str, *, recipients: int) -> None:
    """Another process goes on with these recipients: what our try led to is not written, they may get two copies."""
    _log.warning("lease-lost", id=id, recipients=recipients)


def worker_failed(*, error: BaseException) -> None:
    _log.error("worker-failed", **_described(error))


# --- upstream ---
# Its own words are not arguments, its host is; who waits for the mail is in the context.


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
    log.warning("upstream-trouble", host=host, cause=_cause(reply), reply=_code(reply), recipients=recipients)


def upstream_down(log: Log, *, upstream: str, host: str, reply: Reply, failures: int) -> None:
    """Said once; nothing is offered to it for a while, and then again and again one message, until it is up."""
    log.error(
        "upstream-down",
        upstream=upstream,
        host=host,
        cause=_cause(reply),
        reply=_code(reply),
        failures=failures,
    )


def upstream_up(log: Log, *, upstream: str, host: str) -> None:
    log.info("upstream-up", upstream=upstream, host=host)


def upstream_takes_fewer(log: Log, *, host: str, connections: int) -> None:
    """It refused one connection more: we keep to fewer for a while."""
    log.info("upstream-takes-fewer-connections", host=host, connections=connections)


def may_be_sent_twice(log: Log, *, host: str, recipients: int) -> None:
    """Upstream had the whole message, but its reply never came."""
    log.warning("may-be-sent-twice", host=host, recipients=recipients)


def upstream_failed(log: Log, *, host: str, error: BaseException) -> None:
    log.error("upstream-failed", host=host, **_described(error))


def capture_failed(log: Log, *, path: str, problem: str) -> None:
    log.error("capture-failed", path=path, problem=problem)


_CAUSES = {
    replies.UPSTREAM_UNREACHABLE: "no connection",
    replies.UPSTREAM_SILENT: "timeout",
    replies.UPSTREAM_DROPPED: "connection dropped",
    replies.UPSTREAM_GARBLED: "not SMTP",
    replies.UPSTREAM_WITHOUT_TLS: "offers no TLS",
    replies.UPSTREAM_UNVERIFIED: "certificate not verified",
    replies.UPSTREAM_TLS_FAILED: "TLS failed",
    replies.UPSTREAM_NO_LOGIN: "offers no login",
    replies.UPSTREAM_CLOSING: "shutting down here",
    replies.UPSTREAM_ERROR: "error here",
}


def _cause(reply: Reply) -> str:
    """What went wrong, where the reply is our own word for it; else upstream has said so with its code."""
    return _CAUSES.get(reply, "its own answer")


def _user(name: str | None) -> dict[str, str]:
    """The account, where somebody is logged in."""
    return {} if name is None else {"user": name}


def _code(reply: Reply) -> str:
    """Without its text: an upstream's words often quote addresses."""
    return f"{reply.code} {reply.enhanced}".rstrip()


def _described(error: BaseException) -> dict[str, object]:
    """Where it happened, never what it said: texts of exceptions quote statements, addresses, messages."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-5:]]}
