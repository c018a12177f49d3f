"""`[bounces]` and `[suppression]`: reports that come back, and what follows from them."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from tracker.address import domain_of, normalize, normalize_domain
from tracker.config import Size, Table
from tracker.errors import InvalidAddress

_LOCAL_PART = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


class BouncesTable(Table):
    domain: str = ""
    feedback: str = "fbl"
    postmaster: str = ""
    max_size: Size = Field(default="10MB", validate_default=True)

    @field_validator("domain")
    @classmethod
    def _is_a_domain(cls, value: str) -> str:
        try:
            domain = normalize_domain(value) if value else ""
        except InvalidAddress:
            domain = "."
        if value and ("." not in domain.strip(".") or domain.startswith("[") or len(domain) > 190):
            raise ValueError('expected a domain of its own, such as "bounces.example.com"')
        return domain

    @field_validator("feedback")
    @classmethod
    def _is_a_local_part(cls, value: str) -> str:
        if value and not _LOCAL_PART.fullmatch(value.lower()):
            raise ValueError('expected what stands before the @, such as "fbl"')
        return value.lower()

    @field_validator("postmaster")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            return normalize(value) if value else ""
        except InvalidAddress:
            raise ValueError('expected an address that somebody reads, such as "ops@example.com"') from None

    @model_validator(mode="after")
    def _postmaster_is_elsewhere(self) -> BouncesTable:
        if self.domain and domain_of(self.postmaster or "@") == self.domain:
            raise ValueError(
                "postmaster must be an address outside the bounce domain: nobody reads mail there"
            )
        return self


class SuppressionTable(Table):
    hard_bounces: bool = False
    after: int = Field(default=1, ge=1, le=1000)
    complaints: bool = False
