"""What somebody did on a site, as the site's server tells it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tracker.admin.api.operations import Answer, Call, Operation
from tracker.admin.api.shapes import Address, Shape, Time, Word
from tracker.converting import Said, read_said, record_conversion


class Conversion(Shape):
    """Whose it is says either `click_id` or `contact`."""

    goal: Word
    click_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")] | None = None
    contact: Address | None = None
    order: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="The same order is counted once."
    )
    value: Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,4})?$", examples=["49.90"])] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])] | None = None
    at: Time | None = Field(default=None, description="Now when left out.")


class Noted(Shape):
    is_new: bool = Field(description="False: it was on record already.")


async def told(call: Call) -> Answer:
    one: Conversion = call.body
    said = Said(
        goal=one.goal,
        click_id=one.click_id,
        contact=one.contact,
        order=one.order,
        value=one.value,
        currency=one.currency,
        at=one.at,
    )
    recorded = await record_conversion(call.domain, read_said(call.domain, said, call.now), call.now)
    return Answer(body=Noted(is_new=recorded.is_new))


OPERATIONS = (
    Operation(
        name="record_conversion",
        method="POST",
        path="/conversions",
        about="An order, a sign-up: whatever is a goal in the configuration.",
        scopes=("conversions:write",),
        takes=Conversion,
        gives=Noted,
        does=told,
        is_repeatable=True,
    ),
)
