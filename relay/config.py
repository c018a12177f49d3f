"""The relay's part of the configuration: where mail comes in, where it goes, who may do what."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from relay.rulebook import Rules
from relay.upstream import UpstreamSettings, parse_url
from tracker import config as tracker_config
from tracker.config import Duration, Listen, OptionalListen, Size, Table
from tracker.consent import Ceiling
from tracker.tokens import longest_destination


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; expected a network such as "10.0.0.0/8" or "::1/128"') from None
    return value


def _upstream_url(value: str) -> str:
    parse_url(value)
    return value


NetworkText = Annotated[str, AfterValidator(_network)]


class UserTable(Table):
    """One `[[relay.user]]`."""

    name: str = Field(min_length=1)
    password_hash: str
    track: Ceiling = Ceiling.FULL

    @field_validator("password_hash")
    @classmethod
    def _is_a_hash(cls, value: str) -> str:
        if not value.startswith("$argon2"):
            raise ValueError("expected what `candor user hash` prints (it begins with $argon2)")
        return value


class RelayTable(Table):
    listen: Listen = "127.0.0.1:2525"
    listen_tls: OptionalListen = ""
    certificate: str = ""
    private_key: str = ""
    hostname: str = ""
    allowed_networks: tuple[NetworkText, ...] = ("127.0.0.0/8", "::1/128")
    max_message_size: Size = Field(default="25MB", validate_default=True)
    max_recipients: int = Field(default=1000, ge=100)
    wait_for_upstream: Duration = Field(default="20s", validate_default=True)
    bare_newlines: Literal["refuse", "normalize"] = "refuse"
    user: tuple[UserTable, ...] = ()

    @field_validator("user")
    @classmethod
    def _once_each(cls, value: tuple[UserTable, ...]) -> tuple[UserTable, ...]:
        names = [user.name for user in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"user {', '.join(twice)} is there twice; each name may stand once")
        return value

    @model_validator(mode="after")
    def _certificate_and_key(self) -> RelayTable:
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("certificate and private_key go together: set both, or neither")
        if self.listen_tls and not self.certificate:
            raise ValueError("listen_tls needs certificate and private_key")
        return self

    @property
    def name(self) -> str:
        """What we call ourselves; this machine's own name where the configuration says nothing."""
        return self.hostname or socket.gethostname() or "localhost"


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


_SHORTEST_RETRY = 0.1
"""Seconds; with less the queue would do nothing but try."""


class QueueTable(Table):
    first_retry: Duration = Field(default="5m", validate_default=True)
    longest_retry: Duration = Field(default="4h", validate_default=True)
    lifetime: Duration = Field(default="5d", validate_default=True)
    at_once: int = Field(default=20, ge=1, le=1000)

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


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return value


Patterns = Annotated[tuple[str, ...], AfterValidator(_patterns)]
_RULES = Rules()


class RewriteTable(Table):
    skip_hosts: tuple[str, ...] = _RULES.skip_hosts
    skip_patterns: Patterns = _RULES.skip_patterns
    unsubscribe_patterns: Patterns = _RULES.unsubscribe_patterns
    wrapped_hosts: tuple[str, ...] = _RULES.wrapped_hosts
    wrap_visible_urls: bool = _RULES.wrap_visible_urls
    wrap_outlook: bool = _RULES.wrap_outlook
    wrap_plain_text: bool = _RULES.wrap_plain_text
    protocol_relative: bool = _RULES.protocol_relative
    max_links: int = Field(default=_RULES.max_links, ge=0, le=10_000)
    track_signed: bool = _RULES.track_signed

    def rules(self, public_url: str) -> Rules:
        """The rules of rewriting for links that will point at `public_url`."""
        return Rules(
            **{name: getattr(self, name) for name in type(self).model_fields},
            own_hosts=(urlsplit(public_url).hostname or "",),
            max_url_length=longest_destination(public_url),
        )


class OverrideTable(Table):
    users: tuple[str, ...] = ()
    networks: tuple[NetworkText, ...] = ()
    lawful_basis: str = ""
    lawful_basis_confirmed_by: str = ""

    @property
    def is_confirmed(self) -> bool:
        """The lawful basis is named, and who confirmed it."""
        return bool(self.lawful_basis.strip() and self.lawful_basis_confirmed_by.strip())

    def permits(self, user: str | None, address: str) -> bool:
        """May this client pass over consent? Only if the ground is named and confirmed, and the client listed."""
        return self.is_confirmed and (
            (user is not None and user in self.users) or within(address, self.networks)
        )


class Config(tracker_config.Config):
    """The whole configuration."""

    relay: RelayTable = RelayTable()
    upstream: UpstreamTable = UpstreamTable()
    queue: QueueTable = QueueTable()
    rewrite: RewriteTable = RewriteTable()
    override: OverrideTable = OverrideTable()


def doubts(config: Config) -> list[str]:
    """What is allowed and yet hardly meant, each as a sentence for the operator."""
    found = []
    sends = not config.upstream.url.startswith("capture:")
    if sends and _is_here(config.tracker.public_url):
        found.append(
            f"[tracker] public_url = {config.tracker.public_url!r} leads to the reader's own machine, and mail goes "
            "out: its links will be dead. Set it to the tracker's public address"
        )
    if config.relay.user and not config.relay.certificate:
        found.append(
            "[[relay.user]] cannot log in: logins need TLS, so set [relay] certificate and private_key"
        )
    override = config.override
    if (override.users or override.networks) and not override.is_confirmed:
        found.append("[override] permits nobody until lawful_basis and lawful_basis_confirmed_by are set")
    if any(ipaddress.ip_network(network).prefixlen == 0 for network in config.relay.allowed_networks):
        found.append("[relay] allowed_networks lets the whole world send through this relay")
    return found


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or within(host, ("127.0.0.0/8",))


def load(path: Path | None) -> Config:
    """The whole configuration in `path`; all defaults when None. Raises ConfigError."""
    return tracker_config.load(path, Config)


def within(address: str, networks: tuple[str, ...]) -> bool:
    """Does the IP address lie in one of the networks? False for what is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return any((mapped or ip) in ipaddress.ip_network(network) for network in networks)
