"""The tracker's vocabulary in the log: each function is an event. No address, IP or user agent passes through
here; of a declined contact nothing does.
"""

from __future__ import annotations

import structlog

_log = structlog.get_logger("candor.tracker")


def store_away(direction: str, reason: str) -> None:
    _log.error("store-away", direction=direction, reason=reason)


def store_back(direction: str) -> None:
    _log.warning("store-back", direction=direction)


def listening(face: str, url: str) -> None:
    _log.info("listening", face=face, url=url)


def bad_token(kind: str) -> None:
    _log.debug("bad-token", kind=kind)


def answered_late(kind: str) -> None:
    _log.warning("answered-before-commit", kind=kind)


def hit_lost(kind: str, reason: str) -> None:
    _log.warning("hit-lost", kind=kind, reason=reason)


def request_failed(reason: str) -> None:
    _log.error("request-failed", reason=reason)


def consent_changed(source: str, changes: int, not_effective: int) -> None:
    _log.info("consent-changed", source=source, changes=changes, not_effective=not_effective)
