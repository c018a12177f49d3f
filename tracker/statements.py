"""What is said of one person, as a value, and how words become it: exactly as sent, or refused with key, value and
what is allowed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

from tracker.address import normalize
from tracker.consent import Consent, DoNotTrack
from tracker.errors import InvalidValue

W = TypeVar("W", bound=StrEnum)

_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is said of one person. None leaves a value alone."""

    address: str
    consent: Consent | None = None
    do_not_track: DoNotTrack | None = None
    is_implied: bool = False
    """`do_not_track` is what silence means: nobody said it."""
    country: str | None = None
    group: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    as_of: datetime | None = None
    """When the person said it; None: now."""
    do_not_track_as_of: datetime | None = None
    """The same for `do_not_track`, where it was said at another time; None: as `as_of` has it."""
    evidence: Mapping[str, str] = field(default_factory=dict)


def parse_statement(
    address: str, fields: Mapping[str, str], *, evidence: Mapping[str, str], is_implied: bool = False
) -> Statement:
    """A statement from words, exactly as sent: `tracking_consent`, `do_not_track`, `country`, `group`, `as_of`,
    and free attributes under any other name. `is_implied`: its `do_not_track` is what silence means.

    Raises InvalidAddress, and InvalidValue that names key, value and what is allowed."""
    consent, do_not_track = fields.get("tracking_consent"), fields.get("do_not_track")
    country, as_of, apart = fields.get("country"), fields.get("as_of"), fields.get("do_not_track_as_of")
    return Statement(
        address=normalize(address),
        consent=_word(Consent, _CONSENTS, "tracking_consent", consent) if consent is not None else None,
        do_not_track=_word(DoNotTrack, _CHOICES, "do_not_track", do_not_track)
        if do_not_track is not None
        else None,
        is_implied=is_implied,
        country=_country(country) if country is not None else None,
        group=fields.get("group"),
        as_of=parse_moment("as_of", as_of) if as_of is not None else None,
        do_not_track_as_of=parse_moment("do_not_track_as_of", apart) if apart is not None else None,
        attributes={attribute_name(name): fields[name] for name in fields if name not in _TAKEN},
        evidence=dict(evidence),
    )


KEYS = ("tracking_consent", "do_not_track", "country", "group", "as_of", "do_not_track_as_of", "evidence")


_TAKEN = frozenset({"tracking_consent", "do_not_track", "country", "group", "as_of", "do_not_track_as_of"})
_CONSENTS: dict[str, Consent] = {str(word): word for word in Consent}
_CHOICES: dict[str, DoNotTrack] = {str(word): word for word in DoNotTrack}

_MEANT = {
    "consent": "tracking_consent",
    "tracking": "tracking_consent",
    "optin": "tracking_consent",
    "opt_in": "tracking_consent",
    "optout": "tracking_consent",
    "opt_out": "tracking_consent",
    "dnt": "do_not_track",
    "donottrack": "do_not_track",
}


@lru_cache(maxsize=1024)
def attribute_name(name: str) -> str:
    """The name of an attribute of one's own. Raises InvalidValue for one that was surely meant as one of ours:
    a withdrawal must not be filed as a remark."""
    plain = re.sub(r"[\s-]+", "_", name.strip().lower())
    meant = _MEANT.get(plain) or next(iter(get_close_matches(plain, KEYS, n=1, cutoff=0.8)), None)
    if meant is not None:
        raise InvalidValue(f"{name!r} is no name for an attribute of your own: did you mean {meant}?")
    return name


def _word(words: type[W], known: Mapping[str, W], key: str, value: str) -> W:
    word = known.get(value)
    if word is None:
        raise InvalidValue(f"{key}: {value!r} is not one of {', '.join(words)}")
    return word


@lru_cache(maxsize=1024)
def _country(value: str) -> str:
    if value == "":
        return value
    if len(value) != 2 or not value.isascii() or not value.isalpha():
        raise InvalidValue(f"country: {value!r} is no country code of two letters (ISO 3166), such as FR")
    return value.upper()


def parse_moment(key: str, value: str) -> datetime:
    """A time in ISO 8601 with its zone, in UTC. Raises InvalidValue that names `key`."""
    try:
        moment = datetime.fromisoformat(value)
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue(f"{key}: {value!r} is no time; write 2026-05-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise InvalidValue(f"{key}: {value!r} has no time zone; write 2026-05-01T12:00:00Z")
    return in_utc


def checked(statement: Statement, now: datetime) -> Statement:
    """The statement, when it could be true. Raises InvalidValue for a time that has not come yet: nobody could
    ever withdraw what was said tomorrow."""
    if statement.as_of is not None:
        _check_moment("as_of", statement.as_of, now)
    if statement.do_not_track_as_of is not None:
        _check_moment("do_not_track_as_of", statement.do_not_track_as_of, now)
    return statement


def _check_moment(key: str, moment: datetime, now: datetime) -> None:
    if moment.tzinfo is None:
        raise InvalidValue(f"{key} {moment.isoformat()} has no time zone; write 2026-05-01T12:00:00Z")
    if moment > now + _TOLERANCE:
        raise InvalidValue(f"{key} {moment.isoformat()} lies in the future")
