"""One server spoken to over SMTP: takes a transaction, gives the outcomes.

The border where everything that can go wrong upstream becomes an Outcome: nothing leaves `send` but those and
CancelledError. A connection on which anything odd has happened is never used again.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from relay import log, replies
from relay.outcome import Outcome, Status
from relay.replies import Reply
from relay.upstream.connection import Connection, open_connection, tls_context
from relay.upstream.course import Course
from relay.upstream.health import Entry, Health
from relay.upstream.pool import Pool
from relay.upstream.settings import UpstreamSettings
from relay.upstream.transaction import Condition, Offered, ServerState, Transaction
from relay.upstream.wire import UpstreamError

LOG: Final[log.Log] = structlog.get_logger("relay.upstream")

GOOD_BYE: Final = 1.0
"""Seconds for upstream to answer QUIT when we shut down."""


MAIL_ADDRESS: Final = re.compile(r"[^\s<>@,;()]+@[^\s<>@,;()]+")


def utc_now() -> datetime:
    return datetime.now(UTC)


class SmtpUpstream:
    """One server. Make it on the loop it is used on. ValueError when its certificates cannot be read.

    `send` is for who has only this one; `offer` leaves open what another server may take."""

    def __init__(
        self,
        settings: UpstreamSettings,
        clock: Callable[[], datetime] = utc_now,
        *,
        name: str = "default",
        priority: int = 0,
        weight: int = 1,
    ) -> None:
        self.settings = settings
        self.name, self.priority, self.weight = name, priority, weight
        self._clock = clock
        self._context = tls_context(settings)
        self._pool = Pool(settings, self._connect)
        self._health = Health(settings)
        self._failed_at: datetime | None = None
        self._sending: set[asyncio.Task[object]] = set()
        self._cut_off: set[asyncio.Task[object]] = set()
        self._has_ended = asyncio.Event()
        self._is_closed = False

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        """One outcome per recipient, in order. Raises nothing but CancelledError."""
        offered = await self.offer(transaction)
        if offered is None and await self.probed():
            offered = await self.offer(transaction)
        if offered is None:
            offered = Offered(outcomes=(None,) * len(transaction.recipients), trouble=self.trouble)
        return completed(offered, self._clock())

    async def offer(self, transaction: Transaction) -> Offered | None:
        """As `relay.upstream.transaction.Host` says."""
        if not transaction.recipients:
            return Offered(outcomes=())
        course = Course(transaction, self.settings)
        if self._is_closed:
            return Offered(outcomes=(None,) * len(transaction.recipients), trouble=replies.UPSTREAM_CLOSING)
        entry = self._health.enter(time.monotonic())
        if entry is Entry.NO:
            return None
        try:
            trouble = await self._see_through(course, as_probe=entry is Entry.AS_PROBE)
        finally:
            if entry is Entry.AS_PROBE:
                self._health.probe_over()
        return None if course.was_not_begun else course.offered(self._clock(), trouble)

    async def probed(self) -> bool:
        return await self._health.probed()

    @property
    def trouble(self) -> Reply:
        return self._health.trouble

    def pause(self) -> float:
        return self._health.seconds_left(time.monotonic())

    def state(self) -> ServerState:
        left = self.pause()
        return ServerState(
            name=self.name,
            host=self.settings.name,
            priority=self.priority,
            weight=self.weight,
            condition=self._health.condition,
            down_until=self._clock() + timedelta(seconds=left) if left else None,
            connections=self._pool.open,
            idle=self._pool.idle,
            limit=self._pool.slots.limit,
            waiting=self._pool.slots.waiting,
            failures=self._health.failures,
            last_error=presentable(self._health.trouble, self.settings) if self._failed_at else "",
            last_error_at=self._failed_at,
        )

    def renew(self, context: ssl.SSLContext) -> None:
        """For new connections from now on."""
        self._context = context

    async def retire(self) -> None:
        """As `Host` says. Whoever had chosen this server before may still come."""
        self._pool.retire()
        await self._all_ended()
        await self._pool.close(patience=GOOD_BYE)

    async def close(self, *, grace: float) -> None:
        """Sends begun before get `grace` seconds; what is cut off then counts as not heard of. May be called
        again with less."""
        self._is_closed = True
        self._pool.retire()
        try:
            async with asyncio.timeout(grace):
                await self._all_ended()
        except TimeoutError:
            for task in self._sending - self._cut_off:
                self._cut_off.add(task)
                task.cancel()
            await self._all_ended()
        await self._pool.close(patience=GOOD_BYE)

    async def _connect(self) -> Connection:
        return await open_connection(self.settings, self._context)

    async def _all_ended(self) -> None:
        while self._sending:
            self._has_ended.clear()
            await self._has_ended.wait()

    async def _see_through(self, course: Course, *, as_probe: bool) -> Reply | None:
        """Until everyone has an answer, or another server may be asked: then why."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines run in tasks
        cancellations = task.cancelling()
        self._sending.add(task)
        try:
            return await self._try(course, as_probe=as_probe)
        except asyncio.CancelledError:
            # Ours, because we close, or somebody else's? As in asyncio.timeout, at less cost for each message.
            if task not in self._cut_off or task.uncancel() > cancellations:
                raise
            course.break_off(replies.UPSTREAM_CLOSING)
        except Exception as error:  # noqa: BLE001 - an error of ours must cost nobody their mail
            log.upstream_failed(LOG, host=self.settings.name, error=error)
            course.break_off(replies.UPSTREAM_ERROR)
        finally:
            self._sending.discard(task)
            self._cut_off.discard(task)
            self._has_ended.set()
        return None

    async def _try(self, course: Course, *, as_probe: bool) -> Reply | None:
        """With a connection in turn; with a later one when upstream takes fewer of them than we wanted."""
        slots = self._pool.slots
        first = False
        while True:
            await slots.acquire(first=first)
            try:
                if not as_probe and self._health.condition is not Condition.UP:
                    course.was_not_begun = not first
                    return self.trouble  # it went down while we waited
                trouble = await self._follow(course)
                if trouble is None:
                    self._note_success()
                    return None
                if not (trouble.busy and course.may_be_repeated and self._pool.make_do()):
                    self._note_failure(trouble.reply, as_probe=as_probe)
                    course.trouble(trouble.reply)
                    return trouble.reply
            finally:
                slots.release()
            log.upstream_takes_fewer(LOG, host=self.settings.name, connections=slots.limit)
            course.start_over()
            first = True

    async def _follow(self, course: Course) -> UpstreamError | None:
        """Transaction after transaction, until everyone has an answer."""
        is_suspicious = False  # of the other kept connections, after one had ended
        while course.waiting:
            try:
                connection = await self._pool.take(fresh=is_suspicious)
            except UpstreamError as trouble:
                return trouble
            was_kept = connection.messages > 0
            trouble_met = await self._converse(course, connection)
            is_suspicious = trouble_met is not None
            if trouble_met is None:
                continue
            # A kept one may have ended while it lay idle. It never had the message, so nobody is told.
            if not (trouble_met.gone and was_kept and course.may_be_repeated):
                return trouble_met
            course.start_over()
        return None

    def _note_success(self) -> None:
        if self._health.succeeded():
            self._pool.slots.reset()
            log.upstream_up(LOG, upstream=self.name, host=self.settings.name)

    def _note_failure(self, reply: Reply, *, as_probe: bool) -> None:
        self._failed_at = self._clock()
        if self._health.failed(reply, time.monotonic(), as_probe=as_probe):
            log.upstream_down(
                LOG, upstream=self.name, host=self.settings.name, reply=reply, failures=self._health.failures
            )

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


def completed(offered: Offered, at: datetime) -> tuple[Outcome, ...]:
    """Nobody is left to ask: whoever has no outcome is put off."""
    known = tuple([outcome for outcome in offered.outcomes if outcome is not None])
    if len(known) == len(offered.outcomes):
        return known
    reply = offered.trouble or replies.UPSTREAM_UNREACHABLE
    rest = Outcome(status=Status.DEFERRED, reply=reply, host=offered.host, at=at, tls=offered.tls)
    return tuple(rest if outcome is None else outcome for outcome in offered.outcomes)


def presentable(reply: Reply, settings: UpstreamSettings) -> str:
    """An upstream's words without what no page should show: our password, and people's addresses."""
    text = f"{reply.code} {reply.enhanced} {reply.text}"
    if settings.password:
        text = text.replace(settings.password, "…")
    return MAIL_ADDRESS.sub("…", " ".join(text.split()))
