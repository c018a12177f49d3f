"""DKIM signatures as RFC 6376 makes them: relaxed/relaxed, RSA with SHA-256 (RFC 8301) or Ed25519 (RFC 8463).

Knows octets and keys. Whose mail is signed, and what becomes of the signatures a message came with, is decided in
`relay.signers`. Never writes `l=`: a signature that covers half a body invites the other half. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from relay.mime import Header, header_end

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

LEAST_BITS = 1024
"""RSA keys shorter than this verify nowhere (RFC 8301 3.2)."""
GOOD_BITS, MOST_BITS = 2048, 4096
"""What RFC 8301 3.2 tells signers to use, and the longest that every verifier must take."""

ALWAYS_CLOSED = ("from", "reply-to", "subject", "to", "cc")
"""Named once more than they stand there, so that nobody adds one behind our back (RFC 6376 8.15)."""
CLOSED = (
    "sender", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding", "in-reply-to",
    "references",
)  # fmt: skip
"""The same, but only where one stands: an upstream may add what is missing (RFC 6409 8)."""
OPEN = (
    "content-id", "content-description", "content-language", "resent-date", "resent-from", "resent-sender",
    "resent-to", "resent-cc", "resent-message-id", "list-id", "list-help", "list-unsubscribe",
    "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner", "list-archive", "feedback-id",
)  # fmt: skip
"""Signed as often as they stand there. RFC 8058 4 wants both List-Unsubscribe fields signed."""
_SIGNED = frozenset((*ALWAYS_CLOSED, *CLOSED, *OPEN))

_CHUNK = 256 * 1024
"""Octets of a body that are made canonical at a time: others' turn comes in between when it runs in a thread."""
_RUN = re.compile(rb"  +")
_BLANK_LINES_BACKWARDS = re.compile(rb"(?:\n\r)*+")
_LINE = 74
"""Octets of a line, so that with its tab and `b=` it keeps within the 78 of RFC 5322 2.1.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key under its public name, `SELECTOR._domainkey.DOMAIN`."""

    domain: str
    """ASCII, lower case."""
    selector: str
    algorithm: str
    """The `a=` tag: `rsa-sha256` or `ed25519-sha256`."""
    sign: Callable[[bytes], bytes] = field(repr=False)
    """The signature of what the header fields come to."""

    @property
    def is_slow(self) -> bool:
        """A thread costs less than a signature, and it is made outside of Python's lock."""
        return self.algorithm == "rsa-sha256"


def signing_key(domain: str, selector: str, key: PrivateKey) -> SigningKey:
    """The key ready for use."""
    if isinstance(key, rsa.RSAPrivateKey):
        pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()
        return SigningKey(
            domain=domain,
            selector=selector,
            algorithm="rsa-sha256",
            sign=lambda data: key.sign(data, pkcs1, sha256),
        )
    return SigningKey(
        domain=domain,
        selector=selector,
        algorithm="ed25519-sha256",
        sign=lambda data: key.sign(hashlib.sha256(data).digest()),  # RFC 8463 3: the hash is what is signed
    )


def read_private_key(pem: bytes) -> PrivateKey:
    """The key in a PEM file. Raises ValueError that says what is wrong and never shows the key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("the key is encrypted; expected one without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "there is no private key in it; expected PEM (-----BEGIN PRIVATE KEY-----)"
        ) from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the key is neither RSA nor Ed25519, and DKIM knows no others")
    if key.key_size < LEAST_BITS:
        raise ValueError(f"the RSA key has {key.key_size} bits; expected at least {LEAST_BITS}")
    return key


def public_record(key: PrivateKey) -> str:
    """What the TXT record at `SELECTOR._domainkey.DOMAIN` must say (RFC 6376 3.6.1, RFC 8463 4)."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        kind, octets = (
            "rsa",
            public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        )
    else:
        kind, octets = "ed25519", public.public_bytes_raw()
    return f"v=DKIM1; k={kind}; p={base64.b64encode(octets).decode()}"


class SignedFields(NamedTuple):
    """The header fields a signature covers."""

    names: bytes
    """The `h=` tag, on as many lines as it needs."""
    canonical: bytes
    """Their canonical form, in that order, each with its CRLF."""


def signed_fields(header: Header) -> SignedFields:
    """Which fields of a message are signed. Where a name stands several times all of them are, the last one
    first, as verifiers take them (RFC 6376 5.4.2)."""
    names: list[str] = []
    canonical: list[bytes] = []
    present: Counter[str] = Counter()
    for entry in reversed(header.fields):
        if entry.name in _SIGNED:
            present[entry.name] += 1
            names.append(entry.name)
            canonical.append(_relaxed_field(entry.name, header.data[entry.value_start : entry.end]))
    names += ALWAYS_CLOSED
    names += [name for name in CLOSED if present[name]]
    return SignedFields(_folded(names), b"".join(canonical))


def _folded(names: Sequence[str]) -> bytes:
    """Joined by colons; a line goes on in the next one behind a colon."""
    lines = [f"h={names[0]}"]
    for name in names[1:]:
        if len(lines[-1]) + len(name) + 2 > _LINE:
            lines[-1] += ":"
            lines.append(name)
        else:
            lines[-1] += f":{name}"
    return "\r\n\t".join(lines).encode("ascii")


def _relaxed_field(name: str, value: bytes) -> bytes:
    """RFC 6376 3.4.2."""
    return name.encode("ascii") + b":" + _one_blank(value.replace(b"\r\n", b"")).strip(b" ") + b"\r\n"


def _one_blank(text: bytes) -> bytes:
    """Runs of blanks and tabs become one blank."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    return _RUN.sub(b" ", text) if b"  " in text else text


def body_hash(message: bytes) -> bytes:
    """SHA-256 of the body in its relaxed form (RFC 6376 3.4.4), as it will arrive: a last line without its CRLF
    is given one by SMTP."""
    _, body = header_end(message, 0, len(message))
    hasher = hashlib.sha256()
    at, blank_lines, is_empty = len(message) if body is None else body, 0, True
    while at < len(message):
        end = _behind_line(message, at + _CHUNK)
        chunk = message[at:end]
        if end == len(message) and not chunk.endswith(b"\r\n"):
            chunk += b"\r\n"
        chunk = _one_blank(chunk).replace(b" \r\n", b"\r\n")
        text, ends = _split_blank_lines(chunk)
        if text:
            hasher.update(b"\r\n" * blank_lines)
            hasher.update(text)
            blank_lines, is_empty = ends, False
        else:
            blank_lines += ends
        at = end
    if not is_empty:
        hasher.update(b"\r\n")
    return hasher.digest()


def _behind_line(message: bytes, at: int) -> int:
    """Where the first line end at or after `at` is over."""
    line_end = message.find(b"\r\n", at) if at < len(message) else -1
    return len(message) if line_end < 0 else line_end + 2


def _split_blank_lines(chunk: bytes) -> tuple[bytes, int]:
    """The chunk without the line ends at its end, and how many those are."""
    tail = chunk[len(chunk.rstrip(b"\r\n")) :]
    match = _BLANK_LINES_BACKWARDS.match(tail[::-1])
    octets = match.end() if match else 0
    return chunk[: len(chunk) - octets], octets // 2


def signature_field(
    key: SigningKey, fields: SignedFields, hash_of_body: bytes, *, at: int, valid_for: int = 0
) -> bytes:
    """One `DKIM-Signature:` field with its line end, to be put in front of the message.

    `at` is Unix time, `valid_for` seconds (0: for ever). Raises whatever the key raises."""
    expires = f" x={at + valid_for};" if valid_for else ""
    tags = (
        f"v=1; a={key.algorithm}; c=relaxed/relaxed;\r\n\td={key.domain}; s={key.selector};\r\n\tt={at};{expires}\r\n\t"
    ).encode("ascii")
    digest = base64.b64encode(hash_of_body)
    unsigned = tags + fields.names + b";\r\n\tbh=" + digest + b";\r\n\tb="
    # The field itself is hashed last, with an empty b= and without its line end (RFC 6376 3.7).
    covered = fields.canonical + _relaxed_field("dkim-signature", unsigned)[:-2]
    signature = base64.b64encode(key.sign(covered))
    lines = [signature[start : start + _LINE] for start in range(0, len(signature), _LINE)]
    return b"DKIM-Signature: " + unsigned + b"\r\n\t".join(lines) + b"\r\n"
