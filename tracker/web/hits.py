"""The flow of a hit: read the token, and the answer is fixed; then ask today's consent, and keep what it allows.

Whatever happens to the store, the answer leaves: a link in somebody's inbox must lead where it should. Nothing is
kept, counted or logged of a person who declined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from aiohttp import web

from tracker import log
from tracker.consent import Decision, Mode, Question, Reading, decide, narrow, untracked
from tracker.device import device_of
from tracker.domain import Domain
from tracker.errors import StoreError, StoreUnavailable, TokenError
from tracker.events import Device, Event, EventKind
from tracker.metrics import Sheet
from tracker.store import counts, events
from tracker.store.deliveries import Sent
from tracker.tokens import Kind, Token, read
from tracker.verdict import MACHINES, Hit, classify
from tracker.web.metrics import HitMetrics
from tracker.web.trouble import Trouble

PIXEL = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)
"""A transparent GIF of one pixel, 43 octets."""
_EVENTS = {Kind.OPEN: EventKind.OPENED, Kind.CLICK: EventKind.CLICKED}


class _Heard(NamedTuple):
    """What the request said of itself, and what of it the policy lets an event keep."""

    user_agent: str
    address: str
    device_may_be_kept: bool
    place_may_be_kept: bool


class Hits:
    """The two handlers that mail clients meet. `late`, `lost` and `bad_tokens` count since the start."""

    def __init__(
        self,
        domain: Domain,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        metrics: HitMetrics | None = None,
    ) -> None:
        self._domain = domain
        self._metrics = metrics or HitMetrics(Sheet())
        self._clock = clock
        self._running: set[asyncio.Task[Decision]] = set()
        self._trouble = Trouble()
        self.late = self.lost = self.bad_tokens = 0

    async def open(self, request: web.Request) -> web.Response:
        """`GET /o/TOKEN.gif`: the pixel, whatever the token."""
        token = self._read(request.match_info["token"].removesuffix(".gif"), Kind.OPEN)
        if token is not None and request.method == "GET":
            await self._in_time(token, request)
        return web.Response(
            body=PIXEL, content_type="image/gif", headers={"Cache-Control": "no-store, private"}
        )

    async def click(self, request: web.Request) -> web.Response:
        """`GET /c/TOKEN`: the author's destination, byte for byte; 404 when the token does not verify."""
        token = self._read(request.match_info["token"], Kind.CLICK)
        if token is None:
            raise web.HTTPNotFound
        decision = None
        if request.method == "GET":
            decision = await self._in_time(token, request)
        location = token.destination
        if decision is not None and decision.mode is Mode.IDENTIFIED and token.suffix:
            location = with_suffix(token)
        headers = {"Location": location, "Cache-Control": "no-store"}
        if self._domain.config.tracker.referrer_policy:
            headers["Referrer-Policy"] = self._domain.config.tracker.referrer_policy
        return web.Response(status=302, headers=headers)

    async def close(self) -> None:
        """Waits for what was answered before its commit."""
        await asyncio.gather(*self._running, return_exceptions=True)
        self._trouble.tell()

    def _read(self, text: str, kind: Kind) -> Token | None:
        try:
            token = read(text, self._domain.ring)
        except TokenError:
            token = None
        if token is not None and token.kind is kind:
            return token
        self.bad_tokens += 1
        self._metrics.bad_token()
        log.bad_token(kind.name.lower())
        return None

    async def _in_time(self, token: Token, request: web.Request) -> Decision | None:
        """Takes the hit down and gives its decision; None when that takes longer than an answer may."""
        if token.mode is Mode.UNTRACKED:  # no copy has one: it is our own probe's
            return None
        user_agent, address = request.headers.get("User-Agent", ""), request.remote or ""
        task = asyncio.create_task(self._take(token, user_agent, address))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=self._domain.config.tracker.answer_within)
        if done:
            return task.result()
        self.late += 1
        self._metrics.late()
        self._trouble.late()
        return None

    async def _take(self, token: Token, user_agent: str, address: str) -> Decision:
        now = self._clock()
        try:
            if token.mode is Mode.AGGREGATE and token.kind is Kind.OPEN:  # it names the mailing, and nobody
                await self._count_aggregate(token.subject, now)
                self._metrics.kept(Mode.AGGREGATE)
                return untracked("aggregate")
            sent = await self._domain.deliveries.sent(token.subject)
            if sent is None:
                return untracked("no-such-delivery")
            reading = self._domain.policy.reading(sent.circumstances())
            decision = _decide(sent, token.kind, reading)
            heard = _Heard(user_agent, address, reading.device, reading.place)
            await self._keep(decision, sent, token, heard, now)
            self._metrics.kept(decision.mode)
        except StoreError as error:
            return self._lose("away" if isinstance(error, StoreUnavailable) else "refused")
        except Exception as error:  # noqa: BLE001 - the answer is fixed already: nothing may change it now
            return self._lose(type(error).__name__)
        return decision

    def _lose(self, reason: str) -> Decision:
        self.lost += 1
        self._metrics.lost()
        self._trouble.lost(reason)
        return untracked("store-unavailable")

    async def _keep(self, decision: Decision, sent: Sent, token: Token, heard: _Heard, now: datetime) -> None:
        """Writes what the mode leaves behind, and nothing else."""
        database, kind = self._domain.database, _EVENTS[token.kind]
        user_agent, address = heard.user_agent, heard.address
        hit = Hit(kind=kind, user_agent=user_agent, address=address, since_accepted=_since(sent, now))
        if decision.mode is Mode.IDENTIFIED:
            verdict = self._domain.verdicts.of(hit, sent.delivery_id, now)
            event = Event(
                kind=kind,
                at=now,
                message=sent.message_id,
                delivery=sent.delivery_id,
                link=token.link or None,
                verdict=verdict,
                device=device_of(user_agent) if heard.device_may_be_kept else Device(),
                country=self._domain.countries.of(address) if heard.place_may_be_kept else "",
            )
            await database.write(events.recording(event))
            self._domain.verdicts.stored(kind, sent.delivery_id, now, verdict)
        elif decision.mode is Mode.ANONYMOUS:
            min_group = self._domain.config.anonymity.min_group
            await database.change(
                counts.counting_anonymous(sent, kind, token.link, now, self._domain.ring, min_group)
            )
        elif decision.mode is Mode.AGGREGATE:
            await self._count_aggregate(sent.mailing_id, now)
        elif decision.mode is Mode.HYGIENE and sent.contact.id is not None:
            verdict = classify(hit, self._domain.verdicts.lists)
            if verdict.kind not in MACHINES:  # a prefetch is no sign of life
                await database.write(counts.noting_hygiene(sent.contact.id, now))

    async def _count_aggregate(self, mailing: bytes, now: datetime) -> None:
        domain = self._domain
        await domain.database.change(
            counts.counting_aggregate(mailing, now, domain.ring, domain.config.anonymity.min_group)
        )


def _decide(sent: Sent, kind: Kind, reading: Reading) -> Decision:
    """What today's consent leaves of what the copy was sent under, for this kind of hit."""
    today = decide(
        Question(
            contact=sent.contact,
            reading=reading,
            opens=sent.decision.opens,
            clicks=sent.decision.clicks,
            override=sent.decision.override,
        )
    )
    allowed = narrow(sent.decision, today)
    measured = allowed.opens if kind is Kind.OPEN else allowed.clicks
    return allowed if measured else untracked(allowed.reason)


def with_suffix(token: Token) -> str:
    """The destination with its suffix in the query: before the fragment, joined by `?` or `&`."""
    url, mark, fragment = token.destination.partition("#")
    suffix = token.suffix.lstrip("?&")
    joint = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{joint}{suffix}{mark}{fragment}"


def _since(sent: Sent, now: datetime) -> float | None:
    """Seconds since upstream took the mail."""
    if sent.accepted_at is None:
        return None
    elapsed: timedelta = now - sent.accepted_at
    return elapsed.total_seconds()
