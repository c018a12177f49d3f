"""What the operator's policy says where a person has said nothing. Pure.

A `Policy` gives the `Reading` for one recipient of one message: the first rule of the configuration that fits, else
the presets, else `[consent]`. It can only answer for `unknown` and `unset`, ask for a withdrawal link and keep less
about a hit; it never lifts a refusal.

The presets are built to follow CNIL deliberation 2026-042 (with its FAQ of 22 July 2026) and Garante provision
284/2026. They are no legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from tracker.consent import Contact, Mode, Reading


class Unknown(StrEnum):
    """What an unknown consent leads to, in the operator's words."""

    TRACK = "track"
    ANONYMOUS = "anonymous"
    AGGREGATE = "aggregate"
    HYGIENE = "hygiene"
    DENY = "deny"

    @property
    def mode(self) -> Mode:
        return _MODES[self]


_MODES = {
    Unknown.TRACK: Mode.IDENTIFIED,
    Unknown.ANONYMOUS: Mode.ANONYMOUS,
    Unknown.AGGREGATE: Mode.AGGREGATE,
    Unknown.HYGIENE: Mode.HYGIENE,
    Unknown.DENY: Mode.UNTRACKED,
}
_FROM_LEAST = tuple(reversed(Unknown))
CLASSES = ("transactional", "requested", "marketing")
"""Kinds of mail, as `X-Candor-Class` names them; without that header mail is `marketing`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a policy looks at: who gets the mail, from whom, and what kind of mail it is."""

    country: str | None = None
    """Two letters (ISO 3166); None: not known."""
    group: str | None = None
    domain: str = ""
    """The recipient's, in its normal form."""
    sender: str = ""
    """The author's address in normal form."""
    message_class: str | None = None


def circumstances(
    contact: Contact | None, *, address: str | None, sender: str, message_class: str | None
) -> Circumstances:
    """The same from what is at hand; `address` is the recipient's, in normal form."""
    return Circumstances(
        country=contact.country if contact else None,
        group=contact.group if contact else None,
        domain=(address or "").rpartition("@")[2],
        sender=sender,
        message_class=message_class,
    )


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule: whom and what it is for (an empty tuple: everybody, everything), and what it says."""

    name: str
    countries: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    """The recipient's: `example.org`, `*.example.org`, `*.fr`."""
    groups: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    """`news@shop.example`, `@shop.example`, `@*.shop.example`."""
    classes: tuple[str, ...] = ()
    unknown: Unknown | None = None
    """None leaves it to what comes after."""
    do_not_track_unset: bool | None = None
    withdrawal_link: bool = False
    """Only mail that carries a link to the person's own page is tracked."""
    device: bool = True
    """May an event keep client, device and operating system?"""
    place: bool = True
    """May an event keep the country?"""

    def fits(self, about: Circumstances) -> bool:
        """Does it say anything about this? A country that is not known fits no rule for countries."""
        return (
            (not self.countries or about.country in self._countries)
            and (not self.groups or about.group in self.groups)
            and (not self.classes or (about.message_class or "marketing") in self.classes)
            and (not self.domains or any(_covers(pattern, about.domain) for pattern in self._domains))
            and (not self.senders or any(is_from(pattern, about.sender) for pattern in self._senders))
        )

    @cached_property
    def _countries(self) -> frozenset[str]:
        return frozenset(country.upper() for country in self.countries)

    @cached_property
    def _domains(self) -> tuple[str, ...]:
        return tuple(pattern.lower() for pattern in self.domains)

    @cached_property
    def _senders(self) -> tuple[str, ...]:
        return tuple(pattern.lower() for pattern in self.senders)


def _covers(pattern: str, domain: str) -> bool:
    """`*.fr` covers every name below fr, `example.org` only itself."""
    return domain.endswith(pattern[1:]) if pattern.startswith("*.") else domain == pattern


def is_from(pattern: str, sender: str) -> bool:
    """`news@shop.example`, `@shop.example` or `@*.shop.example`."""
    sender = sender.lower()
    if pattern.startswith("@"):
        return _covers(pattern[1:], sender.rpartition("@")[2])
    return sender == pattern


PRESETS: Mapping[str, tuple[Rule, ...]] = {
    "fr-2026": (
        Rule(
            name="fr-2026: mail the person asked for",
            countries=("FR",),
            classes=("requested", "transactional"),
            unknown=Unknown.HYGIENE,
            withdrawal_link=True,
        ),
        Rule(
            name="fr-2026: all other mail",
            countries=("FR",),
            unknown=Unknown.DENY,
            withdrawal_link=True,
        ),
    ),
    "it-2026": (
        Rule(
            name="it-2026",
            countries=("IT",),
            unknown=Unknown.AGGREGATE,
            withdrawal_link=True,
            device=False,
            place=False,
        ),
    ),
    "strict": (Rule(name="strict", unknown=Unknown.DENY),),
}
"""Rules by name. A preset without countries is for everybody whom no preset of a country covers."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The `[consent]` table as a value."""

    unknown: Unknown = Unknown.TRACK
    do_not_track_unset: bool = False
    rules: tuple[Rule, ...] = ()
    presets: tuple[str, ...] = ()
    """Names of `PRESETS`."""

    def reading(self, about: Circumstances) -> Reading:
        """What holds for this recipient of this message. The first rule of one's own that fits comes before the
        presets, and they before `[consent]`; what a rule leaves open is taken from what comes after it."""
        if not (self.rules or self.presets):
            return self._plain
        preset = self._preset(about)
        for rule in self.rules:
            if rule.fits(about):
                return self._as_reading(rule, preset)
        return self._as_reading(preset, None)

    @cached_property
    def _plain(self) -> Reading:
        return self._as_reading(None, None)

    def _preset(self, about: Circumstances) -> Rule | None:
        """The preset's rule that holds. Where presets are named and the country is not known, the person may live
        under any of them or where none holds: the least that any of them or `[consent]` gives, with all they ask for."""
        if not self.presets:
            return None
        if about.country is None:
            elsewhere = Rule(name=f'[consent] unknown = "{self.unknown}"', unknown=self.unknown)
            there = [rule for name in self.presets if (rule := self._of(name, about)) is not None]
            return _least([*there, elsewhere])
        fitting = [rule for rule in self._named() if rule.fits(about)]
        of_the_country = [rule for rule in fitting if rule.countries]
        return next(iter(of_the_country or fitting), None)

    def _named(self) -> list[Rule]:
        return [rule for name in self.presets for rule in PRESETS[name]]

    def _of(self, preset: str, about: Circumstances) -> Rule | None:
        """What the preset would say if the person lived where it holds."""
        for rule in PRESETS[preset]:
            there = rule.countries[0] if rule.countries else None
            living = Circumstances(
                country=there,
                group=about.group,
                domain=about.domain,
                sender=about.sender,
                message_class=about.message_class,
            )
            if rule.fits(living):
                return rule
        return None

    def _as_reading(self, rule: Rule | None, after: Rule | None) -> Reading:
        unknown, unset = self.unknown, self.do_not_track_unset
        source = f'[consent] unknown = "{self.unknown}"'
        for one in (after, rule):
            if one is None:
                continue
            if one.unknown is not None:
                unknown, source = one.unknown, one.name
            unset = unset if one.do_not_track_unset is None else one.do_not_track_unset
        said = [one for one in (rule, after) if one is not None]
        return Reading(
            unknown=unknown.mode,
            do_not_track_unset=unset,
            source=source,
            withdrawal_link=any(one.withdrawal_link for one in said),
            device=all(one.device for one in said),
            place=all(one.place for one in said),
        )


def _least(rules: list[Rule]) -> Rule:
    least = min(rules, key=lambda rule: _FROM_LEAST.index(rule.unknown or Unknown.TRACK))
    return Rule(
        name=f"{least.name} (country not known)",
        unknown=least.unknown,
        do_not_track_unset=True if any(rule.do_not_track_unset for rule in rules) else None,
        withdrawal_link=any(rule.withdrawal_link for rule in rules),
        device=all(rule.device for rule in rules),
        place=all(rule.place for rule in rules),
    )
