"""`[queue]`: how often and how long mail that waits is tried."""

from __future__ import annotations

from pydantic import Field, field_validator

from tracker.config import Duration, OptionalSize, Table

_SHORTEST_RETRY = 0.1
"""Seconds; with less the queue would do nothing but try."""


class QueueTable(Table):
    first_retry: Duration = Field(default="5m", validate_default=True)
    longest_retry: Duration = Field(default="4h", validate_default=True)
    lifetime: Duration = Field(default="5d", validate_default=True)
    delay_warning: Duration = Field(default="4h", validate_default=True)
    at_once: int = Field(default=20, ge=1, le=1000)
    min_free: OptionalSize = Field(default="100MB", validate_default=True)

    @field_validator("first_retry", "longest_retry")
    @classmethod
    def _not_at_once(cls, value: float) -> float:
        if value < _SHORTEST_RETRY:
            raise ValueError('expected at least "100ms" between two tries')
        return value

    @field_validator("lifetime")
    @classmethod
    def _some_time(cls, value: float) -> float:
        if value <= 0:
            raise ValueError('expected more than "0s": no mail could ever be tried again')
        return value
