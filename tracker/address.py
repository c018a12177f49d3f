"""The normal form under which a person's address is kept and found.

Addresses match without regard to case, composed alike (NFC, RFC 6530 10.1) and with the domain in its IDNA form
(UTS 46, RFC 5891), quoted only where they must be (RFC 5321 4.1.2); `+tag` parts belong to the address. The form
is a key, never what a message is sent to.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

import idna

from tracker.errors import InvalidAddress

_MAX_OCTETS = 320  # 64 for the local part, 255 for the domain, the @ (RFC 3696 errata 1690 is stricter)
_PLAIN_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?)*\.?\Z")
_PLAIN = re.compile(r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+)@([A-Za-z0-9.-]+)\Z")
"""Dot-strings, roughly (RFC 5321 4.1.2), at what looks like a host's name: no quotes, no blanks, ASCII only."""
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"\Z', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BARE = re.compile(r'[^\s"(),:;<>@\[\\\]]+\Z')  # what a local part may hold without quotes, and dots anywhere
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # surrogates: octets that were no UTF-8


@lru_cache(maxsize=4096)
def normalize_domain(domain: str) -> str:
    """Lower case and A-labels; an address literal (`[192.0.2.1]`) only in lower case.

    Raises InvalidAddress for what is no domain."""
    lowered = domain.lower()
    if lowered.startswith("[") and lowered.endswith("]"):
        return lowered
    if _PLAIN_DOMAIN.match(lowered) and "xn--" not in lowered:
        return lowered.rstrip(".")
    try:
        return idna.encode(domain, uts46=True).decode("ascii").rstrip(".")
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidAddress(f"{domain!r} is not a domain name: {error}") from None


def normalize(address: str) -> str:
    """The key form of `address`. Raises InvalidAddress when there is no local part, no domain, or in it a
    control character or an octet that is no UTF-8."""
    plain = _PLAIN.match(address)
    if plain is not None and len(address) <= _MAX_OCTETS:  # nearly all: the form is that of the long way
        return f"{plain[1].lower()}@{normalize_domain(plain[2])}"
    text = address.strip()
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise InvalidAddress(f"{address!r} is not a mail address: expected local-part@domain")
    if _FORBIDDEN.search(text) or len(text.encode("utf-8", "replace")) > _MAX_OCTETS:
        raise InvalidAddress(
            f"{address!r} is not a mail address: control characters, no UTF-8, or longer than {_MAX_OCTETS}"
        )
    normal = f"{_local_part(local, address)}@{normalize_domain(domain)}"
    if len(normal.encode()) > _MAX_OCTETS:  # a form has itself for its form, so it keeps to the limit too
        raise InvalidAddress(f"{address!r} is not a mail address: longer than {_MAX_OCTETS} octets")
    return normal


def _local_part(local: str, address: str) -> str:
    """One spelling for one mailbox: quotes and backslashes only where they are needed (RFC 5321 4.1.2), or a refusal
    of `bob@x` would not hold for `"bob"@x`, which the same person reads."""
    if _QUOTED.match(local):
        local = _ESCAPED.sub(r"\1", local[1:-1])
    elif '"' in local or "\\" in local:
        raise InvalidAddress(
            f"{address!r} is not a mail address: a quote without its other, or a stray backslash"
        )
    text = unicodedata.normalize("NFC", local.lower())
    if _BARE.match(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def domain_of(address: str) -> str:
    """The domain of an address in normal form."""
    return address.rpartition("@")[2]


def erased_key(address: str, secret: bytes) -> bytes:
    """What is left of an erased person: 16 octets that only the holder of `secret` can tie to the address."""
    return erased_key_of(normalize(address), secret)


def erased_key_of(normal: str, secret: bytes) -> bytes:
    """The same for an address that is in normal form already."""
    return hashlib.blake2b(normal.encode(), key=secret, digest_size=16, person=b"candor-erased").digest()
