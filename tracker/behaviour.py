"""Person or machine: what the hits of one delivery tell together. Pure.

No gateway publishes its addresses, and what it calls itself is a browser's name; but nobody follows three links within
seconds. Rules run over stored events, so that all nodes agree, and what a later hit shows counts for the earlier ones
too. They ask for nothing that is not on record: what a request said of itself stands in its event's reasons.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tracker.events import EventKind, Verdict, VerdictKind
from tracker.verdict import MANY_NETWORKS, NO_AGENT, RULES, TOO_SOON, TOO_SOON_REASON, verdict

PROVISIONAL = 120.0
"""Seconds after a hit in which its verdict may change; no rule looks further."""
LINKS, LINKS_WITHIN = 3, 10.0
"""So many different links of one delivery within so many seconds are no person's."""
PAGE_WITHIN = 60.0
"""Seconds between a look at the preference page and another link: whoever follows both follows everything."""
NETWORKS, NETWORKS_WITHIN = 3, 120.0
RUN_ON = 2.0
"""Seconds within which a run goes on that began before anybody could have read."""
HAND = 0.5
"""Seconds that a hand needs at least from one link to another."""

BURST, RUNS_ON, PAGE_TOO, TWO_AT_ONCE = "link-burst", "run-on", "preferences-too", "two-at-once"
_RECOMPUTED = frozenset({TOO_SOON_REASON, BURST, RUNS_ON, TWO_AT_ONCE})
_OURS = {NO_AGENT: VerdictKind.SCANNER}

Span = tuple[float, float]
"""From, to; Unix seconds."""
Kinds = Mapping[tuple[str, EventKind], VerdictKind]
"""What the reasons of the lists say; `tracker.verdict.Lists.kinds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A hit as it is on record."""

    kind: EventKind
    at: float
    link: int | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of one delivery's hits; times are Unix seconds."""

    hits: Sequence[Seen]
    """In order of time."""
    accepted_at: float | None
    """When upstream took the mail."""
    visits: Sequence[float] = ()
    """Looks at the preference page that led to no choice, in order of time."""
    visits_since: float = float("inf")
    """From when on all of them are known; what was concluded from earlier ones stays."""
    spreads: Sequence[Span] = ()
    """Times in which hits came from many networks. What was concluded from earlier ones stays."""


def judge(history: History, kinds: Kinds) -> list[Verdict]:
    """The verdict on each hit, in the order of `history.hits`."""
    hits = history.hits
    spoken = [_spoken(hit, kinds) for hit in hits]
    too_soon = [_too_soon(hit, history.accepted_at) for hit in hits]
    more: list[list[str]] = [[] for _ in hits]
    times = [hit.at for hit in hits]
    _mark(more, times, _bursts(hits), BURST)
    _mark(more, times, history.spreads, MANY_NETWORKS)
    _mark_visited(more, times, history)
    for index in _running_on(hits, spoken, too_soon):
        more[index].append(RUNS_ON)
    for index, hit in enumerate(hits):
        more[index] = list(dict.fromkeys((*more[index], *_standing(hit, history))))
    hasty = _two_at_once(hits)
    return [
        _verdict(hit, one, soon, reasons, index in hasty)
        for index, (hit, one, soon, reasons) in enumerate(zip(hits, spoken, too_soon, more, strict=True))
    ]


def _verdict(
    hit: Seen, spoken: tuple[VerdictKind, str] | None, too_soon: bool, more: Sequence[str], hasty: bool
) -> Verdict:
    found = verdict(spoken, too_soon=too_soon, more=more)
    if hasty and found.kind is VerdictKind.PERSON:
        found = Verdict(kind=VerdictKind.UNSURE, reasons=(TWO_AT_ONCE,), rules=RULES)
    return found


def _spoken(hit: Seen, kinds: Kinds) -> tuple[VerdictKind, str] | None:
    """What the request said of itself: the one reason that is no conclusion of these rules. One that the lists do not
    know any more keeps its verdict."""
    for reason in hit.verdict.reasons:
        if reason in _RECOMPUTED or reason in (MANY_NETWORKS, PAGE_TOO):
            continue
        kind = _OURS.get(reason) or kinds.get((reason, hit.kind)) or hit.verdict.kind
        return kind, reason
    return None


def _standing(hit: Seen, history: History) -> Iterable[str]:
    """Conclusions whose grounds are gone by now, and which therefore stand."""
    for reason in hit.verdict.reasons:
        if reason == MANY_NETWORKS or (reason == PAGE_TOO and hit.at < history.visits_since):
            yield reason


def _too_soon(hit: Seen, accepted_at: float | None) -> bool:
    return accepted_at is None or hit.at - accepted_at < TOO_SOON


def _bursts(hits: Sequence[Seen]) -> list[Span]:
    """All times that lie with clicks on `LINKS` different links within `LINKS_WITHIN` seconds. In order of time."""
    spans: list[Span] = []
    latest: OrderedDict[int | None, float] = OrderedDict()
    for hit in hits:
        if hit.kind is not EventKind.CLICKED:
            continue
        latest[hit.link] = hit.at
        latest.move_to_end(hit.link)
        while next(iter(latest.values())) < hit.at - LINKS_WITHIN:
            latest.popitem(last=False)
        if len(latest) >= LINKS:
            backwards = reversed(latest.values())
            began = [next(backwards) for _ in range(LINKS)][-1]
            spans.append((hit.at - LINKS_WITHIN, began + LINKS_WITHIN))
    return spans


def _mark(more: list[list[str]], times: Sequence[float], spans: Iterable[Span], reason: str) -> None:
    """Puts the reason to every hit within one of the spans, once."""
    for begin, end in _joined(spans):
        for index in range(bisect_left(times, begin), bisect_right(times, end)):
            more[index].append(reason)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same without overlaps."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((begin, end))
    return joined


def _mark_visited(more: list[list[str]], times: Sequence[float], history: History) -> None:
    """A look at the preference page and a click within a minute; and what lies between them, or goes on with them."""
    clicks = [hit.at for hit in history.hits if hit.kind is EventKind.CLICKED]
    spans: list[Span] = []
    for visit in history.visits:
        near = clicks[bisect_left(clicks, visit - PAGE_WITHIN) : bisect_right(clicks, visit + PAGE_WITHIN)]
        if near:
            spans.append((min(visit, near[0]) - RUN_ON, max(visit, near[-1]) + RUN_ON))
    _mark(more, times, spans, PAGE_TOO)


def _running_on(
    hits: Sequence[Seen], spoken: Sequence[tuple[VerdictKind, str] | None], too_soon: Sequence[bool]
) -> Iterable[int]:
    """Hits that go on where one began that nobody can have made. The same link again may be a person's, whose click
    was looked into."""
    last = float("-inf")
    met: set[tuple[EventKind, int | None]] = set()
    for index, hit in enumerate(hits):
        if hit.at - last > RUN_ON:
            met.clear()
        what = hit.kind, hit.link
        if too_soon[index]:
            last = hit.at
            met.add(what)
        elif met and spoken[index] is None and what not in met:
            last = hit.at
            met.add(what)
            yield index


def _two_at_once(hits: Sequence[Seen]) -> set[int]:
    """Clicks on two different links, quicker than a hand is; a double click is one link twice."""
    found: set[int] = set()
    clicks = [(index, hit) for index, hit in enumerate(hits) if hit.kind is EventKind.CLICKED]
    for (before, one), (after, other) in pairwise(clicks):
        if one.link != other.link and other.at - one.at < HAND:
            found |= {before, after}
    return found
