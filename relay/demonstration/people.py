"""The people of the month: names, what they said about being measured, what they read mail with. Pure; the same for the
same dice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from relay.demonstration.company import (
    BRANDS,
    COUNTRIES,
    CUSTOMER_GROUPS,
    CUSTOMERS,
    DEPARTMENTS,
    HOUSE,
    NEWCOMERS,
    SYSTEMS,
)
from relay.demonstration.reading import PROGRAMS, Program
from tracker.consent import Consent, DoNotTrack

T = TypeVar("T")

_FIRST = (
    "ada amara anton beatrice bruno camille carla clara colin daria david edith elena emil fatima felix flora frieda"
    " gareth giulia greta hanna henri hugo ida imogen ines ivo jana jonas josefine karim klara lars lea leo lucia luis"
    " mara marco marie mathilde mira nadia nell nils noor olga oscar paola paul petra priya rafael rosa ruth samir"
    " selma silvia simon sofia stefan tara theo thomas tilda ugo ursula vera viktor wanda yara yusuf zoe"
)
_LAST = (
    "abel ashworth baker bauer bianchi blanc brandt byrne conti cooper delacroix dubois ellery ferrari fischer forde"
    " fournier garnier greco haas hartley hoffmann huber iqbal jansen keller khan kowalski lambert lange larsson"
    " marchetti meier moreau mueller nowak okafor olsen patel perrin pohl quinn rey ricci roth rousseau sauer schmid"
    " shaw silva sommer steiner taylor thorne vogel walsh weber whitfield winter wolff young zeller"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who gets mail."""

    address: str
    country: str
    group: str
    consent: Consent | None
    do_not_track: bool
    program: Program
    interest: float
    """How likely they are to look at mail that they like, from 0 to 1."""
    brands: frozenset[str] = frozenset()
    """Keys of those they have subscribed to; nothing for staff."""
    said_days: int = 100
    """How many days before the month they said it."""
    gone: bool = False
    """The mailbox is there no more."""
    full: bool = False
    joins: int = 0
    """After so many days of the month; 0: known from the beginning."""

    @property
    def is_staff(self) -> bool:
        return not self.brands

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def weighed(dice: Random, weights: Mapping[T, int]) -> T:
    """One of them, the likelier the heavier."""
    return dice.choices(list(weights), list(weights.values()))[0]


def populate(dice: Random) -> list[Person]:
    """Everybody, customers first."""
    names = _names(dice)
    people = [_customer(dice, next(names)) for _ in range(CUSTOMERS)]
    people += [
        replace(_customer(dice, next(names)), consent=Consent.GRANTED, joins=2 * number + 1)
        for number in range(NEWCOMERS)
    ]
    for department, size in DEPARTMENTS.items():
        people += [_employee(dice, next(names), department) for _ in range(size)]
    return people


def _names(dice: Random) -> Iterator[str]:
    every = [f"{first}.{last}" for first in _FIRST.split() for last in _LAST.split()]
    dice.shuffle(every)
    return iter(every)


_SAID: Mapping[tuple[Consent | None, bool], int] = {
    (Consent.GRANTED, False): 57,
    (Consent.GRANTED, True): 10,
    (None, False): 18,
    (Consent.DENIED, False): 9,
    (Consent.WITHDRAWN, False): 4,
    (Consent.UNKNOWN, True): 2,
}
_AT_WORK: Mapping[tuple[Consent | None, bool], int] = {
    (Consent.GRANTED, False): 74,
    (Consent.GRANTED, True): 14,
    (None, False): 4,
    (Consent.DENIED, False): 8,
}
_ABROAD = {
    "DE": ("postfach.example", "inboxly.example"),
    "AT": ("postfach.example",),
    "CH": ("postfach.example", "inboxly.example"),
    "FR": ("lettre.example", "brasserie-lune.example", "lettre.example"),
    "IT": ("casella.example",),
}


def _customer(dice: Random, name: str) -> Person:
    country = weighed(dice, COUNTRIES)
    system = weighed(dice, {one.domain: one.share for one in SYSTEMS})
    if country in _ABROAD and dice.random() < 0.6:
        system = dice.choice(_ABROAD[country])
    consent, do_not_track = weighed(dice, _SAID)
    brands = frozenset(one.key for one in BRANDS if dice.random() < 0.62) or frozenset({BRANDS[0].key})
    return Person(
        address=f"{name}@{system}",
        country=country,
        group=weighed(dice, CUSTOMER_GROUPS),
        consent=consent,
        do_not_track=do_not_track,
        program=weighed(dice, {one: one.share for one in PROGRAMS}),
        interest=min(0.95, max(0.02, dice.betavariate(1.6, 1.9))),
        brands=brands,
        said_days=dice.randint(5, 400),
        gone=dice.random() < (0.12 if system == "oldtown-mail.example" else 0.012),
        full=dice.random() < 0.008,
    )


def _employee(dice: Random, name: str, department: str) -> Person:
    consent, do_not_track = weighed(dice, _AT_WORK)
    return Person(
        address=f"{name}@{HOUSE}",
        country="DE",
        group=department,
        consent=consent,
        do_not_track=do_not_track,
        program=weighed(dice, {one: one.share for one in PROGRAMS if one.at_work}),
        interest=min(0.97, dice.betavariate(3.2, 1.4)),
        said_days=dice.randint(20, 700),
    )


def as_file(people: list[Person], begins: datetime) -> str:
    """The export of the shop's customers as it is imported, with two rows nobody can read."""
    text = io.StringIO()
    columns = (
        "email",
        "country",
        "group",
        "tracking_consent",
        "do_not_track",
        "as_of",
        "evidence",
        "language",
    )
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for number, one in enumerate(people):
        said_at = begins - timedelta(days=one.said_days, minutes=number)
        has_said = one.consent is not None
        table.writerow(
            (
                one.address,
                one.country,
                one.group,
                one.consent.value if one.consent is not None else "",
                DoNotTrack.TRUE.value if one.do_not_track else DoNotTrack.UNSET.value,
                said_at.isoformat(timespec="seconds") if has_said or one.do_not_track else "",
                f"sign-up form v3, order {7000 + number}" if has_said else "",
                "de" if one.country in ("DE", "AT", "CH") else "en",
            )
        )
    table.writerow(("nobody-at-all", "DE", "retail", "granted", "unset", "", "", "de"))
    table.writerow(("may.be@brightpost.example", "GB", "retail", "yes please", "unset", "", "", "en"))
    return text.getvalue()
