"""The click id: what a followed link hands to the site it leads to, so that the site can tell of a conversion. Pure.

It is made of the click's token alone: the delivery and the number of the link, sealed and unreadable without the key
ring, so that it says nothing of anybody, cannot be made by others, and two links of one mail look unrelated. The same
link of the same mail always has the same.

Layout, big-endian, base64url without padding (54 characters):

    octet 0       version
    octets 1-3    key id
    octets 4-19   BLAKE2b keyed MAC over octets 0-3 and what is hidden; it is also what hides it (as in RFC 5297)
    octets 20-39  delivery id and link number (4 octets), exclusive-or a keystream made of the MAC
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass

from tracker.errors import TokenError
from tracker.tokens import ID_OCTETS, Key, KeyRing, Kind, Token

_VERSION = 1
_HEAD = struct.Struct(">B3s")
_HIDDEN = struct.Struct(f">{ID_OCTETS}sI")
_MAC_OCTETS = 16
_OCTETS = _HEAD.size + _MAC_OCTETS + _HIDDEN.size
_LENGTH = (_OCTETS * 4 + 2) // 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickId:
    """What a click id says to who holds the ring."""

    delivery: bytes
    link: int


def click_id(token: Token, ring: KeyRing) -> str:
    """The id of clicks with this token, sealed with the ring's newest key."""
    if token.kind is not Kind.CLICK:
        raise ValueError(f"a token of kind {token.kind.name} is no click's")
    key = ring.newest
    hidden = _HIDDEN.pack(token.subject, token.link)
    head = _HEAD.pack(_VERSION, key.id)
    mac = _mac(head + hidden, key)
    octets = head + mac + _mixed(hidden, mac, key)
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def read_click_id(text: str, ring: KeyRing) -> ClickId:
    """Raises TokenError for anything that this ring did not make."""
    octets = _decoded(text)
    head, mac = octets[: _HEAD.size], octets[_HEAD.size : -_HIDDEN.size]
    version, key_id = _HEAD.unpack(head)
    key = ring.keys.get(key_id)
    if key is None or version != _VERSION:
        raise TokenError("this click id was cut or changed, or made elsewhere")
    hidden = _mixed(octets[-_HIDDEN.size :], mac, key)
    if not hmac.compare_digest(mac, _mac(head + hidden, key)):
        raise TokenError("this click id was cut or changed, or made elsewhere")
    delivery, link = _HIDDEN.unpack(hidden)
    return ClickId(delivery=delivery, link=link)


def _decoded(text: str) -> bytes:
    if len(text) != _LENGTH or not text.isascii():
        raise TokenError("this is no click id: it was probably cut")
    try:
        octets = base64.b64decode(text + "=" * (-_LENGTH % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise TokenError("this is no click id: it holds characters that ours never do") from None
    # One id, one spelling.
    if base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii") != text:
        raise TokenError("this click id is not spelt as it was made")
    return octets


def _mac(content: bytes, key: Key) -> bytes:
    return hashlib.blake2b(content, key=key.secret, digest_size=_MAC_OCTETS, person=b"candor-click").digest()


def _mixed(hidden: bytes, mac: bytes, key: Key) -> bytes:
    """Hidden, or shown again: the same done twice."""
    stream = hashlib.blake2b(mac, key=key.secret, digest_size=_HIDDEN.size, person=b"candor-cstream").digest()
    return bytes(a ^ b for a, b in zip(hidden, stream, strict=True))
