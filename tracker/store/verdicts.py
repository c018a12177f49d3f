"""Verdicts as time goes on: given with the hit, put right when later hits show more, made anew with new rules.

A hit's own verdict is given in its process at once (`of`). Some moments after it is on record the delivery's hits are
judged together; whatever a process did not live to see, the next look over the last minutes does (`catch_up`, which
runs by itself).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from tracker import log
from tracker.behaviour import PAGE_WITHIN, PROVISIONAL, Span
from tracker.errors import StoreError
from tracker.events import EventKind, Verdict, VerdictKind
from tracker.recent import Recent
from tracker.store import histories
from tracker.store.database import Database
from tracker.store.histories import Wanted
from tracker.verdict import MANY_NETWORKS, TOO_SOON_REASON, Address, Hit, Lists, classify, verdict

T = TypeVar("T")

_GATHER = 1.0
"""Seconds in which what is to be looked at gathers."""
_AT_ONCE = 64
"""Deliveries that are looked at together: hits wait behind each look."""
_MOST_WAITING = 100_000
"""Deliveries; beyond, the job sees to them."""
_WITHIN = 30.0
_LONGEST_PAUSE = 0.2
_PAGE = 500


@dataclass(slots=True)
class _Known:
    """What is known of a delivery beside its hits."""

    spreads: list[Span] = field(default_factory=list)
    visits: list[datetime] = field(default_factory=list)
    has_chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """How far a recomputation came: `after` is the last event that was looked at."""

    judged: int = 0
    changed: int = 0
    after: int


class Verdicts:
    """`of` a hit, then `stored` once it is on record. Close with `await close()`."""

    def __init__(self, database: Database, lists: Lists, *, gather: float = _GATHER) -> None:
        self._database = database
        self.lists = lists
        self._gather = gather
        self._recent = Recent()
        self._due: dict[bytes, datetime] = {}
        """What is to be looked at, and since when; `_known` is of few of them, so that the garbage collector has nothing
        to walk over."""
        self._known: dict[bytes, _Known] = {}
        self._clicked: dict[bytes, datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def of(self, hit: Hit, delivery: bytes, at: datetime) -> Verdict:
        """The verdict on a hit by itself, and by the networks this process saw around it."""
        found = classify(hit, self.lists)
        return self.located(found, hit.kind, hit.address, delivery, at) if hit.address else found

    def located(
        self, found: Verdict, kind: EventKind, address: str | Address, delivery: bytes, at: datetime
    ) -> Verdict:
        """What is found from user agent and time, in the light of where the hit came from."""
        if found.reasons and found.reasons != (TOO_SOON_REASON,):
            return found
        place, entry = self.lists.place(address)
        if entry is not None and entry.verdict is not None and kind in entry.kinds:
            return verdict((entry.verdict, entry.reason), too_soon=bool(found.reasons))
        spread = self._recent.note(delivery, place, at.timestamp()) if place is not None else None
        if spread is None:
            return found
        if self._wait_for(delivery, datetime.fromtimestamp(spread[0], UTC)):
            self._known_of(delivery).spreads.append(spread)
        return replace(found, kind=VerdictKind.SCANNER, reasons=(*found.reasons, MANY_NETWORKS))

    def stored(self, kind: EventKind, delivery: bytes, at: datetime, found: Verdict) -> None:
        """A hit went on record. It is looked at again where its neighbours may matter: a click, what came with one,
        and what came before upstream's word was on record."""
        clicked = self._clicked.get(delivery)
        if kind is EventKind.CLICKED:
            self._clicked[delivery] = at
            self._forget_clicks(at)
        elif (
            clicked is None or abs((at - clicked).total_seconds()) > PROVISIONAL
        ) and TOO_SOON_REASON not in found.reasons:
            return
        self._wait_for(delivery, at)

    def visited(self, delivery: bytes, at: datetime) -> None:
        """Somebody looked at the preference page of an identified delivery."""
        if self._wait_for(delivery, at):
            self._known_of(delivery).visits.append(at)

    def chose(self, delivery: bytes, at: datetime) -> None:
        """They made a choice there, as no machine does."""
        if self._wait_for(delivery, at):
            self._known_of(delivery).has_chosen = True

    async def close(self) -> None:
        """Looks at what waits still."""
        self._closing.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def catch_up(self, now: datetime, *, since: datetime) -> int:
        """Judges together whatever was hit since then; gives how many verdicts changed. Raises StoreError."""
        changed, after = 0, b""
        while ids := await self._database.read(
            partial(histories.hit_since, since=since, after=after, most=_AT_ONCE), within=_WITHIN
        ):
            changed += await self._look(ids, Wanted(since=since - timedelta(seconds=PROVISIONAL), now=now))
            after = ids[-1]
        await self._database.change(lambda connection: histories.forget_old_visits(connection, now))
        return changed

    async def recompute(
        self, *, every: bool = False, after: int = 0, tell: Callable[[Recomputed], None] = lambda _: None
    ) -> Recomputed:
        """Judges kept events by the present rules and lists: those that other rules judged, or all of them. May be
        broken off and begun again at any time, behind the event that `tell` was last told of. Raises StoreError."""
        done, kinds = Recomputed(after=after), self.lists.kinds
        while page := await self._database.read(
            partial(histories.judged_otherwise, after=done.after, most=_PAGE, every=every), within=_WITHIN
        ):
            for delivery in dict.fromkeys(delivery for _, delivery in page):
                until: datetime | None = None
                while True:
                    part = await self._gently(
                        partial(histories.judge_whole, id_=delivery, after=until, kinds=kinds)
                    )
                    until = part.until
                    done = replace(
                        done, judged=done.judged + part.judged, changed=done.changed + part.changed
                    )
                    if until is None:
                        break
            done = replace(done, after=page[-1][0])
            tell(done)
        return done

    # --- what waits ---

    def _wait_for(self, delivery: bytes, since: datetime) -> bool:
        """False where too many wait already."""
        before = self._due.get(delivery)
        if before is None and len(self._due) >= _MOST_WAITING:
            return False
        self._due[delivery] = since if before is None or since < before else before
        if self._task is None and not self._closing.is_set():
            self._task = asyncio.create_task(self._run())
        return True

    def _known_of(self, delivery: bytes) -> _Known:
        return self._known.setdefault(delivery, _Known())

    def _forget_clicks(self, now: datetime) -> None:
        if len(self._clicked) > _MOST_WAITING:
            fresh = now - timedelta(seconds=PROVISIONAL)
            self._clicked = {id_: at for id_, at in self._clicked.items() if at >= fresh}

    async def _run(self) -> None:
        try:
            while self._due:
                try:
                    await asyncio.wait_for(self._closing.wait(), self._gather)
                except TimeoutError:
                    pass
                due, self._due = self._due, {}
                known, self._known = self._known, {}
                ids = list(due)
                for start in range(0, len(ids), _AT_ONCE):
                    some = ids[start : start + _AT_ONCE]
                    since = min(due[id_] for id_ in some)
                    await self._review(some, since, {id_: known[id_] for id_ in some if id_ in known})
        finally:
            self._task = None

    async def _review(self, ids: Sequence[bytes], since: datetime, known: Mapping[bytes, _Known]) -> None:
        """The store away, or anything else: the job looks at them later."""
        visits = [(id_, at) for id_, one in known.items() if not one.has_chosen for at in one.visits]
        chosen = [id_ for id_, one in known.items() if one.has_chosen]
        try:
            if chosen:
                await self._database.change(partial(histories.forget_visits, ids=chosen), within=_WITHIN)
            if visits:
                await self._database.change(partial(histories.note_visits, visits=visits), within=_WITHIN)
            wanted = Wanted(
                since=since - timedelta(seconds=PAGE_WITHIN + 10),
                spreads={id_: one.spreads for id_, one in known.items() if one.spreads},
                now=datetime.now(UTC),
            )
            await self._look(ids, wanted)
        except StoreError:
            log.review_put_off(len(ids))

    async def _look(self, ids: Sequence[bytes], wanted: Wanted) -> int:
        """First without holding anybody up; mostly there is nothing to change."""
        kinds = self.lists.kinds
        began = time.monotonic()
        differing = await self._database.read(
            partial(histories.differing, ids=ids, wanted=wanted, kinds=kinds), within=_WITHIN
        )
        await _as_long_again(began)
        if not differing:
            return 0
        ordered = sorted(differing)
        return await self._gently(partial(histories.put_right, ids=ordered, wanted=wanted, kinds=kinds))

    async def _gently(self, work: Callable[[Connection], T]) -> T:
        """One transaction, then as much time for everybody else."""
        began = time.monotonic()
        done = await self._database.change(work, within=_WITHIN)
        await _as_long_again(began)
        return done


async def _as_long_again(began: float) -> None:
    """Leaves everybody else as much time as was taken since then."""
    await asyncio.sleep(min(time.monotonic() - began, _LONGEST_PAUSE))
