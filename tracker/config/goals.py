"""`[[goal]]` and `[tracking]`: what counts as a conversion, who earns it, and how a site learns of the click."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from tracker.attribution import Model
from tracker.config.values import Duration, Table
from tracker.money import currency_code, parse_amount


def _currency(value: str) -> str:
    return currency_code(value) if value else value


class GoalTable(Table):
    """One `[[goal]]`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    window_days: int = Field(default=30, ge=1, le=365)
    model: Model = Model.LAST_CLICK
    value: str = ""
    currency: Annotated[str, AfterValidator(_currency)] = ""

    @model_validator(mode="after")
    def _is_worth_something(self) -> GoalTable:
        if self.value and not self.currency:
            raise ValueError(f"value = {self.value!r} needs a currency beside it, such as EUR")
        if self.value:
            parse_amount(self.value, self.currency)
        return self


class TrackingTable(Table):
    """How a site that a link leads to learns of the click. Nothing of it happens where there is no `[[goal]]`."""

    click_id_parameter: str = Field(default="cid", pattern=r"^([A-Za-z][A-Za-z0-9_-]{0,31})?$")
    first_party_cookie: Duration = Field(default="0s", validate_default=True, le=400 * 86400)
