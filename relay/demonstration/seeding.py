"""A store is given its month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from relay.config import Config
from relay.demonstration import lives
from relay.demonstration.company import BRANDS
from relay.demonstration.month import Month
from relay.demonstration.people import Person
from relay.demonstration.programme import Issue, programme
from relay.demonstration.shop import Shop
from tracker.domain import Domain
from tracker.jobs import nightly
from tracker.rolling import Rolling

SEED = 2026


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What to look at first."""

    people: int
    copies: int
    """Copies that were taken by a mail system."""
    brands: tuple[str, ...]


async def seed(domain: Domain, config: Config, folder: Path, *, now: datetime, seed: int = SEED) -> Lived:
    """Lives the month that ends `now` in this store, which should be new. `folder` takes the file that is imported. The
    same seed and time give the same month, but for what is drawn by secret dice: ids and salts. Raises StoreError."""
    month = Month(domain=domain, config=config, ends=now, seed=seed, folder=folder)
    month.at(month.begins, partial(lives.begin, month))
    Shop(month)
    lives.plan(month)
    for issue in programme(month.begins, now):
        month.at(issue.at, partial(_send, month, issue))
    await month.live()
    await nightly(domain).look()
    await Rolling(domain.database).all()
    return Lived(
        people=len(month.people), copies=len(month.arrivals), brands=tuple(one.name for one in BRANDS)
    )


async def _send(month: Month, issue: Issue) -> None:
    """Every version goes to its share of the readers."""
    day = (issue.at - month.begins).days
    readers = [
        one for one in month.people if _reads(one, issue.readers, day) and one.address in month.by_address
    ]
    versions = len(issue.letters)
    for number, letter in enumerate(issue.letters):
        await month.send(letter, readers[number::versions])


def _reads(one: Person, readers: str, day: int) -> bool:
    if not readers:
        return one.is_staff
    return readers in one.brands and one.joins < max(day, 1)
