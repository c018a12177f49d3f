"""Who earns a conversion: the models that share it out among the mail that came before. Pure.

A message is one touchpoint, however often it was opened: its latest click stands for it, else its latest open. Only
what a person did within the window before the conversion earns, and only what consent admits: what was done under a
mode that names nobody earns for message and group, without person and link. Shares are exact fractions; whole numbers
are shared out by largest remainder, so that the parts add up to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from tracker.consent import Mode
from tracker.events import EventKind, VerdictKind

HALF_LIFE = timedelta(days=7)
"""In `time-decay`: a touchpoint so much older weighs half."""
WHOLE = 1_000_000
"""Credit is kept and added up in millionths of a conversion."""
_PEOPLE = (VerdictKind.PERSON, VerdictKind.PROXY)
_EARNING = (Mode.IDENTIFIED, Mode.ANONYMOUS)
_FIRST, _MIDDLE, _LAST = Fraction(2, 5), Fraction(1, 5), Fraction(2, 5)


class Model(StrEnum):
    """How a conversion is shared out."""

    LAST_CLICK = "last-click"
    """To the latest click, else the latest open."""
    LAST_ACTIVITY = "last-activity"
    """To the latest open or click."""
    ALL_MESSAGES = "all-messages"
    """Wholly to every message opened or clicked: the sum may exceed what there was."""
    FIRST_CLICK = "first-click"
    """To the first click; without one, to nobody."""
    LINEAR = "linear"
    """To all messages alike."""
    TIME_DECAY = "time-decay"
    """To all messages, halved for each `HALF_LIFE` of age."""
    POSITION = "position"
    """40 % to the first message, 40 % to the last, the rest to those between; to two, half each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """An open or a click."""

    kind: EventKind
    at: datetime
    message: bytes
    group: str = ""
    link: int = 0
    """0: none."""
    delivery: bytes | None = None
    verdict: VerdictKind = VerdictKind.PERSON
    mode: Mode = Mode.IDENTIFIED
    """What consent admits of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What a message earned. `delivery` None and `link` 0 where it may not be told who did what."""

    message: bytes
    group: str
    link: int
    delivery: bytes | None
    share: Fraction


def attribute(touches: Sequence[Touch], at: datetime, model: Model, window: timedelta) -> tuple[Credit, ...]:
    """Shares of a conversion at `at`, in the order of their touchpoints; they add up to 1, but in `all-messages`, where
    each is 1. Empty where nothing earns: then the conversion is attributed to nobody."""
    earning = sorted((one for one in touches if earns(one, at, window)), key=_order)
    return tuple(_credit(touch, share) for touch, share in _shares(earning, at, model) if share)


def earns(touch: Touch, at: datetime, window: timedelta) -> bool:
    """Whether it may have part in a conversion at `at`: a person's, admitted, before it and not too long before."""
    return touch.verdict in _PEOPLE and touch.mode in _EARNING and timedelta(0) <= at - touch.at <= window


def that_matter(touches: Sequence[Touch]) -> list[Touch]:
    """Those of the touches that any model looks at: of each message its first and latest click and its latest open."""
    line = sorted(touches, key=_order)
    kept: dict[tuple[bytes, str], int] = {}
    for place, one in enumerate(line):
        kept[one.message, one.kind.value] = place
        if one.kind is EventKind.CLICKED:
            kept.setdefault((one.message, "first"), place)
    return [line[place] for place in sorted(set(kept.values()))]


def distribute(total: int, shares: Sequence[Fraction]) -> list[int]:
    """`total` in whole parts after these shares, by largest remainder: together they are `total` times the sum of the
    shares, rounded down, and none is a whole one off its exact part. Of equal remainders the earlier takes more."""
    exact = [total * share for share in shares]
    parts = [part.numerator // part.denominator for part in exact]
    whole = sum(exact, Fraction(0))
    left = whole.numerator // whole.denominator - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda number: (parts[number] - exact[number], number))
    for number in by_remainder[:left]:
        parts[number] += 1
    return parts


def _order(touch: Touch) -> tuple[datetime, bool, bytes, int]:
    """By time; of the same moment the click comes after the open it implies."""
    return touch.at, touch.kind is EventKind.CLICKED, touch.message, touch.link


def _shares(earning: Sequence[Touch], at: datetime, model: Model) -> list[tuple[Touch, Fraction]]:
    """`earning` in order."""
    clicks = [one for one in earning if one.kind is EventKind.CLICKED]
    one: Sequence[Touch]
    match model:
        case Model.LAST_CLICK:
            one = clicks[-1:] or earning[-1:]
        case Model.LAST_ACTIVITY:
            one = earning[-1:]
        case Model.FIRST_CLICK:
            one = clicks[:1]
        case _:
            points = _points(earning)
            return list(zip(points, _weighed(points, at, model), strict=True))
    return [(touch, Fraction(1)) for touch in one]


def _points(earning: Sequence[Touch]) -> list[Touch]:
    """What stands for each message, in order: its latest click, else its latest open."""
    standing: dict[bytes, Touch] = {}
    for one in earning:
        before = standing.get(one.message)
        if before is None or one.kind is EventKind.CLICKED or before.kind is not EventKind.CLICKED:
            standing[one.message] = one
    return sorted(standing.values(), key=_order)


def _weighed(points: Sequence[Touch], at: datetime, model: Model) -> list[Fraction]:
    number = len(points)
    if not number:
        return []
    if model is Model.ALL_MESSAGES:
        return [Fraction(1)] * number
    if model is Model.POSITION and number > 2:
        return [_FIRST, *[_MIDDLE / (number - 2)] * (number - 2), _LAST]
    if model is Model.TIME_DECAY:
        weights = [_decayed(at - one.at) for one in points]
        return [weight / sum(weights) for weight in weights]
    return [Fraction(1, number)] * number


def _decayed(age: timedelta) -> Fraction:
    """2 to the power of minus age / half-life; as exact as a float is, and a fraction from there on."""
    halves, rest = divmod(age, HALF_LIFE)
    return Fraction(2.0 ** -(rest / HALF_LIFE)) / int(2**halves)


def _credit(touch: Touch, share: Fraction) -> Credit:
    named = touch.mode is Mode.IDENTIFIED
    return Credit(
        message=touch.message,
        group=touch.group,
        link=touch.link if named else 0,
        delivery=touch.delivery if named else None,
        share=share,
    )
