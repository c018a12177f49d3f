"""What one delivery adds to each number that reports show. Pure.

A rollup is a sum over deliveries, and this is its only definition: what is added when a delivery is rolled up, taken
back before it changes, counted live while it waits, and counted anew by a rebuild. A cell is a subject (`b"m"` and a
message, `b"c"` and a mailing with its variant, `b"d"` a day's mail, `b"q"` a quarter hour's), a measure, a slot of
time and a key; nothing in it points at a delivery.

Slots are numbers of days or quarter hours since 1970: every time zone's offset is a multiple of the latter. Under a day
or quarter hour stands what became of the mail that *came in* then; measures of `TIMED` stand under the time when
it happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tracker.consent import Mode
from tracker.events import EventKind, VerdictKind
from tracker.verdict import MACHINES

US = "\x1f"
"""Between the parts of a key; free text stands last."""
QUARTER, DAY = 900, 86400
"""Seconds."""
LARGE = 10
"""Recipients from which a message has cells of its own; smaller ones, and splits of any, are counted when asked for."""
ONE_VIEW = 30.0
"""Seconds from a first open in which others are the same look."""
HUMAN = (VerdictKind.PERSON.value, VerdictKind.PROXY.value)
"""Verdicts that count as people; the others stand beside them."""
DELIVERED = ("accepted", "complained")
"""States of what arrived: who complains has it."""
IMPLIED, ANY = "implied", "any"
"""Beside the kinds of events: a click where no open was seen, and any sign of life."""
TOTAL, MACHINE, DOUBTFUL, FIRST, VIEW = "total", "machines", "unsure", "first", "looks"
DEVICES = ("client", "device", "system", "country")
_OPENED, _CLICKED = EventKind.OPENED.value, EventKind.CLICKED.value
_IDENTIFIED = Mode.IDENTIFIED.value
_CLASSES = dict.fromkeys(HUMAN, TOTAL) | dict.fromkeys(MACHINES, MACHINE)

Cell = tuple[bytes, str, int, str]
"""Subject, measure, slot, key."""
Amount = tuple[str, str, int]
"""Measure, key, how many."""


class Sent(NamedTuple):
    """What is known of a delivery's message."""

    message: bytes
    mailing: bytes
    variant: str
    received: int
    """Unix seconds."""
    recipients: int
    """As it was sent to; the purge and an erasure do not change it."""


class Facts(NamedTuple):
    """What became of a delivery."""

    status: str
    mode: str
    reason: str
    domain: str
    group: str
    accepted: float | None
    """Unix seconds."""
    reply: str
    """Code and enhanced code of upstream's last word, where it did not arrive; `""` where nothing was said."""


class Hit(NamedTuple):
    """An event of a delivery."""

    kind: str
    at: float
    link: int
    verdict: str
    client: str
    device: str
    system: str
    country: str


def key(*parts: object) -> str:
    return US.join(map(str, parts))


def of_mailing(mailing: bytes, variant: str = "") -> bytes:
    return b"c" + mailing + variant.encode()


def of_message(message: bytes) -> bytes:
    return b"m" + message


_FIGURES, _LINKS, _SPLITS = 1, 2, 4
"""What is kept of a subject: states, hits and people; links; and the mail split by domain, group, device and so on. The
more it is about, the more it may be split."""
_KEPT = {
    b"q": _FIGURES,
    b"d": _FIGURES | _SPLITS,
    b"c": _FIGURES | _LINKS | _SPLITS,
    b"m": _FIGURES | _LINKS,
}
FIGURES = frozenset({"state", "hits", "people", "arrived", "views"})
LINKS = frozenset({"link:people", "link:hits"})


def headings(sent: Sent, *, alone: bool = False) -> Iterator[tuple[bytes, int, int]]:
    """Subjects, slots, and what is kept there of what became of a message; with `alone` everything, and the message
    only."""
    if alone:
        yield of_message(sent.message), 0, _EVERYTHING
        return
    yield b"q", sent.received // QUARTER, _KEPT[b"q"]
    yield b"d", sent.received // DAY, _KEPT[b"d"]
    yield of_mailing(sent.mailing, sent.variant), 0, _KEPT[b"c"]
    if sent.recipients >= LARGE:
        yield of_message(sent.message), 0, _KEPT[b"m"]


_EVERYTHING = _FIGURES | _LINKS | _SPLITS


def add(
    cells: Counter[Cell],
    sent: Sent,
    facts: Facts,
    hits: Sequence[Hit],
    sign: int = 1,
    *,
    alone: bool = False,
) -> None:
    """Adds what one delivery comes to; with -1 takes it back. `hits` in the order they happened. With `alone` only to
    its message, and more than is kept there."""
    human = [hit for hit in hits if hit.verdict in HUMAN]
    grades = (
        (_FIGURES, list(_in_figures(facts, hits, human))),
        (_LINKS, list(_by_link(human)) if human else []),
        (_SPLITS, list(_split(facts, hits, human))),
    )
    for subject, slot, kept in headings(sent, alone=alone):
        for grade, amounts in grades:
            if kept & grade:
                for measure, under, n in amounts:
                    cells[subject, measure, slot, under] += sign * n
    own = of_message(sent.message) if alone else of_mailing(sent.mailing, sent.variant)
    for grain, measure, when, under, n in timed(facts, hits, human):
        cells[own, measure, when, under] += sign * n
        if not alone:
            cells[grain, measure, when, under] += sign * n


# --- without time ---


def _is_measured(facts: Facts) -> bool:
    return facts.status in DELIVERED and facts.mode == _IDENTIFIED


def _in_figures(facts: Facts, hits: Sequence[Hit], human: Sequence[Hit]) -> Iterator[Amount]:
    yield "state", key(facts.status, facts.mode, facts.reason), 1
    for pair, n in Counter((hit.kind, hit.verdict) for hit in hits).items():
        yield "hits", key(*pair), n
    if not human:
        return
    kinds = {hit.kind for hit in human}
    for kind in kinds:
        yield "people", kind, 1
    if _is_measured(facts):
        for kind in kinds:
            yield "arrived", kind, 1
        yield "arrived", ANY, 1
        if _OPENED not in kinds:
            yield "arrived", IMPLIED, 1
    if seen := views(_opens(human)):
        yield "views", _OPENED, len(seen)


def _by_link(human: Sequence[Hit]) -> Iterator[Amount]:
    for link, times in Counter(hit.link for hit in human if hit.kind == _CLICKED).items():
        yield "link:people", key(_CLICKED, link), 1
        yield "link:hits", key(_CLICKED, link), times


def _split(facts: Facts, hits: Sequence[Hit], human: Sequence[Hit]) -> Iterator[Amount]:
    measured = _is_measured(facts)
    named = ("domain", facts.domain), ("group", facts.group)
    for dimension, value in named:
        yield f"{dimension}:state", key(facts.status, int(measured), value), 1
    if facts.reply and facts.status not in DELIVERED:
        yield "reply", key(facts.reply, facts.domain), 1
    for kind, verdict in {(hit.kind, hit.verdict) for hit in hits}:
        yield "verdict:people", key(kind, verdict), 1
    for kind, n in Counter(hit.kind for hit in human).items():
        for dimension, value in named:
            under = key(kind, value)
            yield f"{dimension}:people", under, 1
            yield f"{dimension}:hits", under, n
            if measured:
                yield f"{dimension}:arrived", under, 1
    for place, (people, raw) in enumerate(_DEVICE_MEASURES, start=Hit._fields.index("client")):
        for (of, what), times in Counter((hit.kind, hit[place]) for hit in human).items():
            under = key(of, what)
            yield people, under, 1
            yield raw, under, times
    if measured and human:
        yield from _waited(facts, human)


_DEVICE_MEASURES = [(f"{name}:people", f"{name}:hits") for name in DEVICES]


def _waited(facts: Facts, human: Sequence[Hit]) -> Iterator[Amount]:
    """How long after upstream took it each kind came first, in two digits."""
    if facts.accepted is None:
        return
    for kind, at in _firsts(human).items():
        yield "waited", key(kind, two_digits(int(max(0.0, at - facts.accepted)))), 1


def two_digits(seconds: int) -> int:
    """Rounded down to two digits that count: 0 to 99, 100, 110, …, 1000, 1100, …"""
    unit = 1
    while seconds >= 100 * unit:
        unit *= 10
    return seconds // unit * unit


def _firsts(human: Iterable[Hit]) -> Mapping[str, float]:
    """When each kind of thing was done first."""
    found: dict[str, float] = {}
    for hit in human:
        found.setdefault(hit.kind, hit.at)
    return found


def views(opens: Iterable[float]) -> list[float]:
    """When each look at the mail began, of opens by people in the order they happened."""
    begun: list[float] = []
    for at in opens:
        if not begun or at - begun[-1] > ONE_VIEW:
            begun.append(at)
    return begun


def _opens(human: Iterable[Hit]) -> Iterator[float]:
    return (hit.at for hit in human if hit.kind == _OPENED)


# --- with time ---


def timed(
    facts: Facts, hits: Sequence[Hit], human: Sequence[Hit]
) -> Iterator[tuple[bytes, str, int, str, int]]:
    """What happened when: the grain that stands for all mail, measure, slot, key, how many."""
    if facts.accepted is not None and facts.status in DELIVERED:
        yield b"q", "delivered", int(facts.accepted // QUARTER), "", 1
    if not hits:
        return
    counted = Counter((int(hit.at // QUARTER), hit.kind, _CLASSES.get(hit.verdict, DOUBTFUL)) for hit in hits)
    for (slot, kind, measure), n in counted.items():
        yield b"q", measure, slot, kind, n
    for kind, at in _firsts(human).items():
        yield b"q", FIRST, int(at // QUARTER), kind, 1
    for at in views(_opens(human)):
        yield b"q", VIEW, int(at // QUARTER), _OPENED, 1
    for kind in {hit.kind for hit in human}:
        before = ""
        for day in sorted({int(hit.at // DAY) for hit in human if hit.kind == kind}):
            yield b"d", "day", day, f"{kind}{US}{before}", 1
            before = str(day)


# --- what is carried of those that are gone ---


class Gone(NamedTuple):
    """A row of carried_totals."""

    measure: str
    kind: str
    verdict: str
    link: int
    day: int
    """-1 where none is kept."""


def add_carried(cells: Counter[Cell], sent: Sent, gone: Gone, n: int, *, alone: bool = False) -> None:
    """Adds what was carried of a message's events."""
    for subject, slot, kept in headings(sent, alone=alone):
        if gone.measure == "hits":
            cells[subject, "hits", slot, key(gone.kind, gone.verdict)] += n
            if gone.day >= 0 and kept & _SPLITS:
                past = key(gone.kind, _CLASSES.get(gone.verdict, DOUBTFUL))
                cells[subject, "past", gone.day, past] += n
            if gone.link and gone.verdict in HUMAN and kept & _LINKS:
                cells[subject, "link:hits", slot, key(gone.kind, gone.link)] += n
        elif not gone.link:
            cells[subject, CARRIED[gone.measure], slot, gone.kind] += n
        elif kept & _LINKS:
            cells[subject, "link:people", slot, key(gone.kind, gone.link)] += n


CARRIED = {"people": "people", "delivered": "arrived", "signs": "arrived", "views": "views"}
"""What a carried measure without a link is a part of."""


def add_settled(
    cells: Counter[Cell], sent: Sent, status: str, mode: str, reason: str, n: int, *, alone: bool = False
) -> None:
    """Adds what was carried of a message's deliveries."""
    for subject, slot, _kept in headings(sent, alone=alone):
        cells[subject, "state", slot, key(status, mode, reason)] += n
