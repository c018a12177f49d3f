"""Keys for tests, and dkimpy as the receiver that checks what we signed; its DNS is a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from relay.signers import Signers
from relay.signing import PrivateKey, SigningKey, public_record, signing_key

RSA, ED25519 = "rsa-sha256", "ed25519-sha256"


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> bytes:
    octets: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return octets


def both(domain: str) -> tuple[SigningKey, ...]:
    """An RSA key and an Ed25519 key of the domain."""
    return signing_key(domain, "r", rsa_key()), signing_key(domain, "e", ed25519_key())


def signers(*domains: str, **policy: Any) -> Signers:
    """Both keys for each of the domains."""
    return Signers(keys={domain: both(domain) for domain in domains}, **policy)


class Signed(NamedTuple):
    """What a receiver says of one signature."""

    domain: str
    algorithm: str
    is_valid: bool


def records(key: PrivateKey, *names: str) -> dict[str, str]:
    return {f"{name}.": public_record(key) for name in names}


def checked(message: bytes, dns: Mapping[str, str] | None = None) -> list[Signed]:
    """Each signature of a message as it arrived, from the top; without DNS our two keys answer for any domain."""

    def txt(name: bytes, timeout: int = 5) -> str | None:
        asked = name.decode()
        if dns is not None:
            return dns.get(asked)
        return public_record(rsa_key() if asked.startswith("r.") else ed25519_key())

    found = []
    for index, value in enumerate(_values(message)):
        tags = dkim.util.parse_tag_value(value)
        try:
            is_valid = bool(dkim.DKIM(message).verify(index, dnsfunc=txt))
        except (dkim.DKIMException, ValueError):
            is_valid = False
        found.append(Signed(tags.get(b"d", b"").decode(), tags.get(b"a", b"").decode(), is_valid))
    return found


def _values(message: bytes) -> Sequence[bytes]:
    fields, _ = dkim.rfc822_parse(message)
    return [value for name, value in fields if name.lower() == b"dkim-signature"]


def arrived(pieces: Sequence[bytes]) -> bytes:
    """The message as SMTP brings it: its last line has an end."""
    message = b"".join(pieces)
    return message if message.endswith(b"\r\n") else message + b"\r\n"
