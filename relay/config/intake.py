"""`[relay]` and `[[relay.user]]`: where mail comes in, and who may send it."""

from __future__ import annotations

import socket
from typing import Literal

from pydantic import Field, field_validator, model_validator

from relay.config.networks import NetworkText
from tracker.config import Duration, Listen, OptionalListen, Size, Table
from tracker.consent import Ceiling


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
