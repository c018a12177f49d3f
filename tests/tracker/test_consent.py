"""The decision step by step, and what mail already sent may still do."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.consent import (
    Ceiling,
    Consent,
    Contact,
    Decision,
    DoNotTrack,
    Mode,
    Question,
    Reading,
    decide,
    narrow,
    steps,
    untracked,
)

U, H, G, A, I = Mode.UNTRACKED, Mode.HYGIENE, Mode.AGGREGATE, Mode.ANONYMOUS, Mode.IDENTIFIED  # noqa: E741
ORDER = list(Mode)
PERSONAL = {Mode.HYGIENE, Mode.IDENTIFIED}
GRANTED = Contact(id=1, consent=Consent.GRANTED, do_not_track=DoNotTrack.FALSE)


def contact(consent: str = "granted", dnt: str = "false", *, erased: bool = False) -> Contact:
    return Contact(id=1, consent=Consent(consent), do_not_track=DoNotTrack(dnt), erased=erased)


def reading(unknown: Mode = I, *, unset: bool = False) -> Reading:
    return Reading(unknown=unknown, do_not_track_unset=unset)


def decided(mode: Mode, *, opens: bool = True, clicks: bool = True, override: bool = False) -> Decision:
    clicks = clicks and mode.wraps_links
    if mode is U or not (opens or clicks):
        return untracked("sent")
    return Decision(mode=mode, opens=opens, clicks=clicks, override=override, reason="sent")


CASES = {
    # step 1
    "no answer in time": (Question(contact=None), U, "store-unavailable"),
    "no answer, and an override": (Question(contact=None, override=True), U, "store-unavailable"),
    # step 2
    "a signed message": (Question(contact=GRANTED, untouchable="signed"), U, "signed"),
    "a signed message, and an override": (
        Question(contact=GRANTED, untouchable="signed", override=True),
        U,
        "signed",
    ),
    # step 3
    "erased": (Question(contact=contact(erased=True)), U, "erased"),
    "erased, and an override": (Question(contact=contact(erased=True), override=True), U, "erased"),
    # step 4
    "both switched off": (Question(contact=GRANTED, opens=False, clicks=False), U, "message-switch"),
    "both switched off, and an override": (
        Question(contact=GRANTED, opens=False, clicks=False, override=True),
        U,
        "message-switch",
    ),
    "the header refuses": (Question(contact=GRANTED, refused=True), U, "header-refused"),
    # step 5
    "override over a refusal": (Question(contact=contact("denied"), override=True), I, "override"),
    "override over a withdrawal": (Question(contact=contact("withdrawn"), override=True), I, "override"),
    "override over the header": (Question(contact=GRANTED, refused=True, override=True), I, "override"),
    "override over the policy": (
        Question(contact=contact("unknown"), reading=reading(U), override=True),
        I,
        "override",
    ),
    # step 6
    "denied": (Question(contact=contact("denied")), U, "denied"),
    "withdrawn": (Question(contact=contact("withdrawn")), U, "withdrawn"),
    "denied and cut loose": (Question(contact=contact("denied", "true")), U, "denied"),
    # step 7
    "unknown, tracked": (Question(contact=contact("unknown")), I, "unknown-identified"),
    "unknown, anonymous": (Question(contact=contact("unknown"), reading=reading(A)), A, "unknown-anonymous"),
    "unknown, aggregate": (Question(contact=contact("unknown"), reading=reading(G)), G, "unknown-aggregate"),
    "unknown, hygiene": (Question(contact=contact("unknown"), reading=reading(H)), H, "unknown-hygiene"),
    "unknown, denied": (Question(contact=contact("unknown"), reading=reading(U)), U, "unknown-untracked"),
    "nobody told us of them": (Question(contact=Contact()), I, "unknown-identified"),
    # step 8
    "granted": (Question(contact=GRANTED), I, "granted"),
    "granted, whatever the policy says of the unknown": (
        Question(contact=GRANTED, reading=reading(U)),
        I,
        "granted",
    ),
    # step 9
    "cut loose": (Question(contact=contact(dnt="true")), A, "granted+do-not-track"),
    "unset is false": (Question(contact=contact(dnt="unset")), I, "granted"),
    "unset read as true": (
        Question(contact=contact(dnt="unset"), reading=reading(unset=True)),
        A,
        "granted+do-not-track",
    ),
    "false stays false": (
        Question(contact=contact(dnt="false"), reading=reading(unset=True)),
        I,
        "granted",
    ),
    "hygiene cut loose": (
        Question(contact=contact("unknown", "true"), reading=reading(H)),
        G,
        "unknown-hygiene+do-not-track",
    ),
    "aggregate is loose already": (
        Question(contact=contact("unknown", "true"), reading=reading(G)),
        G,
        "unknown-aggregate",
    ),
    "an override does not tie to the person": (
        Question(contact=contact("denied", "true"), override=True),
        A,
        "override+do-not-track",
    ),
    # step 10
    "a ceiling of anonymous": (
        Question(contact=GRANTED, ceiling=Ceiling.ANONYMOUS),
        A,
        "granted+ceiling-anonymous",
    ),
    "hygiene has no place under anonymous": (
        Question(contact=contact("unknown"), reading=reading(H), ceiling=Ceiling.ANONYMOUS),
        U,
        "ceiling-anonymous",
    ),
    "aggregate under anonymous": (
        Question(contact=contact("unknown"), reading=reading(G), ceiling=Ceiling.ANONYMOUS),
        G,
        "unknown-aggregate",
    ),
    "a ceiling of none": (Question(contact=GRANTED, ceiling=Ceiling.NONE), U, "ceiling-none"),
    "a ceiling of none over an override": (
        Question(contact=GRANTED, ceiling=Ceiling.NONE, override=True),
        U,
        "ceiling-none",
    ),
    "the ceiling lowers, never raises": (
        Question(contact=contact("unknown"), reading=reading(U), ceiling=Ceiling.ANONYMOUS),
        U,
        "unknown-untracked",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_step_that_settles_it_wins(case: str) -> None:
    question, mode, reason = CASES[case]
    decision = decide(question)
    assert (decision.mode, decision.reason) == (mode, reason)
    assert decision.opens is (mode is not U)
    assert decision.clicks is mode.wraps_links
    assert decision.override is (question.override and mode is not U)


@pytest.mark.parametrize(
    ("unknown", "opens", "clicks", "left"),
    [
        (I, True, False, (I, True, False)),
        (I, False, True, (I, False, True)),
        (A, False, True, (A, False, True)),
        (G, True, False, (G, True, False)),
        (G, False, True, (U, False, False)),
        (H, False, True, (U, False, False)),
    ],
)
def test_a_switch_takes_its_half_and_what_has_no_other_half_is_untracked(
    unknown: Mode, opens: bool, clicks: bool, left: tuple[Mode, bool, bool]
) -> None:
    question = Question(contact=contact("unknown"), reading=reading(unknown), opens=opens, clicks=clicks)
    decision = decide(question)
    assert (decision.mode, decision.opens, decision.clicks) == left


def test_the_steps_ask_in_order_and_only_the_last_one_settles() -> None:
    told = list(steps(Question(contact=contact(dnt="true"), ceiling=Ceiling.ANONYMOUS)))
    assert [step.asked.split()[0] for step in told] == [
        "did",
        "may",
        "is",
        "what",
        "does",
        "what",
        "must",
        "the",
    ]
    assert [step.settled for step in told] == [False] * 7 + [True]
    assert told[-1].decision == decide(Question(contact=contact(dnt="true"), ceiling=Ceiling.ANONYMOUS))


# sent \ today:   untracked  hygiene  aggregate  anonymous  identified
NARROW = {
    U: (U, U, U, U, U),
    H: (U, H, U, U, H),
    G: (U, U, G, G, G),
    A: (U, U, G, A, A),
    I: (U, H, G, A, I),
}


@pytest.mark.parametrize(("sent", "today"), list(product(Mode, Mode)), ids=str)
def test_mail_in_the_inbox_may_do_what_both_days_allow(sent: Mode, today: Mode) -> None:
    assert narrow(decided(sent), decided(today)).mode is NARROW[sent][ORDER.index(today)]


def test_mail_sent_under_the_override_stays_so() -> None:
    sent = decided(I, override=True)
    assert narrow(sent, decided(I, override=True)).override
    assert narrow(sent, decided(A, override=True)).override


def test_a_decision_that_passed_consent_over_frees_no_mail_that_was_sent_with_consent() -> None:
    assert narrow(decided(I), decided(I, override=True)).mode is U


def test_the_reason_is_that_of_the_day_which_lowered() -> None:
    sent, today = decided(I), replace(decided(A), reason="granted+do-not-track")
    assert narrow(sent, today).reason == "granted+do-not-track"
    assert narrow(sent, decided(I)).reason == "sent"
    assert narrow(sent, untracked("withdrawn")).reason == "withdrawn"


@pytest.mark.parametrize(
    ("mode", "opens", "clicks"),
    [(U, True, False), (I, False, False), (H, True, True), (G, False, True), (U, False, True)],
)
def test_a_decision_that_cannot_be_is_not_made(mode: Mode, opens: bool, clicks: bool) -> None:
    with pytest.raises(ValueError, match="cannot go with"):
        Decision(mode=mode, opens=opens, clicks=clicks, reason="")


contacts = st.builds(
    Contact,
    id=st.none() | st.integers(1, 9),
    consent=st.sampled_from(Consent),
    do_not_track=st.sampled_from(DoNotTrack),
    erased=st.booleans(),
)
questions = st.builds(
    Question,
    contact=st.none() | contacts,
    reading=st.builds(Reading, unknown=st.sampled_from(Mode), do_not_track_unset=st.booleans()),
    untouchable=st.none() | st.just("signed"),
    opens=st.booleans(),
    clicks=st.booleans(),
    override=st.booleans(),
    ceiling=st.sampled_from(Ceiling),
    refused=st.booleans(),
)
decisions = questions.map(decide)


@given(decisions, decisions)
def test_narrowing_never_raises(sent: Decision, today: Decision) -> None:
    left = narrow(sent, today)
    assert ORDER.index(left.mode) <= min(ORDER.index(sent.mode), ORDER.index(today.mode))
    assert left.opens <= (sent.opens and today.opens)
    assert left.clicks <= (sent.clicks and today.clicks)
    assert left.override <= sent.override


@given(decisions, decisions)
def test_narrowing_never_ties_to_a_person_what_was_loose(sent: Decision, today: Decision) -> None:
    left = narrow(sent, today)
    if left.mode in PERSONAL:
        assert sent.mode in PERSONAL
        assert today.mode in PERSONAL


@given(decisions)
def test_the_same_day_changes_nothing(sent: Decision) -> None:
    assert narrow(sent, sent) == sent


@given(questions)
def test_nobody_who_refused_is_tracked_without_an_override(question: Question) -> None:
    refused = question.refused or (
        question.contact is not None and question.contact.consent in (Consent.DENIED, Consent.WITHDRAWN)
    )
    if refused and not question.override:
        assert decide(question).mode is U


@given(questions)
def test_nobody_erased_or_not_asked_for_is_tracked_at_all(question: Question) -> None:
    if question.contact is None or question.contact.erased or question.untouchable:
        assert decide(question).mode is U


@given(questions)
def test_a_ceiling_never_raises(question: Question) -> None:
    free = decide(replace(question, ceiling=Ceiling.FULL))
    held = decide(question)
    assert ORDER.index(held.mode) <= ORDER.index(free.mode)
    assert held.opens <= free.opens
    assert held.clicks <= free.clicks
    assert not (held.mode in PERSONAL and question.ceiling is not Ceiling.FULL)


@given(questions)
def test_nobody_cut_loose_is_measured_as_a_person(question: Question) -> None:
    if question.contact is not None and question.contact.do_not_track is DoNotTrack.TRUE:
        assert decide(question).mode not in PERSONAL


@given(questions)
def test_the_decision_is_the_last_of_its_steps(question: Question) -> None:
    told = list(steps(question))
    assert told[-1].decision == decide(question)
    assert not any(step.settled for step in told[:-1])
    assert told[-1].settled


@given(questions)
def test_the_message_can_only_ask_for_less(question: Question) -> None:
    decision = decide(question)
    assert decision.opens <= question.opens
    assert decision.clicks <= question.clicks


@pytest.mark.parametrize(
    ("asked_for", "there", "override", "mode"),
    [
        (True, True, False, Mode.IDENTIFIED),
        (True, False, False, Mode.UNTRACKED),
        (False, False, False, Mode.IDENTIFIED),
        (True, False, True, Mode.IDENTIFIED),
    ],
)
def test_where_the_policy_asks_for_the_link_mail_without_it_is_not_tracked(
    asked_for: bool, there: bool, override: bool, mode: Mode
) -> None:
    question = Question(
        contact=Contact(consent=Consent.GRANTED),
        reading=Reading(withdrawal_link=asked_for),
        has_link=there,
        override=override,
    )
    decision = decide(question)
    assert decision.mode is mode
    assert (decision.reason == "no-withdrawal-link") is (mode is Mode.UNTRACKED)
