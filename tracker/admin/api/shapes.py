"""What all shapes of the API have in common: strict, frozen, and nothing unknown in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from tracker.errors import InvalidValue
from tracker.moments import isoformat

T = TypeVar("T")

_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Text = Annotated[str, Field(max_length=500, pattern=_PRINTABLE)]
"""One line."""
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=_PRINTABLE)]
Address = Annotated[
    str, Field(min_length=3, max_length=320, pattern=_PRINTABLE, examples=["ann@example.org"])
]
"""A mail address; whether it is one is looked at later."""
HexId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["0123456789abcdef0123456789abcdef"])]
"""The id of a message or a delivery."""
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_THIRTY_DAYS = timedelta(days=30)


def _in_utc(moment: datetime) -> datetime:
    try:
        found = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time between the years 1970 and 9998") from None
    if not found >= _EARLIEST or found.year > 9998:
        raise ValueError("a time between the years 1970 and 9998")
    return found


Time = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(isoformat, return_type=str, when_used="json"),
    Field(examples=["2026-05-01T12:00:00Z"]),
]
"""ISO 8601 with its zone; answers are in UTC, to the millisecond."""


class Shape(BaseModel):
    """Something that comes in or goes out as JSON."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)


class Asked(BaseModel):
    """What stands behind the `?`: words, read as what they are meant to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Listing(Asked):
    """How much of a list."""

    limit: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="At most so many; 100 in a page, all in a stream."
    )
    cursor: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.-]+$")] | None = Field(
        default=None, description="`next` of the page before."
    )


class Part(Shape, Generic[T]):
    """A page of a list."""

    items: list[T]
    next: str | None = Field(description="Give it as `cursor` for what follows; null at the end.")


class Period(Asked):
    since: Time | None = Field(default=None, description="Thirty days ago when left out.")
    until: Time | None = Field(default=None, description="Now when left out.")

    def between(self, now: datetime) -> tuple[datetime, datetime]:
        """From, and before. Raises InvalidValue where nothing lies between."""
        until = self.until or now
        since = self.since or max(_EARLIEST, until.replace(microsecond=0) - _THIRTY_DAYS)
        if since >= until:
            raise InvalidValue("since: has to be before until")
        return since, until
