"""The flow of a hit: read the token, and the answer is fixed; then ask today's consent, and keep what it allows.

Whatever happens to the store, the answer leaves: a link in somebody's inbox must lead where it should. Nothing is
kept, counted or logged of a person who declined. Hits that come together are looked up together and kept together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from tracker import log
from tracker.clickid import click_id
from tracker.consent import Mode
from tracker.domain import Domain
from tracker.errors import StoreError, StoreUnavailable
from tracker.events import Event
from tracker.journal import Entry, Journal
from tracker.metrics import Sheet
from tracker.store.deliveries import Sent
from tracker.tokens import Kind, Token
from tracker.web.answers import PIXEL, with_parameter, with_suffix
from tracker.web.keeping import EVENTS, Counted, Facts, Heard, Keeping
from tracker.web.metrics import HitMetrics
from tracker.web.mistakes import Mistakes
from tracker.web.origin import Address, Proxies, Tells
from tracker.web.trouble import Trouble

__all__ = ["PIXEL", "Heard", "Hits", "with_suffix"]

_MOST_TOGETHER = 500
"""Hits that are looked up and kept together."""
_AT_ONCE = 1
"""Batches under way. More would each be smaller, and it is the number of commits that costs."""
_MOST_WAITING = 10_000
"""Hits that wait for the store; what comes beyond that does not wait for it."""


class Answer(Protocol):
    """Called once. `named`: the hit is known, in time, to be measured by name."""

    def __call__(self, *, named: bool) -> None: ...


class Hit:
    """A hit under way."""

    __slots__ = ("answer", "answered", "at", "due", "heard", "token")

    def __init__(self, token: Token, heard: Heard, answer: Answer, at: datetime, due: float) -> None:
        self.token = token
        self.heard = heard
        self.answer = answer
        self.at = at
        self.due = due
        self.answered = False

    def settle(self, *, named: bool = False) -> None:
        """Answers, unless that is done."""
        if not self.answered:
            self.answered = True
            self.answer(named=named)


class _Named(NamedTuple):
    """A hit that leaves an event."""

    hit: Hit
    event: Event
    facts: Facts


class Hits:
    """The two kinds of request that mail programs make. `late`, `lost`, `journaled` and `bad_tokens` count since the
    start."""

    def __init__(
        self,
        domain: Domain,
        journal: Journal,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        metrics: HitMetrics | None = None,
    ) -> None:
        self._domain = domain
        self._metrics = metrics or HitMetrics(Sheet())
        self._journal = journal
        self._clock = clock
        self._keeping = Keeping(domain)
        table = domain.config.tracker
        self.proxies = Proxies(table.trusted_proxies, Tells(table.proxy_header))
        self._trouble = Trouble()
        self._mistakes = Mistakes()
        self._arrived: deque[Hit] = deque()
        self._unanswered: deque[Hit] = deque()
        self._begin_soon: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._relieving: set[asyncio.Task[None]] = set()
        self.late = self.lost = self.journaled = self.bad_tokens = 0

    def verified(self, text: str, kind: Kind) -> Token | None:
        """What the token says; None when it is not one of ours of that kind. From here the answer is fixed."""
        return self._mistakes.read(text, kind, self._domain.ring)

    def needs_page(self, kind: Kind, client: Address | None) -> bool:
        """Of a token of that kind, which did not verify: is a page to say so? If not, that is all to it."""
        rate = self._domain.config.tracker.bad_token_rate
        if kind is Kind.CLICK and self._mistakes.may(client, rate):
            return True
        self.note_bad(kind)
        return False

    def gets_page(self, client: Address | None) -> bool:
        """Counts a page that says so, to whoever asks from there; False where it would be one too many."""
        return self._mistakes.made(client, self._domain.config.tracker.bad_token_rate)

    def note_bad(self, kind: Kind) -> None:
        """A token of that kind did not verify."""
        self.bad_tokens += 1
        self._metrics.bad_token()
        log.bad_token(kind.name.lower())

    def location(self, token: Token, *, named: bool) -> str:
        """Where a click leads: the author's destination; with the suffix and the click id, where the hit is known to
        be measured by name."""
        if not named:
            return token.destination
        location = with_suffix(token) if token.suffix else token.destination
        parameter = self._domain.config.click_id_parameter
        return (
            with_parameter(location, parameter, click_id(token, self._domain.ring)) if parameter else location
        )

    def take(self, token: Token, heard: Heard, answer: Answer) -> None:
        """Takes a hit down. `answer` is called when what it leaves behind is kept, or when it is time."""
        if token.mode is Mode.UNTRACKED:  # no copy has one: it is our own probe's
            answer(named=False)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + self._domain.config.tracker.answer_within
        hit = Hit(token, heard, answer, self._clock(), due)
        self._unanswered.append(hit)
        if self._alarm is None:
            self._alarm = loop.call_at(due, self._release)
        self._arrived.append(hit)
        if len(self._arrived) > _MOST_WAITING:
            self._relieve()
        elif self._begin_soon is None and len(self._running) < _AT_ONCE:
            self._begin_soon = loop.call_soon(self._begin)

    # --- the flow ---

    async def _flow(self, hits: Sequence[Hit]) -> None:
        """Look up, decide, judge, keep, answer."""
        try:
            sent = await self._keeping.look_up(
                {hit.token.subject for hit in hits if not _names_mailing(hit.token)}
            )
        except StoreUnavailable:
            await self._without_store(hits, "away")
            return
        except Exception as error:  # noqa: BLE001 - the answer is fixed already: nothing may change it now
            await self._each_alone(hits, error)
            return
        named: list[_Named] = []
        aside: list[tuple[Hit, Facts]] | None = [] if self._keeping.is_away else None
        keep = []
        for hit in hits:
            try:
                if _names_mailing(hit.token):
                    counting = self._keeping.count_aggregate(hit.token.subject, hit.at)
                    keep.append(self._kept(hit, Mode.AGGREGATE, counting))
                elif counted := self._decide(hit, sent.get(hit.token.subject), named, aside):
                    keep.append(self._kept(hit, counted.mode, self._keeping.count(counted)))
            except Exception as error:  # noqa: BLE001 - as above
                self._lose([hit], _word(error))
        if named:
            keep.append(self._record(named))
        if aside:
            keep.append(self._put_aside(aside, "away"))
        if keep:
            await (keep[0] if len(keep) == 1 else asyncio.gather(*keep))

    def _decide(
        self, hit: Hit, sent: Sent | None, named: list[_Named], aside: list[tuple[Hit, Facts]] | None
    ) -> Counted | None:
        """What today's consent leaves of it: an event, added to `named`, or where nothing can be written to `aside`;
        something to count; or nothing, and then its answer need not wait for the others."""
        kind, token = EVENTS[hit.token.kind], hit.token
        decision, reading = self._keeping.decide(kind, sent)
        if decision.mode is Mode.UNTRACKED or sent is None:
            hit.settle()
            return None
        if decision.mode is not Mode.IDENTIFIED:
            verdict = self._keeping.verdict(kind, hit.at, sent, hit.heard)
            return Counted(decision.mode, kind, token.link, hit.at, sent, verdict)
        facts = self._keeping.facts(kind, hit.heard)
        if aside is not None:
            aside.append((hit, facts))
            return None
        event = self._keeping.event(kind, token.link, hit.at, sent, reading, facts, hit.heard)
        named.append(_Named(hit, event, facts))
        return None

    async def _record(self, named: Sequence[_Named]) -> None:
        """Writes events, in one transaction shared with whoever else is waiting."""
        try:
            await self._keeping.record([one.event for one in named])
        except StoreUnavailable:
            await self._put_aside([(one.hit, one.facts) for one in named], "away")
        except Exception as error:  # noqa: BLE001 - as above
            if len(named) == 1:
                self._lose([named[0].hit], _word(error))
            for one in named if len(named) > 1 else ():  # one that cannot be kept is only its own loss
                await self._record([one])
        else:
            self._metrics.kept(Mode.IDENTIFIED, len(named))
            for one in named:
                one.hit.settle(named=True)

    async def _kept(self, hit: Hit, mode: Mode, keeping: Awaitable[None]) -> None:
        try:
            await keeping
        except Exception as error:  # noqa: BLE001 - as above
            self._lose([hit], _word(error))
        else:
            self._metrics.kept(mode)
            hit.settle()

    async def _each_alone(self, hits: Sequence[Hit], error: Exception) -> None:
        """A row that cannot be read takes nobody else's hit with it."""
        if len(hits) == 1:
            self._lose(hits, _word(error))
            return
        for hit in hits:
            await self._flow([hit])

    # --- without the store ---

    async def _without_store(self, hits: Sequence[Hit], reason: str) -> None:
        """Nobody knows what consent says today. Of who was measured by name when the mail was sent, it is asked
        later; the others' hits must not wait anywhere."""
        named = [hit for hit in hits if hit.token.mode is Mode.IDENTIFIED]
        self._lose([hit for hit in hits if hit.token.mode is not Mode.IDENTIFIED], reason)
        if named:
            await self._put_aside(
                [(hit, self._keeping.facts(EVENTS[hit.token.kind], hit.heard)) for hit in named], reason
            )

    async def _put_aside(self, hits: Sequence[tuple[Hit, Facts]], reason: str) -> None:
        """Into the journal, as far as there is room."""
        taken = await self._journal.append(
            [
                Entry(
                    kind=EVENTS[hit.token.kind],
                    delivery=hit.token.subject,
                    link=hit.token.link,
                    at=hit.at,
                    country=self._keeping.country(hit.heard),
                    facts=facts.text,
                )
                for hit, facts in hits
            ]
        )
        self.journaled += taken
        self._metrics.journaled(taken)
        self._trouble.journaled(taken)
        for hit, _ in hits[:taken]:
            hit.settle()
        self._lose([hit for hit, _ in hits[taken:]], reason)

    def _relieve(self) -> None:
        """More come than the store can take: the oldest that wait go the way they would if it were away."""
        task = asyncio.create_task(self._without_store(self._next_batch(), "crowded"))
        self._relieving.add(task)
        task.add_done_callback(self._relieving.discard)

    def _lose(self, hits: Sequence[Hit], reason: str) -> None:
        for hit in hits:
            self.lost += 1
            self._metrics.lost()
            self._trouble.lost(reason)
            hit.settle()

    # --- in time ---

    def _begin(self) -> None:
        """What has arrived since is the next batch."""
        self._begin_soon = None
        while self._arrived and len(self._running) < _AT_ONCE:
            task = asyncio.create_task(self._flow(self._next_batch()))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _next_batch(self) -> list[Hit]:
        arrived = self._arrived
        return [arrived.popleft() for _ in range(min(len(arrived), _MOST_TOGETHER))]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        unanswered = self._unanswered
        while unanswered and unanswered[0].answered:
            unanswered.popleft()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.request_failed(type(error).__name__)
        self._begin()

    def _release(self) -> None:
        """Answers whoever has waited long enough. What their hits leave behind is kept all the same."""
        self._alarm = None
        loop = asyncio.get_running_loop()
        now, unanswered = loop.time(), self._unanswered
        while unanswered and (unanswered[0].answered or unanswered[0].due <= now):
            hit = unanswered.popleft()
            if not hit.answered:
                self.late += 1
                self._metrics.late()
                self._trouble.late()
                hit.settle()
        if unanswered:
            self._alarm = loop.call_at(unanswered[0].due, self._release)

    async def close(self) -> None:
        """Waits for what was answered before it was kept."""
        while self._arrived or self._running or self._relieving:
            await asyncio.sleep(0)
            await asyncio.gather(*self._running, *self._relieving, return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._trouble.tell()


def _names_mailing(token: Token) -> bool:
    """An aggregate pixel: it names nobody, and there is nobody to ask."""
    return token.mode is Mode.AGGREGATE and token.kind is Kind.OPEN


def _word(error: Exception) -> str:
    """Why a hit was lost, for the totals."""
    if isinstance(error, StoreUnavailable):
        return "away"
    return "refused" if isinstance(error, StoreError) else type(error).__name__
