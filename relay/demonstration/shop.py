"""What people do on the brands' sites after they followed a link, and the mail that this brings about."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from relay.demonstration.company import BRANDS, NORTHLIGHT, Brand
from relay.demonstration.month import Followed, Month
from relay.demonstration.newsletters import Letter
from relay.demonstration.people import Person
from tracker.clickid import click_id
from tracker.consent import Consent
from tracker.converting import Said, read_said, record_conversion

_BUYS, _ASKS = 0.21, 0.10
"""How often a followed link leads to something bought, or to a brochure asked for."""


class Shop:
    """Watches who comes by a link of the month."""

    def __init__(self, month: Month) -> None:
        self._month = month
        self._orders = 51_000
        month.followed = self._came
        for day in range(1, 31, 2):  # and some come without one
            month.at(month.begins + timedelta(days=day, hours=15, minutes=day), self._by_themselves)

    def _came(self, followed: Followed) -> None:
        month, dice = self._month, self._month.dice
        brand = followed.letter.brand
        if brand is None or followed.letter.message_class == "transactional":
            return
        chance, soon = dice.random(), month.clock.now + timedelta(minutes=dice.uniform(4, 50))
        token = click_id(followed.token, month.domain.ring)
        if chance < _BUYS:
            month.at(soon, partial(self._bought, brand, followed.person, click=token))
        elif chance < _BUYS + _ASKS and brand is NORTHLIGHT:
            month.at(soon, partial(self._asked, token))

    async def _by_themselves(self) -> None:
        month = self._month
        declined = month.dice.random() < 0.4
        customers = [
            one
            for one in month.people
            if one.brands
            and one.address in month.by_address
            and (one.consent in (Consent.DENIED, Consent.WITHDRAWN)) is declined
        ]
        person = month.dice.choice(customers)
        brand = next(one for one in BRANDS if one.key in person.brands)
        await self._bought(brand, person)

    async def _asked(self, click: str) -> None:
        await self._record(Said(goal="brochure", click_id=click))

    async def _bought(self, brand: Brand, person: Person, click: str | None = None) -> None:
        """The site tells of it; the shop confirms it, and writes again when it is on its way."""
        month = self._month
        if person.address not in month.by_address:
            return
        self._orders += 1
        number = f"{brand.key[:2].upper()}-{self._orders}"
        worth = f"{month.dice.randint(brand.lowest, brand.highest)}.{month.dice.choice(('00', '50', '90'))}"
        said = Said(
            goal=brand.goal,
            click_id=click,
            contact=None if click else person.address,
            order=number,
            value=worth,
            currency=brand.currency,
        )
        await self._record(said)
        await month.send(_confirmation(brand, number, worth, self._orders), [person])
        on_its_way = month.clock.now + timedelta(days=1, hours=month.dice.uniform(-3, 6))
        month.at(on_its_way, partial(self._sends, brand, number, person))

    async def _sends(self, brand: Brand, number: str, person: Person) -> None:
        if person.address in self._month.by_address:
            await self._month.send(_dispatch(brand, number, self._orders), [person])

    async def _record(self, said: Said) -> None:
        domain, now = self._month.domain, self._month.clock.now
        await record_conversion(domain, read_said(domain, said, now), now)


def _confirmation(brand: Brand, number: str, worth: str, count: int) -> Letter:
    return Letter(
        sender=brand.desk,
        subject=f"Your {brand.goal} {number}",
        heading="Thank you",
        text=(f"We have your {brand.goal} {number} of {worth} {brand.currency}.",),
        links=((f"See your {brand.goal}", f"account/{number}"), ("Help", "help")),
        tags=("confirmation",),
        message_class="transactional",
        appeal=1.9,
        number=count,
    )


def _dispatch(brand: Brand, number: str, count: int) -> Letter:
    ready = brand is NORTHLIGHT
    subject = f"Your tickets for {number}" if ready else f"{number} is on its way"
    return Letter(
        sender=brand.desk,
        subject=subject,
        heading=subject,
        text=("Keep this at hand.",),
        links=(
            ("Open your tickets" if ready else "Follow the parcel", f"account/{number}/status"),
            ("Help", "help"),
        ),
        tags=("dispatch",),
        message_class="transactional",
        appeal=1.8,
        number=count + 50_000,
    )
