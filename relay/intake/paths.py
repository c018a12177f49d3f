"""The paths of MAIL and RCPT (RFC 5321 4.1.2, RFC 6531 3.3), read strictly and kept exactly. Pure.

An address is returned as the client spelt it: quoting, case and literals are the next host's to understand.
Source routes are ignored (RFC 5321 4.1.1.3). No length limit on local parts: longer ones exist, and only
their own host may judge them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

MAX_DOMAIN_OCTETS = 255

# RFC 6531 3.3 adds every non-ASCII character; the C1 controls are left out, they are no text.
_BEYOND_ASCII = "\u00a0-\U0010ffff"
_ATOM = rf"[A-Za-z0-9!#$%&'*+\-/=?^_`{{|}}~{_BEYOND_ASCII}]+"
# Looser than the RFC, which forbids dots at the ends and next to each other: such mailboxes exist and get mail.
_DOT_STRING = rf"\.*{_ATOM}(?:\.+{_ATOM})*\.*"
_QUOTED_STRING = rf'"(?:[ !#-\[\]-~{_BEYOND_ASCII}]|\\[ -~])*"'
# Looser than the RFC in one thing: hyphens and underscores anywhere, as in names that do receive mail.
_LABEL = rf"[A-Za-z0-9_\-{_BEYOND_ASCII}]+"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_LITERAL = r"\[[!-Z^-~]+\]"

_PATH = re.compile(
    rf"<(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?"
    rf"(?P<address>(?P<local>{_DOT_STRING}|{_QUOTED_STRING})@(?P<domain>{_DOMAIN}|{_LITERAL}))>"
)
_POSTMASTER = re.compile(r"<(?P<address>postmaster)>", re.IGNORECASE)
_GENERAL_LITERAL = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]+")


class PathError(ValueError):
    """Not a path. Its text never holds the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """`rest` is what follows the closing bracket, for the parameter reader."""

    address: str
    """`""` for the null reverse path."""
    rest: str

    @property
    def mailbox(self) -> str:
        """For telling two spellings of one mailbox: only the domain is free of case (RFC 5321 2.4)."""
        local, at, domain = self.address.rpartition("@")
        return f"{local}@{domain.lower()}" if at else domain.lower()

    @property
    def domain(self) -> str:
        """In lower case; `""` where there is none."""
        _, at, domain = self.address.rpartition("@")
        return domain.lower() if at else ""


def reverse_path(text: str) -> Path:
    """The path of MAIL; `<>` is the null sender (RFC 5321 4.5.5). Raises PathError."""
    if text.startswith("<>"):
        return _path("", text[2:])
    return _read(_PATH.match(text), text)


def forward_path(text: str) -> Path:
    """The path of RCPT; `<postmaster>` needs no domain (RFC 5321 4.1.1.3). Raises PathError."""
    return _read(_PATH.match(text) or _POSTMASTER.match(text), text)


def _read(match: re.Match[str] | None, text: str) -> Path:
    if match is None:
        raise PathError("not a path")
    domain = match["domain"] if match.re is _PATH else ""
    if len(domain.encode()) > MAX_DOMAIN_OCTETS:
        raise PathError("domain too long")
    if domain.startswith("["):
        _check_literal(domain[1:-1])
    return _path(match["address"], text[match.end() :])


def _path(address: str, rest: str) -> Path:
    if rest and not rest.startswith(" "):
        raise PathError("something follows the path")
    return Path(address=address, rest=rest.strip(" "))


def _check_literal(literal: str) -> None:
    """RFC 5321 4.1.3. A tag other than IPv6 is passed on unread: its registry may grow."""
    try:
        if literal[:5].upper() == "IPV6:":
            IPv6Address(literal[5:])
        elif not _GENERAL_LITERAL.fullmatch(literal):
            IPv4Address(literal)
    except ValueError:
        raise PathError("malformed address literal") from None
