"""One upstream server, and how to speak to it: a value, and the URL people write for it.

Knows the four schemes, the modes of TLS and their defaults; opens nothing. A password never appears in a repr nor in the text
of an error.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit


class Scheme(StrEnum):
    SMTP = "smtp"
    """Begins in clear; what follows is for the mode of TLS to say."""
    SMTPS = "smtps"
    """TLS from the first octet (RFC 8314 3.3)."""
    STARTTLS = "smtp+starttls"
    """STARTTLS or nothing (RFC 3207)."""
    CAPTURE = "capture"
    """Nothing is sent: a Maildir keeps it."""


class Tls(StrEnum):
    """How much TLS is asked of an upstream."""

    NONE = "none"
    """Never, not even where it is offered."""
    OPPORTUNISTIC = "opportunistic"
    """Where it is offered and works, whoever signed the certificate (RFC 7435); else in clear."""
    REQUIRE = "require"
    """Always; whoever signed the certificate."""
    VERIFY = "verify"
    """Always, with a certificate for this host from an authority we trust (RFC 6125)."""

    @property
    def is_demanded(self) -> bool:
        return self in (Tls.REQUIRE, Tls.VERIFY)


DEFAULT_TLS: Final = {
    Scheme.SMTP: Tls.OPPORTUNISTIC,
    Scheme.SMTPS: Tls.VERIFY,
    Scheme.STARTTLS: Tls.VERIFY,
    Scheme.CAPTURE: Tls.NONE,
}
DEFAULT_PORTS: Final = {Scheme.SMTP: 25, Scheme.SMTPS: 465, Scheme.STARTTLS: 587}

ALLOWED: Final = (
    "smtp://HOST:PORT, smtps://HOST:PORT, smtp+starttls://USER:PASSWORD@HOST:PORT or capture:PATH"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """One upstream. Times are in seconds."""

    scheme: Scheme
    host: str = ""
    port: int = 0
    """0 for the scheme's own: 25, 465 or 587."""
    path: str = ""
    """The Maildir of `capture:`."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    auth_in_clear: bool = False
    """Let the password go out without TLS to a host that is not this one."""
    tls: Tls | None = None
    """None for the scheme's own: opportunistic for `smtp`, verify for the others."""
    ca_file: str | None = None
    """PEM; trusted instead of the system's authorities. Only `verify` looks at it."""
    client_certificate: str | None = None
    client_key: str | None = None
    hostname: str = ""
    """What we call ourselves in EHLO; `""` for this machine's name, or its address where that has no dot."""
    max_connections: int = 20
    messages_per_connection: int = 100
    seconds_per_connection: float = 300.0
    idle_seconds: float = 30.0
    """A kept connection that nobody needed for so long is closed."""
    connect_timeout: float = 30.0
    """For the connection with its TLS, and again for the greeting."""
    command_timeout: float = 300.0
    """RFC 5321 4.5.3.2.2 to .5: five minutes cover the longest of them but the last."""
    data_timeout: float = 600.0
    """For the reply after the dot (RFC 5321 4.5.3.2.6)."""

    failures_until_down: int = 3
    """Consecutive failures to get through after which it is left alone for a while."""
    first_pause: float = 2.0
    """How long, the first time; doubled each time a probe fails too."""
    longest_pause: float = 60.0
    probe_patience: float = 5.0
    """How long others wait for what a probe finds, before they are put off."""
    calm_seconds: float = 30.0
    """After having been told of too many connections: how long until one more is tried."""

    def __post_init__(self) -> None:
        if self.tls is None:
            object.__setattr__(self, "tls", DEFAULT_TLS[self.scheme])
        if self.scheme is Scheme.CAPTURE:
            if not self.path:
                raise ValueError("capture: needs a path, as in capture:./captured")
            return
        if not self.host:
            raise ValueError(f"the upstream needs a host; allowed are {ALLOWED}")
        if self.port == 0:
            object.__setattr__(self, "port", DEFAULT_PORTS[self.scheme])
        if not 1 <= self.port <= 65535:
            raise ValueError("the upstream's port must lie between 1 and 65535")
        if self.max_connections < 1 or self.messages_per_connection < 1:
            raise ValueError("an upstream needs at least one connection, and one message on each")
        if (
            not self.hostname.isascii()
            or not all(map(str.isprintable, self.hostname))
            or " " in self.hostname
        ):
            raise ValueError("the name for EHLO must be plain ASCII without spaces")
        self._check_tls()

    def _check_tls(self) -> None:
        demanded = self.mode.is_demanded
        if self.scheme is not Scheme.SMTP and not demanded:
            raise ValueError(
                f'{self.scheme}:// is TLS or nothing: tls may be "require" or "verify" there; write smtp:// for {self.mode}'
            )
        if bool(self.client_key) and not self.client_certificate:
            raise ValueError("client_key needs client_certificate")
        if self.client_certificate and self.mode is Tls.NONE:
            raise ValueError('a client certificate needs TLS, and tls = "none" forbids it')
        if self.password is not None and self.user is None:
            raise ValueError("there is a password but no user")
        if self.user is not None and not self.may_send_password(tls=demanded):
            raise ValueError(
                "smtp:// may send the password in clear, which is only allowed to this machine itself:"
                ' write smtp+starttls:// or smtps://, or tls = "require" or "verify"'
            )

    @property
    def mode(self) -> Tls:
        """`tls`, with the scheme's own default in place of None."""
        return self.tls or DEFAULT_TLS[self.scheme]

    @property
    def name(self) -> str:
        """`host:port` as shown to people and kept with each attempt."""
        if self.scheme is Scheme.CAPTURE:
            return f"capture:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def may_send_password(self, *, tls: bool) -> bool:
        return tls or self.auth_in_clear or is_loopback(self.host)


def parse_url(
    url: str,
    *,
    auth_in_clear: bool = False,
    user: str | None = None,
    password: str | None = None,
    tls: Tls | None = None,
) -> UpstreamSettings:
    """The settings a URL stands for, all others at their defaults; `user` and `password` where they do not stand in
    it. ValueError says what is wrong and what is allowed, and never repeats the password."""
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("the upstream's URL holds a space or a control character; write %20 in a password")
    if url.startswith("capture:"):
        # Whatever is said of logging in and TLS lies ready for the day a server takes its place.
        return _parse_capture(url.removeprefix("capture:"))
    word, separator, _ = url.partition("://")
    if not separator:
        raise ValueError(f"the upstream's URL has no scheme; allowed are {ALLOWED}")
    try:
        scheme = Scheme(word.lower())
    except ValueError:
        raise ValueError(f"unknown scheme in the upstream's URL; allowed are {ALLOWED}") from None
    parts = _split(url)
    named, secret = _credentials(parts)
    if (named and user) or (secret and password):
        raise ValueError(
            "user and password stand in the upstream's URL and beside it; only one of them is allowed"
        )
    user = named if user is None else user
    password = secret if password is None else password
    return UpstreamSettings(
        scheme=scheme,
        host=parts.hostname or "",
        port=_port(parts),
        user=user,
        password=password,
        auth_in_clear=auth_in_clear,
        tls=tls,
    )


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_capture(path: str) -> UpstreamSettings:
    if path.startswith("//"):
        raise ValueError(
            "capture: takes a path and no host: write capture:/var/captured or capture:./captured"
        )
    return UpstreamSettings(scheme=Scheme.CAPTURE, path=path)


def _split(url: str) -> SplitResult:
    # What urlsplit has to say about a bad URL quotes parts of it; those may be the password.
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"the host in the upstream's URL is malformed; allowed are {ALLOWED}") from None
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "nothing may follow the port in the upstream's URL"
            " (in a user or password write %2F for /, %3F for ? and %23 for #)"
        )
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port in the upstream's URL must be a number between 1 and 65535") from None
    if port == 0:
        raise ValueError("the port in the upstream's URL must be a number between 1 and 65535")
    return port or 0


def _credentials(parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    if not parts.username:
        raise ValueError("the upstream's URL has a password but no user")
    try:
        user = unquote(parts.username, errors="strict")
        password = None if parts.password is None else unquote(parts.password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("user and password in the upstream's URL must be percent-encoded UTF-8") from None
    return user, password
