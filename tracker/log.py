"""The tracker's vocabulary in the log: each function is an event. No address, IP or user agent passes through
here; of a declined contact nothing does.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict

_log = structlog.get_logger("candor.tracker")


class Speaker:
    """Which process speaks: one of several workers says its number with every line, nobody else says one."""

    def __init__(self) -> None:
        self.worker: int | None = None

    def __call__(self, logger: Any, method: str, line: EventDict) -> EventDict:
        if self.worker is not None:
            line.setdefault("worker", self.worker)
        return line


speaker = Speaker()


def configure(style: str, level: str, *, lasting: bool = True) -> None:
    """Sets up the log of a program: `readable` or `json` lines on standard error, from `level` up. Libraries are
    heard only when something is wrong: at lower levels some of them print addresses. `lasting` for a program
    that runs on: its loggers are made once."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s %(levelname)s %(message)s")
    last = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            speaker,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=lasting,
    )


def store_away(direction: str, reason: str) -> None:
    _log.error("store-away", direction=direction, reason=reason)


def store_awaited(reason: str, *, seconds: float) -> None:
    """At the start: so many seconds are left until the program gives up."""
    _log.warning("store-awaited", reason=reason, giving_up_in=round(seconds))


def store_back(direction: str) -> None:
    _log.warning("store-back", direction=direction)


def lookup_failed(reason: str) -> None:
    """A question to the CRM had no answer that could be read."""
    _log.warning("lookup-failed", reason=reason)


def lookup_paused(reason: str, *, seconds: float) -> None:
    """One failure after the other: the CRM is left alone for a while."""
    _log.warning("lookup-paused", reason=reason, seconds=round(seconds))


def listener_gone() -> None:
    """A browser stopped reading the live feed, or reads too slowly."""
    _log.debug("listener-gone")


def listening(face: str, url: str) -> None:
    _log.info("listening", face=face, url=url)


def bad_token(kind: str) -> None:
    _log.debug("bad-token", kind=kind)


def hits_in_trouble(late: int, journaled: int, lost: int, reasons: str) -> None:
    """Totals since the last such line: a line for each would be one about somebody who may have declined."""
    _log.warning(
        "hits-late-or-lost", answered_before_commit=late, journaled=journaled, lost=lost, reasons=reasons
    )


def journal_full(most: int) -> None:
    """Hits are lost now, and counted as lost."""
    _log.error("journal-full", most_octets=most)


def journal_failed(reason: str) -> None:
    """The outage journal cannot be written: hits are lost now, and counted as lost."""
    _log.error("journal-failed", reason=reason)


def journal_not_ours(problem: str) -> None:
    """A file in the journal's folder is passed over."""
    _log.error("journal-not-ours", problem=problem)


def journal_stored(entries: int, *, damaged: bool) -> None:
    """A file of the journal was decided and is gone. `damaged`: some of it could not be read, such as the end that a
    killed process leaves."""
    _log.warning("journal-stored", entries=entries, damaged=damaged)


def replay_put_off(reason: str) -> None:
    """What waits in the journal is tried again soon."""
    _log.warning("journal-put-off", reason=reason)


def review_put_off(deliveries: int) -> None:
    """The store was not there to judge so many deliveries' hits together: the job does it later."""
    _log.warning("review-put-off", deliveries=deliveries)


def keys_taken_up(keys: list[str]) -> None:
    """Added to the key file while the program runs: links sealed with them verify now."""
    _log.info("keys-taken-up", keys=keys)


def unknown_keys(keys: list[str]) -> None:
    """Links since the last such line name keys that the key file here lacks. After a rotation elsewhere, all
    that are sent now do; it is read again as soon as it changes. Or somebody makes them up."""
    _log.error("unknown-keys", keys=keys, remedy="if `candor keys list` shows them elsewhere, copy the file")


def keys_refused(problem: str) -> None:
    """The key file as it is now is wrong: the ring of the start goes on holding."""
    _log.error("keys-refused", problem=problem)


def job_done(job: str, did: str) -> None:
    _log.info("job-done", job=job, did=did)


def job_failed(job: str, reason: str) -> None:
    """It is tried again later; nothing else waits for it."""
    _log.error("job-failed", job=job, reason=reason)


def alert_without_segment(problem: str) -> None:
    """An [[alert]] is for people of a segment that is not there, or is not understood: nobody is told."""
    _log.warning("alert-without-segment", problem=problem)


def request_failed(reason: str) -> None:
    _log.error("request-failed", reason=reason)


def conversion_lost(reason: str) -> None:
    """A site told of one by its pixel, and the store did not take it."""
    _log.warning("conversion-lost", reason=reason)


def request_refused(reason: str) -> None:
    _log.debug("request-refused", reason=reason)


# --- programs ---


def reloaded() -> None:
    _log.info("configuration-reloaded")


def reload_refused(problem: str) -> None:
    """The file as it is now is wrong: what held before goes on holding."""
    _log.error("configuration-refused", problem=problem, holds="the configuration as it was")


def needs_restart(option: str) -> None:
    """Changed in the file, and not while the program runs."""
    _log.warning("needs-restart", option=option)


def workers_serve(workers: int) -> None:
    """All of them: at the start, and again when a fallen one's place is taken."""
    _log.info("workers-serve", workers=workers)


def worker_fell(*, number: int, ended: str, again_in: float) -> None:
    _log.error("worker-fell", worker=number, ended=ended, again_in=again_in)


def workers_given_up(*, number: int, ended: str) -> None:
    """Nobody has served yet: another start would end alike."""
    _log.error("workers-given-up", worker=number, ended=ended, reason="ended before any worker served")


def sign_in_refused() -> None:
    """Somebody tries passwords on the operator's listener."""
    _log.warning("sign-in-refused")
