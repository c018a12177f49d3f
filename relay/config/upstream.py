"""`[upstream]`: where mail goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from relay.upstream import UpstreamSettings, parse_url
from tracker.config import Table


def _upstream_url(value: str) -> str:
    parse_url(value)
    return value


class UpstreamTable(Table):
    url: Annotated[str, AfterValidator(_upstream_url)] = "capture:./candor-data/captured"
    max_connections: int = Field(default=20, ge=1, le=1000)
    verify_certificate: bool = True
    ca_file: str = ""

    def settings(self, hostname: str) -> UpstreamSettings:
        """The upstream as a value. Raises ValueError."""
        if self.ca_file and not Path(self.ca_file).is_file():
            raise ValueError(f"ca_file: there is no file {self.ca_file}")
        parsed: dict[str, Any] = {
            name: getattr(parse_url(self.url), name) for name in UpstreamSettings.__dataclass_fields__
        }
        parsed |= {
            "max_connections": self.max_connections,
            "tls_verify": self.verify_certificate,
            "ca_file": self.ca_file or None,
            "hostname": hostname,
        }
        return UpstreamSettings(**parsed)
