"""What may stand behind a key: durations, sizes, addresses and patterns as people write them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)

from tracker.address import normalize, normalize_domain
from tracker.errors import InvalidAddress
from tracker.rates import parse_rate
from tracker.zones import zone_named


class Table(BaseModel):
    """A table of the configuration: frozen, and strict about what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _duration(value: object) -> object:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip())
        if not match:
            raise ValueError('expected a duration such as "500ms", "20s", "5m", "4h" or "5d"')
        return float(match[1]) * _UNITS[match[2]]
    raise ValueError('expected a duration in quotes, such as "20s"')


def _size(value: object) -> object:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)\s*(B|KB|MB|GB|KiB|MiB|GiB)", value.strip())
        if not match:
            raise ValueError('expected a size such as "500KB", "25MB" or "1GiB"')
        return int(match[1]) * _SIZES[match[2]]
    raise ValueError('expected a size in quotes, such as "25MB"')


def _shown_duration(seconds: float) -> str:
    """The duration as people write it, exactly: `0.05` is `50ms`, `300.0` is `5m`."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def _shown_size(octets: int) -> str:
    for unit in ("GB", "GiB", "MB", "MiB", "KB", "KiB"):
        if octets and octets % _SIZES[unit] == 0:
            return f"{octets // _SIZES[unit]}{unit}"
    return f"{octets}B"


def parse_listen(text: str) -> tuple[str, int]:
    """`("127.0.0.1", 8080)` from `127.0.0.1:8080`; brackets around IPv6. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('expected host:port, such as "127.0.0.1:2525" or "[::1]:2525"')
    host = host.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('an IPv6 address stands in brackets: "[::1]:2525"')
    return host, int(port)


def _listen(value: str) -> str:
    parse_listen(value)
    return value


def _optional_listen(value: str) -> str:
    return _listen(value) if value else value


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    plain = parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
    if not plain or not parts.hostname or _port(value) == 0:
        raise ValueError('expected the public base URL of the tracker, such as "https://t.example.com"')
    if not re.fullmatch(r"[A-Za-z0-9_./:-]+", value):  # what needs no escape in any part of a mail
        raise ValueError(
            "the public base URL may hold only ASCII letters, digits and -_./: (a name in its IDNA form, no IPv6"
            " address)"
        )
    return value.rstrip("/")


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; expected a network such as "10.0.0.0/8" or "::1/128"') from None
    return value


def _country(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", value):
        raise ValueError('expected a country code of two letters (ISO 3166), such as "FR"')
    return value.upper()


def _domain_pattern(value: str) -> str:
    if not value.removeprefix("*.") or re.search(r"[@*\s]", value.removeprefix("*.")):
        raise ValueError('expected a domain such as "example.org", or "*.example.org" for what lies below it')
    try:
        return ("*." if value.startswith("*.") else "") + normalize_domain(value.removeprefix("*."))
    except InvalidAddress as error:
        raise ValueError(str(error)) from None


def _sender_pattern(value: str) -> str:
    if value.startswith("@"):
        return "@" + _domain_pattern(value[1:])
    try:
        return normalize(value)
    except InvalidAddress as error:
        raise ValueError(
            f'{error}; expected "news@shop.example", "@shop.example" or "@*.shop.example"'
        ) from None


def _port(url: str) -> int | None:
    """The port of a URL. ValueError in words of our own: the library's repeat what may be a password."""
    try:
        return urlsplit(url).port
    except ValueError:
        raise ValueError(
            "its port is no number up to 65535 (in a password, write / as %2F, : as %3A and @ as %40)"
        ) from None


def without_password(url: str) -> str:
    """The URL with its passwords as `…`: the one of the login, and those among the parameters."""
    url = re.sub(r"([?&][a-z_]*password=)[^&#]*", r"\1…", url, flags=re.IGNORECASE)
    scheme, separator, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    name, colon, _ = login.partition(":")
    return f"{scheme}{separator}{name}{':…' if colon else ''}{at}{host}" if separator else url


def _store_url(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql://")):
        raise ValueError('expected "sqlite:///PATH" or "postgresql://user:password@host/database"')
    if value.startswith("sqlite:") and value.removeprefix("sqlite:///") in ("", ":memory:"):
        raise ValueError(
            'expected a file: several connections and processes share it, as in "sqlite:///PATH"'
        )
    _port(value)
    return value


def _time_zone(value: str) -> str:
    return str(zone_named(value)) if value else value


def _rate(value: str) -> str:
    return str(parse_rate(value)) if value else value


Duration = Annotated[float, BeforeValidator(_duration), Field(ge=0), PlainSerializer(_shown_duration)]
"""Seconds; written `"20s"`."""
Size = Annotated[int, BeforeValidator(_size), Field(gt=0), PlainSerializer(_shown_size)]
"""Octets; written `"25MB"`."""
OptionalSize = Annotated[int, BeforeValidator(_size), Field(ge=0), PlainSerializer(_shown_size)]
"""Octets; `"0B"` for none."""
RateText = Annotated[str, AfterValidator(_rate)]
"""A rate as people write it, or empty for none."""
Listen = Annotated[str, AfterValidator(_listen)]
OptionalListen = Annotated[str, AfterValidator(_optional_listen)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]


Country = Annotated[str, AfterValidator(_country)]
DomainPattern = Annotated[str, AfterValidator(_domain_pattern)]
SenderPattern = Annotated[str, AfterValidator(_sender_pattern)]


TimeZone = Annotated[str, AfterValidator(_time_zone)]
"""An IANA name, or empty for the machine's."""
NetworkText = Annotated[str, AfterValidator(_network)]
