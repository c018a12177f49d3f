"""A conversion as a site tells it, read and taken down: the same for the pixel, the command and whoever else comes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tracker.address import normalize
from tracker.clickid import read_click_id
from tracker.config import GoalTable
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.money import currency_code, parse_amount
from tracker.store.conversions import Recorded, Told

_ORDER = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]{1,128}")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """In the site's words; None: not said. Either a click id or a contact's address."""

    goal: str
    click_id: str | None = None
    contact: str | None = None
    order: str | None = None
    value: str | None = None
    currency: str | None = None
    at: datetime | None = None
    """None: now."""


def read_said(domain: Domain, said: Said, now: datetime) -> Told:
    """What it says, in our terms. Raises InvalidValue, InvalidAddress, TokenError."""
    goal = _goal(domain, said.goal)
    if (said.click_id is None) == (said.contact is None):
        raise InvalidValue("either a click id or a contact says whose conversion it is")
    if said.order is not None and not _ORDER.fullmatch(said.order):
        raise InvalidValue("an order is named by 1 to 128 printable characters")
    at = said.at or now
    if at.tzinfo is None or not _EARLIEST <= at <= now + _CLOCKS_DIFFER:
        raise InvalidValue(f"{at.isoformat()}: a conversion has happened, so its time is not in the future")
    currency, value = _worth(goal, said)
    return Told(
        goal=goal.name,
        window_days=goal.window_days,
        at=at,
        delivery=read_click_id(said.click_id, domain.ring).delivery if said.click_id is not None else None,
        address=normalize(said.contact) if said.contact is not None else None,
        order=said.order or "",
        currency=currency,
        value=value,
    )


async def record_conversion(domain: Domain, told: Told, now: datetime) -> Recorded:
    """Takes it down, once. Raises StoreUnavailable, StoreError."""
    least = domain.config.anonymity.min_group
    return await domain.conversions.record(told, policy=domain.policy, min_group=least, now=now)


def _goal(domain: Domain, name: str) -> GoalTable:
    goals = {one.name: one for one in domain.config.goal}
    if name not in goals:
        known = f"there are {', '.join(goals)}" if goals else "the configuration names none ([[goal]])"
        raise InvalidValue(f"there is no goal {name!r}: {known}")
    return goals[name]


def _worth(goal: GoalTable, said: Said) -> tuple[str, int]:
    """Currency and minor units: what was said, else what the goal is worth; `""` and 0 for neither."""
    if said.value is None:
        if said.currency is not None:
            raise InvalidValue("a currency without a value")
        return (goal.currency, parse_amount(goal.value, goal.currency)) if goal.value else ("", 0)
    if said.currency is None and not goal.currency:
        raise InvalidValue("a value needs a currency, such as EUR")
    currency = goal.currency if said.currency is None else currency_code(said.currency)
    return currency, parse_amount(said.value, currency)
