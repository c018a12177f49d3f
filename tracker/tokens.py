"""Seal and read tokens: everything an answer needs, in one unforgeable word. Pure.

A redirect needs no database, so it survives purges, erasure and the loss of the store; and because the only
source of a `Location` is a token that verifies, there is no open redirect to abuse. A token names a delivery by
128 random bits and nobody by anything else.

Every version ever sent is read for ever (`_READERS`): all begin alike, so that key and MAC are found before the version
matters, and differ in what follows. A URL is 58 characters longer than its destination, and a third of that, plus the
public URL: 43 octets beside the destination's own, in base64.

Layout, version 1, big-endian, base64url without padding:

    octet 0      version (high nibble) and kind (low nibble)
    octet 1      mode (low three bits), override (bit 3)
    octets 2-4   key id
    octets 5-8   time of sending, seconds since 1970
    octets 9-24  delivery id, or the mailing's in an aggregate pixel
    click only   link number (varint), octets of the suffix (varint), destination, suffix
    last 16      BLAKE2b keyed MAC over all before it
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

from tracker.consent import Mode
from tracker.errors import TokenError, UnknownKey

ID_OCTETS = 16
MAC_OCTETS = 16
MAX_URL = 4096
"""Characters of a tracking URL that mail clients and proxies are known to carry."""

_VERSION = 1
_HEAD = struct.Struct(">BB3sI16s")
_VARINT_OCTETS = 2  # link numbers and suffixes stay below 16,384
_PERSON = b"candor-token"
_DESTINATION = re.compile(r"(?i)https?://[\x21-\x7e]+\Z")
_SUFFIX = re.compile(r"[\x21-\x7e]*\Z")
_FIRST_MOMENT, _LAST_MOMENT = (datetime.fromtimestamp(second, UTC) for second in (0, 0xFFFFFFFF))
_MODES = (Mode.UNTRACKED, Mode.HYGIENE, Mode.AGGREGATE, Mode.ANONYMOUS, Mode.IDENTIFIED)
_MODE_NUMBERS = {mode: number for number, mode in enumerate(_MODES)}


class Kind(IntEnum):
    """What a token is for."""

    OPEN = 1
    CLICK = 2
    PREFERENCES = 3


_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A signing key: 3 octets of id, 32 of secret."""

    id: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id.hex()})"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """New tokens use `newest`; all keys go on verifying for ever."""

    newest: Key
    keys: Mapping[bytes, Key]
    permanent: bytes
    """A secret that is never rotated: what erased addresses and mailing ids are keyed with."""

    def __repr__(self) -> str:
        return f"KeyRing({sorted(key.hex() for key in self.keys)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token says. `subject` is the delivery's id (the mailing's in aggregate mode)."""

    kind: Kind
    mode: Mode
    subject: bytes
    sent_at: datetime
    """Whole seconds, UTC. Aggregate pixels carry 1970, so that all of a mailing are one and the same."""
    override: bool = False
    link: int = 0
    """From 1 in clicks; 0 elsewhere."""
    destination: str = ""
    suffix: str = ""
    """What an identified click in time may add: UTM parameters, the click id; begins with `?` or `&`."""
    key_id: bytes = b""
    """Set by `read`; `seal` uses the ring's newest key."""

    def __post_init__(self) -> None:
        if len(self.subject) != ID_OCTETS:
            raise ValueError(f"a subject has {ID_OCTETS} octets, not {len(self.subject)}")
        if self.sent_at.tzinfo is None or not _FIRST_MOMENT <= self.sent_at <= _LAST_MOMENT:
            raise ValueError(f"{self.sent_at} is no time between 1970 and 2106 with a time zone")


def seal(token: Token, ring: KeyRing) -> str:
    """The token as it stands in a URL: base64url, no padding.

    Raises TokenError for a destination or suffix that no redirect may carry (not http(s), or octets outside
    printable ASCII: a header cannot hold them)."""
    body = _head(token, ring.newest)
    if token.kind is Kind.CLICK:
        body += _click(token.link, token.destination, token.suffix)
    return _encode(body + _mac(body, ring.newest))


def sealing(token: Token, ring: KeyRing) -> Callable[[int, str], str]:
    """Seals many clicks that differ from `token` in nothing but link number and destination, as `seal` does.

    What they have in common is packed and authenticated once: sealing a link takes a fifth of the time."""
    head = _head(token, ring.newest)
    begun = _authenticator(ring.newest)
    begun.update(head)
    suffix = token.suffix

    def seal_click(link: int, destination: str) -> str:
        rest = _click(link, destination, suffix)
        mac = begun.copy()
        mac.update(rest)
        return _encode(head + rest + mac.digest())

    return seal_click


def read(text: str, ring: KeyRing) -> Token:
    """The token behind `text`. Raises TokenError for anything that was cut, changed or not sealed by this ring."""
    octets = _decode(text)
    if len(octets) < _HEAD.size + MAC_OCTETS:
        raise TokenError("the token is too short: the link was probably cut")
    body, mac = octets[:-MAC_OCTETS], octets[-MAC_OCTETS:]
    first, flags, key_id, seconds, subject = _HEAD.unpack_from(body)
    key = ring.keys.get(key_id)
    if key is None and first >> 4 in _READERS:
        raise UnknownKey(
            f"the token does not verify: the key ring lacks its key {key_id.hex()}, or the link was changed",
            key_id,
        )
    if key is None or not hmac.compare_digest(mac, _mac(body, key)):
        raise TokenError("the token does not verify: the link was cut or changed, or made elsewhere")
    read_click = _READERS.get(first >> 4)
    if read_click is None:
        raise TokenError(f"version {first >> 4} of tokens is not known here; a newer Candor made the link")
    try:
        kind, mode = _KINDS[first & 15], _MODES[flags & 7]
        link, destination, suffix = read_click(body[_HEAD.size :]) if kind is Kind.CLICK else (0, "", "")
    except (ValueError, KeyError, IndexError) as error:
        raise TokenError(f"the token verifies but does not read: {error}") from None
    return Token(
        kind=kind,
        mode=mode,
        subject=subject,
        sent_at=datetime.fromtimestamp(seconds, UTC),
        override=bool(flags & 8),
        link=link,
        destination=destination,
        suffix=suffix,
        key_id=key_id,
    )


def longest_destination(public_url: str) -> int:
    """Octets of a destination (suffix included) whose tracking URL stays within `MAX_URL`."""
    room = MAX_URL - len(public_url) - len("/c/")
    return room * 3 // 4 - _HEAD.size - 2 * _VARINT_OCTETS - MAC_OCTETS - 1


def click_length(link: int, destination: str) -> int:
    """Characters of a click's token in a URL: the same for everybody."""
    octets = _HEAD.size + len(_varint(link)) + len(_varint(0)) + len(destination) + MAC_OCTETS
    return (octets * 4 + 2) // 3


def mailing_id(name: str, ring: KeyRing) -> bytes:
    """The id of a mailing: the same for the same name, telling nothing of it."""
    key = ring.permanent
    return hashlib.blake2b(name.encode(), key=key, digest_size=ID_OCTETS, person=b"candor-mailing").digest()


def person_key(mailing: bytes, address: str, ring: KeyRing) -> bytes:
    """Who a person (by normal form) is within one mailing: says neither who, nor that it is anybody of another."""
    key = ring.permanent
    return hashlib.blake2b(
        mailing + address.encode(), key=key, digest_size=16, person=b"candor-person"
    ).digest()


def _head(token: Token, key: Key) -> bytes:
    flags = _MODE_NUMBERS[token.mode] | (8 if token.override else 0)
    seconds = int(token.sent_at.timestamp())
    return _HEAD.pack(_VERSION << 4 | token.kind, flags, key.id, seconds, token.subject)


@lru_cache(maxsize=1024)  # the links of a message are the same for all its recipients
def _click(link: int, destination: str, suffix: str) -> bytes:
    if not _DESTINATION.match(destination):
        raise TokenError("a link may lead only to http:// or https:// and printable ASCII")
    if not _SUFFIX.match(suffix):
        raise TokenError("a suffix holds only printable ASCII")
    return _varint(link) + _varint(len(suffix)) + (destination + suffix).encode("ascii")


@lru_cache(maxsize=64)
def _begun(secret: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(key=secret, digest_size=MAC_OCTETS, person=_PERSON)


def _authenticator(key: Key) -> hashlib.blake2b:
    return _begun(key.secret).copy()


def _mac(body: bytes, key: Key) -> bytes:
    authenticator = _authenticator(key)
    authenticator.update(body)
    return authenticator.digest()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_URL_UNSAFE = bytes.maketrans(b"-_+/=", b"+/!!!")
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = (_DIGITS, "", _DIGITS[::16], _DIGITS[::4])
"""By length modulo 4: what the last digit of a token may be, whose spare bits are zero (RFC 4648 3.5)."""
_PADDING = (b"", b"=", b"==", b"=")
"""By length modulo 4; of 1 there is none that would do."""


def _encode(octets: bytes) -> str:
    """base64url (RFC 4648 5) without padding."""
    return binascii.b2a_base64(octets, newline=False).translate(_URL_SAFE, b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """Strict base64url: Python's decoder drops foreign characters and ignores spare bits, which would give one
    token many spellings."""
    over = len(text) % 4
    try:
        octets = binascii.a2b_base64(
            text.encode("ascii").translate(_URL_UNSAFE) + _PADDING[over], strict_mode=True
        )
    except ValueError:
        raise TokenError(
            "the token holds characters that ours never do: the link was probably cut or changed"
        ) from None
    if text[-1:] not in _LAST[over]:
        raise TokenError("the token is not spelt as it was made: the link was probably cut or changed")
    return octets


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(octets: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        octet = octets[at]
        at += 1
        number |= (octet & 127) << shift
        if octet < 128:
            return number, at
        shift += 7


def _read_click(rest: bytes) -> tuple[int, str, str]:
    link, at = (rest[0], 1) if rest[0] < 128 else _read_varint(rest, 0)
    suffix_octets, at = _read_varint(rest, at)
    end = len(rest) - suffix_octets
    return link, rest[at:end].decode("ascii"), rest[end:].decode("ascii")


_READERS: Mapping[int, Callable[[bytes], tuple[int, str, str]]] = {1: _read_click}
"""By version: link number, destination and suffix from what follows the head of a click."""
