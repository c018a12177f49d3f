"""`[probe]`: how our tracking host is looked after."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from relay.examination import Way
from tracker.config import Duration, Table
from tracker.config.values import OptionalListen


class ProbeTable(Table):
    every: Duration = Field(default="1m", validate_default=True)
    grace: Duration = Field(default="5m", validate_default=True)
    within: Duration = Field(default="10s", validate_default=True, gt=0)
    via: OptionalListen = ""
    ca_file: str = ""

    @field_validator("ca_file")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError(f"there is no file {value}")
        return value

    def way(self) -> Way:
        return Way(via=self.via, ca_file=self.ca_file, within=self.within)
