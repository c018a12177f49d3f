"""What aiohttp's servers log, told in our words: their own lines name the client and repeat the request."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

from tracker import log


class _Retold(logging.Handler):
    """What the server library has to say, as our events: its own lines name the client and repeat the request."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        reason = type(error).__name__ if error else record.levelname.lower()
        if record.levelno < logging.ERROR or isinstance(error, HttpProcessingError):
            log.request_refused(reason)  # it was no HTTP; anybody can send that all day
        else:
            log.request_failed(reason)


def retelling() -> logging.Logger:
    """A logger for aiohttp's servers, which passes on that something happened and nothing of whom."""
    logger = logging.Logger("candor.http")
    logger.addHandler(_Retold())
    return logger
