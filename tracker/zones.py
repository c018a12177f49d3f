"""The operator's time zone: the one that is named, else the machine's, else UTC."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LOCALTIME = Path("/etc/localtime")


def zone_named(name: str) -> ZoneInfo:
    """A zone by its IANA name, such as `Europe/Berlin`. Raises ValueError, saying what is expected."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of them, such as "Europe"
        raise ValueError(
            f"{name!r} is no time zone that this machine knows; expected an IANA name such as "
            '"Europe/Berlin", or "UTC"'
        ) from None


@cache
def system_zone() -> ZoneInfo:
    """The machine's, by its IANA name; UTC where the machine does not tell."""
    for name in (os.environ.get("TZ", "").removeprefix(":"), _linked()):
        try:
            if name:
                return zone_named(name)
        except ValueError:
            continue
    return ZoneInfo("UTC")


def _linked() -> str:
    """What /etc/localtime leads to: `/usr/share/zoneinfo/Europe/Berlin`."""
    try:
        return str(_LOCALTIME.resolve()).partition("/zoneinfo/")[2]
    except OSError:
        return ""
