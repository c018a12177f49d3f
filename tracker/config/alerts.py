"""`[[alert]]`: what somebody wants to be told as it happens, and who."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tracker.address import normalize
from tracker.config.values import Duration, Table
from tracker.errors import InvalidAddress
from tracker.urlpattern import checked_pattern

_KEYS = {
    "opens": ("times", "window", "segment"),
    "click": ("link", "segment"),
    "bounces": ("share", "least", "window", "per"),
}
"""By kind, the keys that say what is looked for."""


def _address(value: str) -> str:
    try:
        return normalize(value)
    except InvalidAddress as error:
        raise ValueError(f'{error}; expected a mail address such as "sales@example.com"') from None


MailAddress = Annotated[str, AfterValidator(_address)]
OptionalAddress = Annotated[str, AfterValidator(lambda value: _address(value) if value else value)]
LinkPattern = Annotated[str, AfterValidator(lambda value: checked_pattern(value) if value else value)]


class AlertTable(Table):
    """One `[[alert]]`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    kind: Literal["opens", "click", "bounces"]
    to: tuple[MailAddress, ...] = Field(min_length=1, max_length=20)
    sender: OptionalAddress = ""
    times: int = Field(default=3, ge=2, le=1000)
    link: LinkPattern = ""
    segment: str = ""
    share: float = Field(default=0.05, gt=0, le=1)
    least: int = Field(default=50, ge=1)
    window: Duration = Field(default="1d", validate_default=True, ge=60, le=30 * 86400)
    per: Literal["domain", "all"] = "domain"
    quiet: Duration = Field(default="1h", validate_default=True, le=30 * 86400)
    most_a_day: int = Field(default=50, ge=1, le=10_000)

    @model_validator(mode="after")
    def _goes_together(self) -> AlertTable:
        if self.kind == "click" and not self.link:
            raise ValueError('kind = "click" needs a link, such as link = "*/price-list*"')
        mine = _KEYS[self.kind]
        others = {key for keys in _KEYS.values() for key in keys if key not in mine}
        for key in sorted(others & self.model_fields_set):
            if getattr(self, key) != _DEFAULTS[key]:
                raise ValueError(
                    f'{key} says nothing for kind = "{self.kind}", which takes {", ".join(mine)}'
                )
        return self


_DEFAULTS = {
    "times": 3,
    "link": "",
    "segment": "",
    "share": 0.05,
    "least": 50,
    "window": 86400.0,
    "per": "domain",
}
"""What the example file says of keys that are for another kind is no mistake."""
