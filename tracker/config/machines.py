"""`[verdict]` and `[geography]`: the lists of machines, and where countries are looked up."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import field_validator

from tracker.config.values import Table
from tracker.verdict import Lists, read_lists

_DATA = Path(__file__).parent.parent / "data"


class VerdictTable(Table):
    agents_file: str = ""
    networks_file: str = ""

    @field_validator("agents_file")
    @classmethod
    def _agents_can_be_read(cls, value: str) -> str:
        if value:
            read_lists(_document(value), {})
        return value

    @field_validator("networks_file")
    @classmethod
    def _networks_can_be_read(cls, value: str) -> str:
        if value:
            read_lists({}, _document(value))
        return value

    def lists(self) -> Lists:
        """The lists as they are now: those that come with Candor where no others are named. Raises ValueError."""
        if not self.agents_file and not self.networks_file:
            return shipped()
        agents = self.agents_file or str(_DATA / "agents.toml")
        networks = self.networks_file or str(_DATA / "networks.toml")
        return read_lists(_document(agents), _document(networks))


class GeographyTable(Table):
    database: str = ""

    @field_validator("database")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError(
                f"there is no file {value}; expected a database of countries in MaxMind's format"
            )
        return value


@cache
def shipped() -> Lists:
    """The lists that come with Candor."""
    return read_lists(_document(str(_DATA / "agents.toml")), _document(str(_DATA / "networks.toml")))


def _document(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is not TOML: {error}") from None
