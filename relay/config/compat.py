"""`[compat]`: other services' headers, and the service that mail is sent on through."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field, create_model, field_validator, model_validator

from relay.aliases import EVERY, SERVICES, Aliases
from relay.aliases.upstream import names, no_tracking
from tracker.config import Table
from tracker.consent import Ceiling

Upstream = Literal[
    "", "mailgun", "postmark", "ses", "sendgrid", "sparkpost", "mandrill", "mailjet", "smtpeter", "aliyun"
]


if TYPE_CHECKING:
    _Passing = Table
else:  # `pass` is a word of Python's own, which a class cannot spell
    _Passing = create_model("_Passing", __base__=Table, **{"pass": (tuple[str, ...], ())})


class CompatTable(_Passing):
    services: tuple[str, ...] = tuple(SERVICES)
    ses_configuration_sets: dict[str, Ceiling] = Field(default_factory=dict)
    upstream: Upstream = ""
    upstream_configuration_set: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")

    @field_validator("services")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in SERVICES:
                raise ValueError(f"{name!r} is none of {', '.join(SERVICES)}")
        return value

    @field_validator("pass")
    @classmethod
    def _are_headers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if EVERY.find(name.lower()) is None:
                raise ValueError(f"{name!r} is no header that is taken out; see docs/compatibility.md")
        return value

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> CompatTable:
        both = {name.lower() for name in self.passed} & names(self.upstream)
        if both:
            raise ValueError(
                f"{', '.join(sorted(both))} cannot be passed on: upstream is told not to track by it"
            )
        return self

    @property
    def passed(self) -> tuple[str, ...]:
        """Names of headers that are read and yet forwarded."""
        names: tuple[str, ...] = getattr(self, "pass")
        return names

    @cached_property
    def aliases(self) -> Aliases:
        if set(self.services) == set(SERVICES) and not self.passed:
            return EVERY
        return Aliases(self.services, self.passed)

    @property
    def no_tracking(self) -> bytes:
        """The header lines by which upstream is told not to track; nothing where it needs none."""
        return no_tracking(self.upstream, self.upstream_configuration_set)

    def doubts(self) -> list[str]:
        if self.upstream == "ses" and not self.upstream_configuration_set:
            return [
                '[compat] upstream = "ses" adds nothing without upstream_configuration_set: Amazon SES has no header '
                "for it, so name a configuration set that records neither opens nor clicks"
            ]
        return []
