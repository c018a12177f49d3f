"""What the relay says in its log: every function is an event, and this file is the whole vocabulary.

Nothing here names a person: addresses, and the words of foreign servers that may contain them, are not
arguments. Ids of submissions and deliveries come in through structlog's context.
"""

from __future__ import annotations

import structlog

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("relay")


# Upstream.


def upstream_refused_login(*, host: str, code: int, enhanced: str) -> None:
    _log.error("upstream refused our login, mail waits", host=host, code=code, enhanced=enhanced)


def upstream_offers_no_login(*, host: str, tls: bool) -> None:
    _log.error("upstream offers no login that we would use, mail waits", host=host, tls=tls)


def upstream_not_verified(*, host: str, problem: str) -> None:
    _log.error("upstream's certificate is not trusted, mail waits", host=host, problem=problem)


def upstream_without_tls(*, host: str) -> None:
    _log.error("upstream does not offer STARTTLS, which is required of it, mail waits", host=host)


def upstream_refused_us(*, host: str, code: int, enhanced: str) -> None:
    _log.error("upstream takes no mail from us, mail waits", host=host, code=code, enhanced=enhanced)


def upstream_spoken_to_in_clear(*, host: str, problem: str) -> None:
    _log.warning("TLS with upstream failed, going on in clear", host=host, problem=problem)


def upstream_trouble(*, host: str, code: int, enhanced: str, recipients: int) -> None:
    _log.warning("trouble with upstream", host=host, code=code, enhanced=enhanced, recipients=recipients)


def may_be_sent_twice(*, host: str, recipients: int) -> None:
    _log.warning(
        "upstream had the message but its reply never came: it may be sent twice",
        host=host,
        recipients=recipients,
    )


def upstream_failed(*, host: str) -> None:
    """An error of ours; called while it is being handled."""
    _log.exception("error while speaking to upstream", host=host)


def capture_failed(*, path: str, problem: str) -> None:
    _log.error("cannot write to the capture directory, mail waits", path=path, problem=problem)
