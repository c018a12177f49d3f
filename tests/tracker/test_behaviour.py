"""Person or machine from several hits: labelled sequences of each kind, judged as they come in, and the rules' edges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sequences import AGENTS, MACHINES, READERS, SEQUENCES, Made

from tracker.behaviour import BURST, PAGE_TOO, RUNS_ON, TWO_AT_ONCE, History, Seen, judge
from tracker.config.machines import shipped
from tracker.events import EventKind, Verdict, VerdictKind
from tracker.recent import Recent
from tracker.verdict import MANY_NETWORKS, RULES, TOO_SOON_REASON, Hit, classify

LISTS = shipped()
OPEN, CLICK = EventKind.OPENED, EventKind.CLICKED
WORDS = {
    "person": "person",
    "proxy": "person",
    "prefetch": "machine",
    "scanner": "machine",
    "unsure": "unsure",
}
ACCEPTED = 1_700_000_000.0


def judged(sequence: Iterable[Made]) -> list[tuple[Made, Verdict]]:
    """As the tracker does: each hit when it comes, then all of them together."""
    recent, hits, made = Recent(), list[Seen](), list[Made]()
    visits, spreads = list[float](), list[tuple[float, float]]()
    for one in sorted(sequence, key=lambda one: one.at):
        at = ACCEPTED + one.at
        if one.what in "pP":
            visits = [*visits, at] if one.what == "p" else []
            continue
        kind = OPEN if one.what == "o" else CLICK
        hit = Hit(kind=kind, user_agent=AGENTS[one.agent], since_accepted=at - ACCEPTED, address=one.address)
        verdict = classify(hit, LISTS)
        place, _ = LISTS.place(one.address)
        if verdict.kind is VerdictKind.PERSON and place is not None:
            spread = recent.note(b"d", place, at)
            spreads += [spread] if spread else []
        made.append(one)
        link = None if kind is OPEN else int(one.what)
        hits.append(Seen(kind=kind, at=at, link=link, verdict=verdict))
    history = History(hits=hits, accepted_at=ACCEPTED, visits=visits, visits_since=0.0, spreads=spreads)
    return list(zip(made, judge(history, LISTS.kinds), strict=True))


def test_people_and_machines_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    counted: Counter[tuple[str, str]] = Counter()
    wrong = []
    for name, sequence in SEQUENCES.items():
        for one, verdict in judged(sequence):
            said = WORDS[verdict.kind]
            counted[one.label, said] += 1
            if said != one.label:
                wrong.append(
                    f"{name}: {one.what}@{one.at} by a {one.label}: {verdict.kind} {verdict.reasons}"
                )
    figures = {}
    for label in ("machine", "person"):
        other = "person" if label == "machine" else "machine"
        right = counted[label, label]
        said = right + counted[other, label]
        there = sum(n for (made, _), n in counted.items() if made == label)
        figures[label] = right / said, right / there
    with capsys.disabled():
        told = ", ".join(f"{label} {p:.3f}/{r:.3f}" for label, (p, r) in figures.items())
        print(f"\n{sum(counted.values())} hits of {len(SEQUENCES)} deliveries, precision/recall: {told}")
        print("\n".join(wrong))
    for precision, recall in figures.values():
        assert precision >= 0.98
        assert recall >= 0.95


NOT_KNOWABLE = {"one that behaves like a person"}


@pytest.mark.parametrize("name", sorted(READERS.keys() | MACHINES.keys() - NOT_KNOWABLE))
def test_each_of_these_is_known_for_what_it_is(name: str) -> None:
    if name == "two links in the same instant":
        assert {verdict.kind for _, verdict in judged(SEQUENCES[name])} == {VerdictKind.UNSURE}
        return
    said = [(one.what, one.at, WORDS[verdict.kind]) for one, verdict in judged(SEQUENCES[name])]
    assert said == [(one.what, one.at, one.label) for one, _ in judged(SEQUENCES[name])]


# --- the edges of each rule ---


def seen(at: float, link: int | None = None, *reasons: str, kind: str = "person") -> Seen:
    return Seen(
        kind=OPEN if link is None else CLICK,
        at=ACCEPTED + at,
        link=link,
        verdict=Verdict(kind=VerdictKind(kind), reasons=reasons, rules=RULES),
    )


def reasons(*hits: Seen, **more: object) -> list[tuple[str, ...]]:
    values: dict[str, object] = {"accepted_at": ACCEPTED, "hits": hits}
    return [one.reasons for one in judge(History(**(values | more)), LISTS.kinds)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "is_one"),
    [
        (((100, 1), (105, 2), (110, 3)), True),
        (((100, 1), (105, 2), (110.1, 3)), False),
        (((100, 1), (105, 2), (106, 1)), False),
        (((100, 1), (105, 2), (109, 2), (112, 3)), False),
        (((100, 1), (108, 2), (109, 1), (115, 3)), True),
    ],
)
def test_three_different_links_within_ten_seconds_are_a_burst(
    times: tuple[tuple[float, int], ...], is_one: bool
) -> None:
    assert any(BURST in one for one in reasons(*(seen(at, link) for at, link in times))) is is_one


def test_a_burst_turns_what_lies_within_its_ten_seconds_and_nothing_else() -> None:
    hits = [
        seen(89),
        seen(93.5),
        seen(100, 1),
        seen(102, 2),
        seen(103, 3),
        seen(109.5),
        seen(111),
        seen(5000, 1),
    ]
    assert [BURST in one for one in reasons(*hits)] == [False, True, True, True, True, True, False, False]


def test_what_a_request_said_of_itself_outweighs_what_it_did() -> None:
    burst = [seen(100, 1), seen(101, 2), seen(102, 3)]
    proxy = seen(101.5, None, "image-proxy", kind="proxy")
    found = judge(History(hits=[*burst, proxy], accepted_at=ACCEPTED), LISTS.kinds)
    assert [one.kind for one in found] == [VerdictKind.SCANNER] * 3 + [VerdictKind.PROXY]


def test_upstreams_word_may_come_to_the_record_after_the_hit() -> None:
    early = seen(30, None, TOO_SOON_REASON, kind="scanner")
    assert judge(History(hits=[early], accepted_at=None), LISTS.kinds)[0].reasons == (TOO_SOON_REASON,)
    assert judge(History(hits=[early], accepted_at=ACCEPTED), LISTS.kinds)[0].kind is VerdictKind.PERSON
    proxy = seen(30, None, "image-proxy", TOO_SOON_REASON, kind="prefetch")
    assert judge(History(hits=[proxy], accepted_at=ACCEPTED), LISTS.kinds)[0].kind is VerdictKind.PROXY


def test_a_run_goes_on_but_for_the_link_that_was_met_already() -> None:
    hits = [seen(1.5, 1, TOO_SOON_REASON, kind="scanner"), seen(2.5, 1), seen(3, 2), seen(4.9), seen(7.5, 3)]
    assert [RUNS_ON in one for one in reasons(*hits)] == [False, False, True, True, False]


@pytest.mark.parametrize(("gap", "unsure"), [(0.1, True), (0.49, True), (0.5, False), (2.0, False)])
def test_nobody_follows_two_links_at_once(gap: float, unsure: bool) -> None:
    found = judge(History(hits=[seen(100, 1), seen(100 + gap, 2)], accepted_at=ACCEPTED), LISTS.kinds)
    assert [one.reasons == (TWO_AT_ONCE,) and one.kind is VerdictKind.UNSURE for one in found] == [unsure] * 2


@pytest.mark.parametrize(("visit", "turned"), [(40, True), (39.9, False), (160, True), (160.1, False)])
def test_the_preference_page_and_a_link_within_a_minute_are_a_machines(visit: float, turned: bool) -> None:
    found = reasons(seen(100, 1), visits=[ACCEPTED + visit], visits_since=0.0)
    assert found == [(PAGE_TOO,) if turned else ()]


def test_what_was_concluded_stays_when_its_grounds_are_gone() -> None:
    hits = [seen(100, 1, PAGE_TOO, kind="scanner"), seen(200, 2, MANY_NETWORKS, kind="scanner")]
    assert reasons(*hits) == [(PAGE_TOO,), (MANY_NETWORKS,)]
    assert reasons(hits[0], visits_since=0.0) == [()]  # all looks are known, and led to a choice


def test_a_reason_that_the_lists_forgot_keeps_its_verdict() -> None:
    forgotten = seen(100, 1, "old-gateway", kind="scanner")
    assert judge(History(hits=[forgotten], accepted_at=ACCEPTED), LISTS.kinds) == [forgotten.verdict]


HISTORIES = st.lists(
    st.builds(
        seen,
        st.floats(-10, 200, allow_nan=False),
        st.sampled_from([None, 1, 2, 3, 4]),
    ),
    max_size=25,
).map(lambda hits: sorted(hits, key=lambda one: one.at))


@given(hits=HISTORIES)
def test_judging_again_what_was_judged_changes_nothing(hits: list[Seen]) -> None:
    history = History(hits=hits, accepted_at=ACCEPTED)
    once = judge(history, LISTS.kinds)
    again = [
        Seen(kind=hit.kind, at=hit.at, link=hit.link, verdict=verdict)
        for hit, verdict in zip(hits, once, strict=True)
    ]
    assert judge(History(hits=again, accepted_at=ACCEPTED), LISTS.kinds) == once


@given(hits=HISTORIES, later=st.floats(300, 1000))
def test_nothing_far_away_bears_on_a_hit(hits: list[Seen], later: float) -> None:
    alone = judge(History(hits=hits, accepted_at=ACCEPTED), LISTS.kinds)
    more = [*hits, *(seen(later + n, n) for n in range(1, 6))]
    assert judge(History(hits=more, accepted_at=ACCEPTED), LISTS.kinds)[: len(hits)] == alone


# --- networks ---


def test_three_networks_within_two_minutes_are_no_persons() -> None:
    recent = Recent()
    assert recent.note(b"d", (4, 1), 0.0) is None
    assert recent.note(b"d", (4, 2), 60.0) is None
    assert recent.note(b"d", (4, 2), 110.0) is None
    assert recent.note(b"other", (4, 3), 115.0) is None
    assert recent.note(b"d", (4, 3), 120.0) == (0.0, 120.0)
    assert recent.note(b"d", (4, 3), 121.0) is None


def test_nothing_is_remembered_beyond_the_window_nor_of_too_many() -> None:
    recent = Recent(most=3)
    for number in range(10):
        recent.note(bytes([number]), (4, 1), float(number))
    assert len(recent) == 3
    recent.note(b"later", (4, 1), 1000.0)
    assert len(recent) == 1
