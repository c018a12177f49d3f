"""The country of an address, from a database in MaxMind's format that the operator names. The address itself is never
kept; a city never looked up."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import maxminddb

from tracker.errors import ConfigError

_CODE = re.compile(r"[A-Z]{2}\Z")


class Countries:
    """`of(address)`; without a file nothing is known of any address."""

    def __init__(self, file: str = "") -> None:
        """Raises ConfigError for a file that is no such database."""
        try:
            self._reader = maxminddb.open_database(file) if file else None
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise ConfigError(f"[geography] database: {file} cannot be used: {error}") from None

    def of(self, address: str | IPv4Address | IPv6Address) -> str:
        """Two letters (ISO 3166), `""` where the database does not say."""
        if self._reader is None:
            return ""
        try:
            found = self._reader.get(address)
        except (
            ValueError,
            maxminddb.InvalidDatabaseError,
        ):  # no address, or a damaged file: it is only context
            return ""
        for key in ("country", "registered_country"):
            place = found.get(key) if isinstance(found, dict) else None
            code = place.get("iso_code") if isinstance(place, dict) else None
            if isinstance(code, str) and _CODE.match(code):
                return code
        return ""
