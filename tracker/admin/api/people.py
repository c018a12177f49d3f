"""The shapes in which the API tells and hears of people. An address stands in bodies only, never in a URL."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from tracker.admin.api.shapes import Address, Listing, Shape, Text, Time, Word
from tracker.consent import Consent, DoNotTrack
from tracker.errors import NotFound
from tracker.store.contacts import Person
from tracker.store.register import Effect

MOST = 1000
"""People in one request."""
Country = Annotated[str, Field(pattern=r"^([A-Za-z]{2})?$", examples=["FR"])]
_NAMES = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
Attributes = Annotated[dict[_NAMES, Text], Field(max_length=100)]


class Contact(Shape):
    """One person, as they are known now; what they did is not in it."""

    id: int
    address: str
    tracking_consent: Consent
    consent_as_of: Time | None
    consent_source: str | None
    do_not_track: DoNotTrack
    country: str | None
    group: str | None
    attributes: dict[str, str]
    created_at: Time


class Which(Listing):
    tracking_consent: Consent | None = None
    do_not_track: DoNotTrack | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    group: Word | None = None


class Whom(Shape):
    address: Address


class Facts(Shape):
    """What is changed; what is left out stays. An empty text takes a value away."""

    country: Country | None = None
    group: Text | None = None
    attributes: Attributes | None = None


class Said(Shape):
    """What a person said, when, and what proves it."""

    tracking_consent: Consent | None = None
    do_not_track: DoNotTrack | None = None
    as_of: Time | None = Field(default=None, description="When they said it; now when left out.")
    evidence: Annotated[dict[_NAMES, Text], Field(max_length=50)] = Field(
        default_factory=dict,
        description="What proves it: the text shown and its version, the form's URL, a reference.",
    )


class Known(Said, Facts):
    """A person, and what is said of them. What is left out stays as it is."""

    address: Address


class Many(Shape):
    contacts: Annotated[list[Known], Field(min_length=1, max_length=MOST)]


class Outcome(Shape):
    """What became of it."""

    effect: Effect = Field(
        description="`not-effective`: kept in the register, without effect: a grant undoes the person's own refusal only "
        "if it is later and carries evidence."
    )
    reason: str = Field(description="Why it had no effect; empty where it had.")


class Taken(Outcome):
    id: int | None = Field(description="Null of somebody who was erased and stays so.")


class Outcomes(Shape):
    """In the order of the request."""

    outcomes: list[Outcome]


class Row(Shape):
    """A row of the register about one person."""

    seq: int
    recorded_at: str
    holds: bool = Field(description="It is in itself what was committed to when it was written.")
    said: dict[str, JsonValue] | None = Field(description="Null once erased.")


class History(Shape):
    """All a person ever said."""

    rows: list[Row]


class Export(Shape):
    """Everything kept of one person (GDPR art. 15 and 20), as `candor contact export` gives it."""

    content: dict[str, JsonValue]


class Loose(Shape):
    events: int = Field(description="Opens and clicks that named them, and no longer do.")
    deliveries: int


class Gone(Shape):
    events: int = Field(description="Opens and clicks that went with them.")


def shown(person: Person) -> Contact:
    """Raises NotFound for who was erased: nothing is known of them."""
    if person.erased or person.address is None:
        raise NotFound("there is no such contact: the person was erased")
    return Contact(
        id=person.id,
        address=person.address,
        tracking_consent=person.consent,
        consent_as_of=person.consent_as_of,
        consent_source=person.consent_source,
        do_not_track=person.do_not_track,
        country=person.country,
        group=person.group,
        attributes=person.attributes,
        created_at=person.created_at,
    )
