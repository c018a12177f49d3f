"""An upstream spoken to over SMTP: takes a transaction, gives the outcomes.

The border where everything that can go wrong upstream becomes an Outcome: nothing leaves `send` but those and
CancelledError. A connection on which anything odd has happened is never used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from relay import log, replies
from relay.outcome import Outcome
from relay.upstream.connection import Connection, open_connection, tls_context
from relay.upstream.course import Course
from relay.upstream.pool import Pool
from relay.upstream.settings import UpstreamSettings
from relay.upstream.transaction import Transaction
from relay.upstream.wire import UpstreamError

LOG: Final[log.Log] = structlog.get_logger("relay.upstream")

GOOD_BYE: Final = 1.0
"""Seconds for upstream to answer QUIT when we shut down."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class SmtpUpstream:
    """Make it on the loop it is used on. ValueError when its certificates cannot be read."""

    def __init__(self, settings: UpstreamSettings, clock: Callable[[], datetime] = utc_now) -> None:
        self._settings = settings
        self._clock = clock
        context = tls_context(settings)
        self._pool = Pool(settings, lambda: open_connection(settings, context))
        self._sending: set[asyncio.Timeout] = set()
        self._has_ended = asyncio.Event()
        self._is_closed = False

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        """One outcome per recipient, in order. Raises nothing but CancelledError."""
        course = Course(transaction, self._settings)
        if self._is_closed:
            course.break_off(replies.UPSTREAM_CLOSING)
        else:
            await self._see_through(course)
        return course.outcomes(self._clock())

    async def close(self, *, grace: float) -> None:
        """Sends begun before get `grace` seconds; what is cut off then counts as not heard of."""
        self._is_closed = True
        try:
            async with asyncio.timeout(grace):
                await self._all_ended()
        except TimeoutError:
            for scope in self._sending:
                if not scope.expired():
                    scope.reschedule(asyncio.get_running_loop().time())
            await self._all_ended()
        await self._pool.close(patience=GOOD_BYE)

    async def _all_ended(self) -> None:
        while self._sending:
            self._has_ended.clear()
            await self._has_ended.wait()

    async def _see_through(self, course: Course) -> None:
        """Until everyone has an answer, whatever happens."""
        scope = asyncio.timeout(None)  # without a deadline until `close` sets one
        self._sending.add(scope)
        try:
            async with scope, self._pool.slot():
                await self._follow(course)
        except TimeoutError:
            course.break_off(replies.UPSTREAM_CLOSING)
        except Exception as error:  # noqa: BLE001 - an error of ours must cost nobody their mail
            log.upstream_failed(LOG, host=self._settings.name, error=error)
            course.break_off(replies.UPSTREAM_ERROR)
        finally:
            self._sending.discard(scope)
            self._has_ended.set()

    async def _follow(self, course: Course) -> None:
        """Transaction after transaction, until everyone has an answer."""
        is_suspicious = False  # of the other kept connections, after one had ended
        while course.waiting:
            try:
                connection = await self._pool.take(fresh=is_suspicious)
            except UpstreamError as trouble:
                return course.break_off(trouble.reply)
            was_kept = connection.messages > 0
            trouble_met = await self._converse(course, connection)
            is_suspicious = trouble_met is not None
            if trouble_met is None:
                continue
            # A kept one may have ended while it lay idle. It never had the message, so nobody is told.
            if not (trouble_met.gone and was_kept and course.may_be_repeated):
                return course.break_off(trouble_met.reply)
            course.start_over()
        return None

    async def _converse(self, course: Course, connection: Connection) -> UpstreamError | None:
        """One transaction. The connection is kept only if it went through to its end."""
        dialogue = course.next_dialogue(connection)
        try:
            await dialogue.run()
        except UpstreamError as trouble:
            connection.wire.abort()
            return trouble
        except BaseException:
            connection.wire.abort()  # a reply is still to come, and would be taken for the next one's
            raise
        finally:
            course.collect()
        self._pool.give_back(connection)
        return None
