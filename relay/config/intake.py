"""`[relay]` and `[[relay.user]]`: where mail comes in, and who may send it."""

from __future__ import annotations

import re
import socket
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from relay.config.networks import NetworkText
from relay.users import User
from tracker.config import Duration, Listen, OptionalListen, OptionalSize, RateText, Size, Table
from tracker.consent import Ceiling
from tracker.passwords import is_hash
from tracker.rates import Rate, parse_rate

LEAST_TIMEOUT = 10.0
MOST_TAGS, LONGEST_TAG = 20, 128
_SENDER = re.compile(r"[^@\s]*@(\*\.)?[^@\s*]+")


def _sender(value: str) -> str:
    match = _SENDER.fullmatch(value)
    if match is None or (match[1] and not value.startswith("@")):
        raise ValueError('expected "news@shop.example", "@shop.example" or "@*.shop.example"')
    return value


Sender = Annotated[str, AfterValidator(_sender)]


def rate(text: str) -> Rate | None:
    """The rate that a checked text stands for."""
    return parse_rate(text) if text else None


class UserTable(Table):
    """One `[[relay.user]]`."""

    name: str = Field(min_length=1)
    password_hash: str
    track: Ceiling = Ceiling.FULL
    tags: tuple[str, ...] = ()
    rate: RateText = ""
    senders: tuple[Sender, ...] = ()

    def user(self) -> User:
        return User(
            name=self.name,
            password_hash=self.password_hash,
            track=self.track.value,
            tags=self.tags,
            rate=rate(self.rate),
            senders=self.senders,
        )

    @field_validator("tags")
    @classmethod
    def _are_tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > MOST_TAGS:
            raise ValueError(f"at most {MOST_TAGS} tags fit on a message")
        for tag in value:
            if not tag.strip() or not tag.isprintable() or len(tag) > LONGEST_TAG:
                raise ValueError(
                    f'expected tags of 1 to {LONGEST_TAG} printable characters, such as "shop", not {tag!r}'
                )
        return value

    @field_validator("password_hash")
    @classmethod
    def _is_a_hash(cls, value: str) -> str:
        if not is_hash(value):
            raise ValueError(
                "expected what `candor user hash` prints, all of it: $argon2id$v=19$m=…,t=…,p=…$SALT$HASH"
            )
        return value


class RelayTable(Table):
    listen: Listen = "127.0.0.1:2525"
    listen_tls: OptionalListen = ""
    admin_listen: OptionalListen = ""
    certificate: str = ""
    private_key: str = ""
    hostname: str = ""
    allowed_networks: tuple[NetworkText, ...] = ("127.0.0.0/8", "::1/128")
    max_message_size: Size = Field(default="25MB", validate_default=True)
    max_header_size: Size = Field(default="1MiB", validate_default=True)
    max_recipients: int = Field(default=1000, ge=100)
    max_connections: int = Field(default=1000, ge=1)
    max_connections_per_client: int = Field(default=100, ge=1)
    max_memory: Size = Field(default="512MiB", validate_default=True)
    max_errors: int = Field(default=50, ge=1)
    max_junk_commands: int = Field(default=100, ge=1)
    max_failed_logins: int = Field(default=3, ge=1)
    idle_timeout: Duration = Field(default="5m", validate_default=True)
    data_timeout: Duration = Field(default="5m", validate_default=True)
    lowest_data_rate: OptionalSize = Field(default="500B", validate_default=True)
    client_rate: RateText = ""
    proxy_protocol_from: tuple[NetworkText, ...] = ()
    plaintext_auth_from: tuple[NetworkText, ...] = ()
    wait_for_upstream: Duration = Field(default="20s", validate_default=True)
    bare_newlines: Literal["refuse", "normalize"] = "refuse"
    user: tuple[UserTable, ...] = ()

    @field_validator("idle_timeout", "data_timeout")
    @classmethod
    def _long_enough(cls, value: float) -> float:
        if value < LEAST_TIMEOUT:
            raise ValueError(f'expected at least "{LEAST_TIMEOUT:g}s": a working client may pause that long')
        return value

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
