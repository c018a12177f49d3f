"""`[upstream]`, `[[upstream.server]]`, `[[upstream.route]]`: where mail goes.

One `url` is all most need. Further servers take what `[upstream]` says for their default, but never its login; which
of them is asked is said by their priority and weight, and what goes to which by routes, the first that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from relay.upstream import Addresses, Route, Routing, Scheme, Server, Tls, UpstreamSettings, parse_url
from relay.upstream.connection import tls_context
from relay.upstream.routing import DEFAULT_NAME
from tracker.config import Duration, Table

CAPTURED = "capture:./candor-data/captured"
OWN = frozenset({"url", "user", "password", "server", "route"})
"""What `[upstream]` says of itself alone: a login is never shown to another server."""


def _upstream_url(value: str) -> str:
    parse_url(value)
    return value


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    Addresses(value)
    return value


Url = Annotated[str, AfterValidator(_upstream_url)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""One text may stand without brackets."""
AddressTexts = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_addresses)]
TlsText = Literal["", "none", "opportunistic", "require", "verify"]


class _Options(Table):
    """How to speak to a server."""

    user: str = ""
    password: str = ""
    tls: TlsText = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    max_connections: int = Field(default=20, ge=1, le=1000)
    messages_per_connection: int = Field(default=100, ge=1)
    connection_lifetime: Duration = Field(default="5m", validate_default=True, gt=0)
    idle_timeout: Duration = Field(default="30s", validate_default=True)
    connect_timeout: Duration = Field(default="30s", validate_default=True, gt=0)
    command_timeout: Duration = Field(default="5m", validate_default=True, gt=0)
    final_reply_timeout: Duration = Field(default="10m", validate_default=True, gt=0)

    def _settings(self, url: str, hostname: str, processes: int) -> UpstreamSettings:
        """Raises ValueError."""
        for key in ("ca_file", "client_certificate", "client_key"):
            name = getattr(self, key)
            if name and not Path(name).is_file():
                raise ValueError(f"{key}: there is no file {name}")
        parsed = parse_url(url, user=self.user or None, password=self.password or None, tls=_mode(self.tls))
        values = {name: getattr(parsed, name) for name in UpstreamSettings.__dataclass_fields__}
        settings = UpstreamSettings(
            **values
            | {
                "ca_file": self.ca_file or None,
                "client_certificate": self.client_certificate or None,
                "client_key": self.client_key or None,
                "hostname": hostname,
                "max_connections": max(1, self.max_connections // processes),
                "messages_per_connection": self.messages_per_connection,
                "seconds_per_connection": self.connection_lifetime,
                "idle_seconds": self.idle_timeout,
                "connect_timeout": self.connect_timeout,
                "command_timeout": self.command_timeout,
                "data_timeout": self.final_reply_timeout,
            }
        )
        if settings.scheme is not Scheme.CAPTURE:
            tls_context(settings)
        return settings


class ServerTable(_Options):
    """One `[[upstream.server]]`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    url: Url
    priority: int = Field(default=10, ge=0, le=1000)
    weight: int = Field(default=1, ge=1, le=1000)
    routed_only: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, data: object) -> object:
        return _with_files(data, cls.model_fields) if isinstance(data, Mapping) else data

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value == DEFAULT_NAME:
            raise ValueError(f"{DEFAULT_NAME!r} is the name of [upstream] url; take another")
        return value


class RouteTable(Table):
    """One `[[upstream.route]]`."""

    sender: AddressTexts = ()
    recipient: AddressTexts = ()
    user: Texts = ()
    to: Texts = Field(min_length=1)

    def route(self) -> Route:
        return Route(
            to=self.to,
            senders=Addresses(self.sender),
            recipients=Addresses(self.recipient),
            users=frozenset(self.user),
        )


class UpstreamTable(_Options):
    url: Url = CAPTURED
    server: tuple[ServerTable, ...] = ()
    route: tuple[RouteTable, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _hand_down(cls, data: object) -> object:
        """What `[upstream]` says is what its servers have where they say nothing."""
        if not isinstance(data, Mapping) or not isinstance(data.get("server"), list | tuple):
            return data
        common = {key: value for key, value in data.items() if key not in OWN}
        servers = [common | dict(one) if isinstance(one, Mapping) else one for one in data["server"]]
        return {**data, "server": servers}

    @property
    def sends(self) -> bool:
        """May anything leave this machine?"""
        return not all(url.startswith("capture:") for url in self._urls())

    def settings(self, hostname: str, *, processes: int = 1) -> Routing:
        """All servers and routes as a value, for one of so many processes: together they keep to the limits. Raises
        ValueError."""
        servers = [self._server(one, hostname, processes) for one in self.server]
        default = [one.name for one in self.server if not one.routed_only]
        if self._uses_url():
            servers.insert(0, Server(settings=self._settings(self.url, hostname, processes)))
            default.insert(0, DEFAULT_NAME)
        return Routing(
            servers=tuple(servers), routes=tuple(one.route() for one in self.route), default=tuple(default)
        )

    def doubts(self) -> list[str]:
        """What is allowed and yet hardly meant."""
        found = []
        for number, route in enumerate(self.route[:-1], 1):
            if route.route().fits_all:
                found.append(
                    f"[[upstream.route]] number {number} has no condition: those after it are never looked at"
                )
                break
        led_to = {name for route in self.route for name in route.to}
        found.extend(
            f"[[upstream.server]] {one.name} is routed_only, and no route leads to it"
            for one in self.server
            if one.routed_only and one.name not in led_to
        )
        return found

    def _server(self, one: ServerTable, hostname: str, processes: int) -> Server:
        try:
            settings = one._settings(one.url, hostname, processes)
        except ValueError as error:
            raise ValueError(f"server {one.name}: {error}") from None
        return Server(name=one.name, settings=settings, priority=one.priority, weight=one.weight)

    def _uses_url(self) -> bool:
        """Left at its default it stands back as soon as a server takes what no route fits."""
        free = [one.name for one in self.server if not one.routed_only]
        if not free or not self.url.startswith("capture:"):
            return True
        if self.url != CAPTURED:
            raise ValueError(
                f"url keeps mail on this machine, and server {free[0]} would send it: set routed_only there, or leave"
                " url out"
            )
        return False

    def _urls(self) -> list[str]:
        return [self.url, *(one.url for one in self.server)]


def _mode(text: TlsText) -> Tls | None:
    return Tls(text) if text else None


def _with_files(data: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """`password_file = "/run/secrets/x"` gives `password` what the file holds, as everywhere."""
    keys = dict(data)
    for option in [
        option for option in options if f"{option}_file" in keys and f"{option}_file" not in options
    ]:
        path = Path(str(keys.pop(f"{option}_file")))
        if option in data:
            raise ValueError(f"{option}_file: {option} is given too; only one of them is allowed")
        try:
            keys[option] = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{option}_file: {path} cannot be read: {error}") from None
    return keys
