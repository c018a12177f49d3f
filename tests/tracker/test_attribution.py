"""The models, held against a second telling of them that shares no code with the first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from tracker.attribution import Credit, Model, Touch, attribute, distribute, that_matter
from tracker.consent import Mode
from tracker.events import EventKind, VerdictKind

AT = datetime(2026, 5, 31, 12, tzinfo=UTC)
WINDOW = timedelta(days=30)
OPEN, CLICK = EventKind.OPENED, EventKind.CLICKED


def touch(message: int, days: float, kind: EventKind = OPEN, **more: Any) -> Touch:
    link = 1 if kind is CLICK else 0
    given = {"link": link, "delivery": bytes([message]) * 16, "group": f"g{message}"} | more
    return Touch(kind=kind, at=AT - timedelta(days=days), message=bytes([message]) * 16, **given)


def shares(found: tuple[Credit, ...]) -> dict[int, Fraction]:
    earned: dict[int, Fraction] = {}
    for one in found:
        earned[one.message[0]] = earned.get(one.message[0], Fraction(0)) + one.share
    return earned


# --- the same, told again: what each message earns, from first principles ---


def earned_by_hand(touches: list[Touch], model: Model) -> dict[int, float]:
    window = WINDOW.total_seconds()
    able = []
    for one in touches:
        age = (AT - one.at).total_seconds()
        human = one.verdict.value in ("person", "proxy")
        admitted = one.mode.value in ("identified", "anonymous")
        if human and admitted and 0 <= age <= window:
            able.append((one, age))
    if not able:
        return {}

    def latest(kind: str | None) -> tuple[Touch, float] | None:
        best = None
        for one, age in able:
            if kind is None or one.kind.value == kind:
                rank = (-age, one.kind.value == "clicked", one.message, one.link)
                if best is None or rank > best[0]:
                    best = (rank, one, age)
        return None if best is None else (best[1], best[2])

    if model is Model.LAST_CLICK:
        winner = latest("clicked") or latest("opened")
    elif model is Model.LAST_ACTIVITY:
        winner = latest(None)
    elif model is Model.FIRST_CLICK:
        clicks = [(one.at, one.message, one.link, one) for one, _ in able if one.kind.value == "clicked"]
        winner = (min(clicks, key=lambda row: row[:3])[3], 0.0) if clicks else None
    else:
        return split_by_hand(able, model)
    return {winner[0].message[0]: 1.0} if winner else {}


def split_by_hand(able: list[tuple[Touch, float]], model: Model) -> dict[int, float]:
    ages: dict[int, tuple[bool, float]] = {}
    for one, age in able:
        number, clicked = one.message[0], one.kind.value == "clicked"
        known = ages.get(number)
        if known is None or (clicked, -age) > (known[0], -known[1]):
            ages[number] = (clicked, age)
    # Oldest first; of the same moment an open before a click, then by message.
    line = sorted(ages, key=lambda number: (-ages[number][1], ages[number][0], number))
    if model is Model.ALL_MESSAGES:
        return dict.fromkeys(line, 1.0)
    if model is Model.LINEAR or (model is Model.POSITION and len(line) < 3):
        return dict.fromkeys(line, 1 / len(line))
    if model is Model.POSITION:
        middle = dict.fromkeys(line[1:-1], 0.2 / (len(line) - 2))
        return middle | {line[0]: 0.4, line[-1]: 0.4}
    weights = {number: 0.5 ** (ages[number][1] / (7 * 86400)) for number in line}
    return {number: weight / sum(weights.values()) for number, weight in weights.items()}


TOUCHES = st.lists(
    st.builds(
        touch,
        st.integers(1, 6),
        st.sampled_from([-1, 0, 0.5, 1, 3, 7, 7.25, 14, 21, 29.999, 30, 30.001, 60]) | st.floats(0, 40),
        st.sampled_from([OPEN, CLICK]),
        verdict=st.sampled_from(list(VerdictKind)),
        mode=st.sampled_from(list(Mode)),
    ),
    max_size=14,
)


@pytest.mark.parametrize("model", Model)
@settings(max_examples=examples(60))
@given(touches=TOUCHES)
def test_every_model_gives_what_its_rule_gives_told_another_way(model: Model, touches: list[Touch]) -> None:
    found = shares(attribute(touches, AT, model, WINDOW))
    expected = earned_by_hand(touches, model)
    assert {number: float(share) for number, share in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("model", Model)
@settings(max_examples=examples(60))
@given(touches=TOUCHES, value=st.integers(0, 10**9))
def test_credit_and_value_add_up_to_the_last_cent(model: Model, touches: list[Touch], value: int) -> None:
    found = attribute(touches, AT, model, WINDOW)
    total = sum((one.share for one in found), Fraction(0))
    whole = len(found) if model is Model.ALL_MESSAGES else min(len(found), 1)
    assert total == whole
    assert sum(distribute(value, [one.share for one in found])) == value * whole


@pytest.mark.parametrize("model", Model)
@settings(max_examples=examples(60))
@given(touches=TOUCHES)
def test_the_touches_that_matter_give_the_same_as_all(model: Model, touches: list[Touch]) -> None:
    able = [one for one in touches if attribute([one], AT, Model.LINEAR, WINDOW)]
    assert attribute(that_matter(able), AT, model, WINDOW) == attribute(touches, AT, model, WINDOW)


@given(shares=st.lists(st.fractions(0, 1), max_size=9), total=st.integers(0, 10**12))
def test_no_part_is_a_whole_one_off_its_share(shares: list[Fraction], total: int) -> None:
    parts = distribute(total, shares)
    exact = [total * share for share in shares]
    assert all(abs(part - one) < 1 for part, one in zip(parts, exact, strict=True))
    assert sum(parts) == int(sum(exact))


# --- by example, as the documentation has them ---

LINE = [touch(1, 20, CLICK), touch(2, 10), touch(3, 7, CLICK), touch(4, 0)]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model.LAST_CLICK, {3: 1}),
        (Model.LAST_ACTIVITY, {4: 1}),
        (Model.ALL_MESSAGES, {1: 1, 2: 1, 3: 1, 4: 1}),
        (Model.FIRST_CLICK, {1: 1}),
        (Model.LINEAR, dict.fromkeys((1, 2, 3, 4), Fraction(1, 4))),
        (Model.POSITION, {1: Fraction(2, 5), 2: Fraction(1, 10), 3: Fraction(1, 10), 4: Fraction(2, 5)}),
    ],
)
def test_four_messages(model: Model, expected: dict[int, Fraction]) -> None:
    assert shares(attribute(LINE, AT, model, WINDOW)) == expected


def test_a_week_halves_exactly() -> None:
    found = shares(attribute([touch(1, 14), touch(2, 7), touch(3, 0)], AT, Model.TIME_DECAY, WINDOW))
    assert found == {1: Fraction(1, 7), 2: Fraction(2, 7), 3: Fraction(4, 7)}


@pytest.mark.parametrize(("model", "earner"), [(Model.LAST_CLICK, {2: 1}), (Model.FIRST_CLICK, {})])
def test_without_a_click_the_last_open_earns_last_click_and_nobody_first_click(
    model: Model, earner: dict[int, int]
) -> None:
    assert shares(attribute([touch(1, 5), touch(2, 1)], AT, model, WINDOW)) == earner


@pytest.mark.parametrize(
    "lost",
    [
        touch(1, 1, CLICK, verdict=VerdictKind.SCANNER),
        touch(1, 1, verdict=VerdictKind.PREFETCH),
        touch(1, 1, verdict=VerdictKind.UNSURE),
        touch(1, 1, CLICK, mode=Mode.UNTRACKED),
        touch(1, 1, mode=Mode.HYGIENE),
        touch(1, 1, mode=Mode.AGGREGATE),
        touch(1, -0.001, CLICK),
        touch(1, 30.0001, CLICK),
    ],
)
@pytest.mark.parametrize("model", Model)
def test_machines_the_unadmitted_and_the_untimely_earn_nothing(model: Model, lost: Touch) -> None:
    assert attribute([lost], AT, model, WINDOW) == ()


@pytest.mark.parametrize("model", Model)
def test_an_anonymous_click_earns_for_message_and_group_only(model: Model) -> None:
    (found,) = attribute([touch(1, 1, CLICK, mode=Mode.ANONYMOUS)], AT, model, WINDOW)
    assert (found.message[0], found.group, found.link, found.delivery) == (1, "g1", 0, None)
    (named,) = attribute([touch(1, 1, CLICK)], AT, model, WINDOW)
    assert (named.link, named.delivery) == (1, bytes([1]) * 16)
