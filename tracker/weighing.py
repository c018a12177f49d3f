"""The rules of the register: what a statement does to what is known of a person, and what the ledger says about it.

The value with the latest `as_of` holds; a person's own refusal is lifted only by a later grant with evidence; who was
erased comes back only by a grant with fresh evidence. What a file proves is later only if the file says when it was
said: that it was imported later proves nothing, and what an empty cell means nobody said. Pure: no clock, no store.
Whoever weighs many statements about one person hands over the same `Held` again, in the order in which they were said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from tracker.consent import Consent, DoNotTrack
from tracker.statements import Statement

_PERSONAL = "preference-page"
_UNKNOWN, _UNSET = str(Consent.UNKNOWN), str(DoNotTrack.UNSET)


class Source(StrEnum):
    """Through which door a change came."""

    IMPORT = "import"
    API = "api"
    PREFERENCE_PAGE = _PERSONAL
    HEADER = "header"
    CLI = "cli"
    OPERATOR_PAGE = "operator-page"
    LOOKUP = "lookup"


class Effect(StrEnum):
    """What became of a statement."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NOT_EFFECTIVE = "not-effective"


_RESTATING = frozenset({Source.HEADER, Source.LOOKUP})
"""What a mail system says again with every message is a list's word: the message's id tells where it stood, and proves
nothing that the person did. So it never lifts a person's own refusal, nor fills the ledger with the same again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The answer to one statement; `reason` says why it had no effect."""

    address: str
    effect: Effect
    reason: str = ""


@dataclass(slots=True)
class Value:
    """What holds of one attribute, since when, and through which door it came."""

    value: str
    as_of: datetime | None = None
    source: str | None = None


@dataclass(slots=True, kw_only=True)
class Held:
    """What is known of one person while statements about them are weighed."""

    id: int
    """0 until the store has given one."""
    address: str | None
    erased_key: bytes | None = None
    consent: Value = field(default_factory=lambda: Value(_UNKNOWN))
    do_not_track: Value = field(default_factory=lambda: Value(_UNSET))
    country: str | None = None
    group: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    new: bool = False
    """Nothing was known of them before."""
    changed: bool = False
    restored: bool = False
    """They were erased, and come back as somebody of whom nothing was known before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Through which door statements come, who brings them, and when they are taken down."""

    source: Source
    actor: str
    now: datetime


Noted = tuple[Held, Mapping[str, Any]]
"""A row for the ledger: whom it is about, and what it says."""


def weigh(held: Held, address: str, statement: Statement, speaker: Speaker, notes: list[Noted]) -> Recorded:
    """Applies one statement to what is held, and adds to `notes` what the ledger is to say. `address` in normal
    form."""
    proven = bool(statement.evidence) and speaker.source not in _RESTATING
    if held.erased_key is not None:
        refusal = _restore(
            held, address, statement, speaker.now, proven and _is_dated(statement.as_of, speaker.source)
        )
        if refusal:
            return Recorded(address=address, effect=Effect.NOT_EFFECTIVE, reason=refusal)
    refusals = ""
    changed = False
    for attribute, present, said, at, is_proven in _choices(held, statement, proven):
        if said is None or _repeats(present, said, at, speaker.source, is_proven):
            continue
        as_of = min(at or speaker.now, speaker.now).astimezone(UTC)  # as the ledger says it
        lifts = is_proven and _is_dated(at, speaker.source)
        refusal = _refusal(attribute, present, said, as_of, speaker.source, lifts)
        note = {
            "address": address,
            "attribute": attribute,
            "old": present.value,
            "new": str(said),
            "as_of": as_of.isoformat(),
            "source": str(speaker.source),
            "actor": speaker.actor,
            "evidence": dict(statement.evidence),
            "effective": not refusal,
        }
        notes.append((held, note))
        if refusal:
            refusals = f"{refusals}; {refusal}" if refusals else refusal
        else:
            _set(attribute, present, said, as_of, speaker.source)
            changed = True
    changed |= _set_facts(held, statement)
    held.changed |= changed
    if refusals:
        return Recorded(address=address, effect=Effect.NOT_EFFECTIVE, reason=refusals)
    return Recorded(address=address, effect=Effect.CHANGED if changed else Effect.UNCHANGED)


def _choices(
    held: Held, statement: Statement, proven: bool
) -> tuple[tuple[str, Value, StrEnum | None, datetime | None, bool], ...]:
    """What a statement may say: the attribute, what is held of it, what is said, of when, and whether it is proven."""
    at = statement.do_not_track_as_of or statement.as_of
    return (
        ("tracking_consent", held.consent, statement.consent, statement.as_of, proven),
        ("do_not_track", held.do_not_track, statement.do_not_track, at, proven and not statement.is_implied),
    )


def _is_dated(at: datetime | None, source: Source) -> bool:
    """A file is an account of other times; at every other door what is said is said now."""
    return at is not None or source is not Source.IMPORT


def _repeats(present: Value, said: StrEnum, at: datetime | None, source: Source, proven: bool) -> bool:
    """A bare repetition (yesterday's export sent again) says nothing new; the person's own word does, where so far
    it was a list's."""
    if present.as_of is None:
        return said is DoNotTrack.UNSET and not proven
    if present.value != said or proven:
        return False
    personal = source is Source.PREFERENCE_PAGE and present.source != _PERSONAL
    return at in (None, present.as_of) and not personal


_PROTECTING = {
    "tracking_consent": frozenset({str(Consent.DENIED), str(Consent.WITHDRAWN)}),
    "do_not_track": frozenset({str(DoNotTrack.TRUE)}),
}
_LIFTING = {"tracking_consent": str(Consent.GRANTED), "do_not_track": str(DoNotTrack.FALSE)}
"""What a person can have said to undo it; that nothing is known is no word of theirs, whatever proves it."""


def _refusal(
    attribute: str, present: Value, said: StrEnum, as_of: datetime, source: Source, proven: bool
) -> str:
    """Why the statement may not take effect; `""` when it may. `proven`: it comes with evidence that counts against the
    person's own choice, if it is later."""
    protecting = _PROTECTING[attribute]
    protects = str(said) in protecting
    if present.as_of is None or (source is Source.PREFERENCE_PAGE and protects):
        return ""  # the person is speaking now, whatever our clocks say
    protected = present.value in protecting
    if as_of < present.as_of or (as_of == present.as_of and protected and not protects):
        return f"{attribute} {said} of {as_of:%Y-%m-%d %H:%M:%S} UTC is older than what is known since then"
    lifts = protected and not protects and present.source == _PERSONAL
    if lifts and (as_of <= present.as_of or not proven or str(said) != _LIFTING[attribute]):
        return f"{attribute} {said} would undo the person's own choice without later evidence"
    return ""


def _set(attribute: str, present: Value, said: StrEnum, as_of: datetime, source: Source) -> None:
    protecting = _PROTECTING[attribute]
    personal = present.source == _PERSONAL and present.value in protecting and str(said) in protecting
    present.value = str(said)
    present.as_of = max(as_of, present.as_of) if present.as_of else as_of
    # A list that repeats a person's refusal does not make it the list's: it stays theirs to lift.
    present.source = _PERSONAL if personal else str(source)


def _set_facts(held: Held, statement: Statement) -> bool:
    changed = False
    if statement.country is not None:
        country = statement.country.upper() or None
        changed = country != held.country
        held.country = country
    if statement.group is not None:
        group = statement.group or None
        changed |= group != held.group
        held.group = group
    if statement.attributes:
        merged = {**held.attributes, **statement.attributes}
        attributes = {key: value for key, value in merged.items() if value != ""}
        changed |= attributes != held.attributes
        held.attributes = attributes
    return changed


def _restore(held: Held, address: str, statement: Statement, now: datetime, proven: bool) -> str:
    """An erased person comes back only by a grant of their own with fresh evidence; `""` when they do."""
    as_of, erased_at = min(statement.as_of or now, now), held.consent.as_of
    granted = statement.consent is Consent.GRANTED and proven
    if not granted or erased_at is None or as_of <= erased_at:
        return "the person was erased: only a grant with evidence later than the erasure restores them"
    held.address, held.erased_key = address, None
    held.consent = Value(_UNKNOWN)
    # Its `as_of` and source were cleared at the erasure.
    held.do_not_track.value = _UNSET
    held.changed = held.restored = True
    return ""
