"""The decision: what may be measured of one recipient, asked when a copy is made and again at each hit.

Pure: no clock, no store. `decide` goes down the steps and the first that settles it wins; `narrow` holds what
mail already sent may still do today and only ever lowers. Doubt never tracks.

Sources: GDPR art. 7; CNIL deliberation 2026-042; Garante provision 284/2026; Mapp Engage for the default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Consent(StrEnum):
    """May this person's opens and clicks be tracked."""

    GRANTED = "granted"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"


class DoNotTrack(StrEnum):
    """Must tracking be cut loose from the person."""

    TRUE = "true"
    FALSE = "false"
    UNSET = "unset"


class Mode(StrEnum):
    """How a copy measures, from least to most."""

    UNTRACKED = "untracked"
    HYGIENE = "hygiene"
    AGGREGATE = "aggregate"
    ANONYMOUS = "anonymous"
    IDENTIFIED = "identified"

    @property
    def wraps_links(self) -> bool:
        return self in (Mode.ANONYMOUS, Mode.IDENTIFIED)


class Ceiling(StrEnum):
    """The most a sending user may ask for."""

    FULL = "full"
    ANONYMOUS = "anonymous"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What is known of one person. `id` None: nobody has told us of them yet."""

    id: int | None = None
    consent: Consent = Consent.UNKNOWN
    do_not_track: DoNotTrack = DoNotTrack.UNSET
    erased: bool = False
    group: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the policy says for this recipient and this message (see `tracker.policy`)."""

    unknown: Mode = Mode.IDENTIFIED
    """What an unknown consent leads to."""
    do_not_track_unset: bool = False
    """Read an unset `do_not_track` as true."""
    source: str = "[consent]"
    """The rule or preset that says so, for `candor explain`."""
    withdrawal_link: bool = False
    """Only mail that carries a link to the person's own page is tracked."""
    device: bool = True
    """May an event keep client, device and operating system?"""
    place: bool = True
    """May an event keep the country?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything the decision depends on. `contact` None: the store could not be asked in time."""

    contact: Contact | None
    reading: Reading = field(default_factory=Reading)
    untouchable: str | None = None
    """Why the message must not be touched, if it must not."""
    opens: bool = True
    clicks: bool = True
    override: bool = False
    """Asked for *and* permitted: permission is settled before this question is put."""
    ceiling: Ceiling = Ceiling.FULL
    refused: bool = False
    """The message itself declares the recipient's refusal."""
    has_link: bool = True
    """The message carries the link to the person's own page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a copy carries: `opens` a pixel, `clicks` wrapped links; `reason` names the step that settled it."""

    mode: Mode
    opens: bool
    clicks: bool
    override: bool = False
    reason: str

    def __post_init__(self) -> None:
        tracked = self.mode is not Mode.UNTRACKED
        if tracked != (self.opens or self.clicks) or (self.clicks and not self.mode.wraps_links):
            raise ValueError(f"{self.mode} cannot go with opens={self.opens}, clicks={self.clicks}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a decision, for people: what was asked, what was found, what holds afterwards."""

    asked: str
    found: str
    decision: Decision | None
    settled: bool = False


def untracked(reason: str) -> Decision:
    return Decision(mode=Mode.UNTRACKED, opens=False, clicks=False, reason=reason)


def decide(question: Question) -> Decision:
    """The decision for one recipient."""
    decision: Decision | None = None
    for step in steps(question):
        decision = step.decision
    assert decision is not None  # noqa: S101 - the last step always carries one
    return decision


def steps(question: Question) -> Iterator[Step]:
    """The steps of the decision in order, up to the one that settles it; the last carries the result."""
    refusal = _refusal(question)
    for asked, found, reason in refusal:
        if reason is not None:
            yield Step(asked=asked, found=found, decision=untracked(reason), settled=True)
            return
        yield Step(asked=asked, found=found, decision=None)
    contact = question.contact
    assert contact is not None  # noqa: S101 - the first step settled that
    decision, step = _granted(question, contact)
    yield step
    if step.settled:
        return
    decision = _cut_loose(decision, contact, question.reading)
    yield Step(
        asked="must tracking be cut loose from the person?",
        found=f"do_not_track is {contact.do_not_track}"
        + (", and the policy reads unset as true" if question.reading.do_not_track_unset else ""),
        decision=decision,
    )
    decision = _lower_to_ceiling(decision, question.ceiling)
    asks = question.reading.withdrawal_link and not decision.override
    yield Step(
        asked="the sending user's ceiling?", found=str(question.ceiling), decision=decision, settled=not asks
    )
    if asks:
        found = "yes" if question.has_link else "no"
        if not question.has_link:
            decision = untracked("no-withdrawal-link")
        yield Step(
            asked="does the message carry the withdrawal link that the policy asks for?",
            found=found,
            decision=decision,
            settled=True,
        )


def _refusal(question: Question) -> Iterator[tuple[str, str, str | None]]:
    """Steps 1 to 4: what ends the matter whatever the person said; (asked, found, reason or None)."""
    contact = question.contact
    yield (
        "did the store answer in time?",
        "no" if contact is None else "yes",
        "store-unavailable" if contact is None else None,
    )
    yield "may the message be touched?", question.untouchable or "yes", question.untouchable
    erased = contact is not None and contact.erased
    yield "is the person erased?", "yes" if erased else "no", "erased" if erased else None
    off = not (question.opens or question.clicks)
    switches = f"opens {_on(question.opens)}, clicks {_on(question.clicks)}"
    yield "what does the message ask for?", switches, "message-switch" if off else None
    refused = question.refused and not question.override
    yield (
        "does the message declare a refusal?",
        "yes" if refused else "no",
        "header-refused" if refused else None,
    )


def _granted(question: Question, contact: Contact) -> tuple[Decision, Step]:
    """Steps 5 to 8: override, refusal, policy, grant."""
    asked = f"what did the person say? (if nothing: {question.reading.source})"
    found = f"consent is {contact.consent}"
    if question.override:
        decision = replace(_as(Mode.IDENTIFIED, question.opens, question.clicks, "override"), override=True)
        return decision, Step(asked="is consent overridden?", found="yes", decision=decision)
    if contact.consent in (Consent.DENIED, Consent.WITHDRAWN):
        decision = untracked(str(contact.consent))
        return decision, Step(asked=asked, found=found, decision=decision, settled=True)
    if contact.consent is Consent.GRANTED:
        mode, reason = Mode.IDENTIFIED, "granted"
    else:
        mode, reason = question.reading.unknown, f"unknown-{question.reading.unknown}"
    decision = _as(mode, question.opens, question.clicks, reason)
    settled = decision.mode is Mode.UNTRACKED
    return decision, Step(asked=asked, found=found, decision=decision, settled=settled)


def _cut_loose(decision: Decision, contact: Contact, reading: Reading) -> Decision:
    """Step 9. What names a person becomes what names nobody: identified → anonymous, hygiene → aggregate."""
    cut = contact.do_not_track is DoNotTrack.TRUE or (
        contact.do_not_track is DoNotTrack.UNSET and reading.do_not_track_unset
    )
    loose = (
        {Mode.IDENTIFIED: Mode.ANONYMOUS, Mode.HYGIENE: Mode.AGGREGATE}.get(decision.mode) if cut else None
    )
    if loose is None:
        return decision
    return replace(decision, mode=loose, reason=f"{decision.reason}+do-not-track")


_CEILING: dict[tuple[Ceiling, Mode], Mode] = {
    # An account held to anonymous counts may leave nothing on a person, so hygiene has no place below it.
    (Ceiling.ANONYMOUS, Mode.IDENTIFIED): Mode.ANONYMOUS,
    (Ceiling.ANONYMOUS, Mode.ANONYMOUS): Mode.ANONYMOUS,
    (Ceiling.ANONYMOUS, Mode.AGGREGATE): Mode.AGGREGATE,
}


def _lower_to_ceiling(decision: Decision, ceiling: Ceiling) -> Decision:
    """Step 10."""
    if ceiling is Ceiling.FULL:
        return decision
    mode = _CEILING.get((ceiling, decision.mode), Mode.UNTRACKED)
    if mode is Mode.UNTRACKED:
        return untracked(f"ceiling-{ceiling}")
    if mode is decision.mode:
        return decision
    return replace(decision, mode=mode, reason=f"{decision.reason}+ceiling-{ceiling}")


_NARROW: dict[tuple[Mode, Mode], Mode] = {
    # (sent, today) → what still holds. Absent means untracked.
    (Mode.IDENTIFIED, Mode.IDENTIFIED): Mode.IDENTIFIED,
    (Mode.IDENTIFIED, Mode.ANONYMOUS): Mode.ANONYMOUS,
    (Mode.IDENTIFIED, Mode.AGGREGATE): Mode.AGGREGATE,
    (Mode.IDENTIFIED, Mode.HYGIENE): Mode.HYGIENE,
    (Mode.ANONYMOUS, Mode.IDENTIFIED): Mode.ANONYMOUS,
    (Mode.ANONYMOUS, Mode.ANONYMOUS): Mode.ANONYMOUS,
    (Mode.ANONYMOUS, Mode.AGGREGATE): Mode.AGGREGATE,
    # Hygiene leaves a day on the person, an aggregate or anonymous pixel never did: no row leads there.
    (Mode.AGGREGATE, Mode.IDENTIFIED): Mode.AGGREGATE,
    (Mode.AGGREGATE, Mode.ANONYMOUS): Mode.AGGREGATE,
    (Mode.AGGREGATE, Mode.AGGREGATE): Mode.AGGREGATE,
    (Mode.HYGIENE, Mode.IDENTIFIED): Mode.HYGIENE,
    (Mode.HYGIENE, Mode.HYGIENE): Mode.HYGIENE,
}


def narrow(sent: Decision, today: Decision) -> Decision:
    """What mail sent under `sent` may still do under `today`: never more than either allows. A `today` that passes
    consent over says nothing about mail that was not sent so."""
    if today.override and not sent.override:
        return untracked("narrowed-override")
    mode = _NARROW.get((sent.mode, today.mode), Mode.UNTRACKED)
    if mode is Mode.UNTRACKED:
        return untracked(
            today.reason if today.mode is Mode.UNTRACKED else f"narrowed-{sent.mode}-{today.mode}"
        )
    reason = sent.reason if mode is sent.mode else today.reason
    narrowed = _as(mode, sent.opens and today.opens, sent.clicks and today.clicks, reason)
    return replace(narrowed, override=sent.override and narrowed.mode is not Mode.UNTRACKED)


def _as(mode: Mode, opens: bool, clicks: bool, reason: str) -> Decision:
    """`mode` with the switches it can carry; untracked when none is left."""
    clicks = clicks and mode.wraps_links
    if mode is Mode.UNTRACKED or not (opens or clicks):
        return untracked(reason if mode is Mode.UNTRACKED else "message-switch")
    return Decision(mode=mode, opens=opens, clicks=clicks, reason=reason)


def _on(switch: bool) -> str:
    return "on" if switch else "off"
