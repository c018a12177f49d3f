"""Signed heads of the ledger: what an outsider keeps, so that the chain cannot be made anew behind everybody's back.

A chain of hashes proves nothing to whoever never saw its end. A head names the last row and its hash and is signed
(Ed25519, RFC 8032) with a key made from one of the key ring's, so that it can be checked without our secrets. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tracker.errors import InvalidValue
from tracker.moments import isoformat
from tracker.tokens import Key

_FORMAT = "candor ledger head 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the ledger at a time, signed."""

    seq: int
    hash: bytes
    signed_at: str
    """ISO 8601, UTC."""
    key_id: bytes
    public_key: bytes
    signature: bytes

    def document(self) -> dict[str, Any]:
        """As it is kept outside: `check_document` reads it back."""
        return {
            "format": _FORMAT,
            "seq": self.seq,
            "hash": self.hash.hex(),
            "signed_at": self.signed_at,
            "key_id": self.key_id.hex(),
            "public_key": self.public_key.hex(),
            "signature": self.signature.hex(),
        }

    def is_signed_with(self, key: Key) -> bool:
        """Did this key of the ring sign it?"""
        return self.public_key == _public(_private(key)) and self.is_genuine()

    def is_genuine(self) -> bool:
        """Was it signed by whoever holds the key it names?"""
        try:
            said = _said(self.seq, self.hash, self.signed_at, self.key_id, self.public_key)
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(self.signature, said)
        except (InvalidSignature, ValueError):
            return False
        return True


def sign(seq: int, hash_: bytes, at: datetime, key: Key) -> Head:
    private, signed_at = _private(key), isoformat(at)
    public = _public(private)
    signature = private.sign(_said(seq, hash_, signed_at, key.id, public))
    return Head(
        seq=seq, hash=hash_, signed_at=signed_at, key_id=key.id, public_key=public, signature=signature
    )


def read_document(document: Any) -> Head:
    """The head in a document that was kept outside. Raises InvalidValue for what is none, or not what was signed."""
    try:
        if not isinstance(document, Mapping) or document["format"] != _FORMAT:
            raise ValueError("another format")
        head = Head(
            seq=int(document["seq"]),
            signed_at=str(document["signed_at"]),
            hash=bytes.fromhex(document["hash"]),
            key_id=bytes.fromhex(document["key_id"]),
            public_key=bytes.fromhex(document["public_key"]),
            signature=bytes.fromhex(document["signature"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidValue(
            f"this is no signed head of a ledger ({error}); expected what `candor consent head` writes"
        ) from None
    if not head.is_genuine():
        raise InvalidValue("this head is not what was signed: its signature does not fit")
    return head


def _private(key: Key) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(
        hashlib.blake2b(key.secret, digest_size=32, person=b"candor-head").digest()
    )


def _public(private: Ed25519PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def _said(seq: int, hash_: bytes, signed_at: str, key_id: bytes, public: bytes) -> bytes:
    return json.dumps(
        [_FORMAT, seq, hash_.hex(), signed_at, key_id.hex(), public.hex()], separators=(",", ":")
    ).encode("ascii")
