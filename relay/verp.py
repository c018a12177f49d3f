"""The envelope sender that names its delivery (VERP): sealed, the same in any case, verified for ever. Pure.

A report that comes back to such an address is about that one delivery, whatever the report itself manages to say,
and nobody can make up an address. Hosts lower-case local parts, so this is base32 and not a URL token's alphabet;
`b+` and 56 characters stay within the 64 octets of a local part (RFC 5321 4.5.3.1.1).

Layout: key id (3 octets), delivery id (16), BLAKE2b keyed MAC over both (16); 35 octets, nothing spare.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from tracker.tokens import ID_OCTETS, MAC_OCTETS, Key, KeyRing

_KEY_ID_OCTETS = 3
_PERSON = b"candor-bounce"
_LOCAL_PART = re.compile(r"(?ai)b\+([a-z2-7]{56})\Z")
_MOST_LOOKED_AT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPaths:
    """The return paths of one domain."""

    domain: str
    """In lower case, A-labels."""
    ring: KeyRing

    def of(self, delivery_id: bytes) -> str:
        """The return path of a delivery."""
        key = self.ring.newest
        body = key.id + delivery_id
        token = base64.b32encode(body + _mac(body, key)).decode("ascii").lower()
        return f"b+{token}@{self.domain}"

    def delivery(self, address: str) -> bytes | None:
        """The id of the delivery that `address` is the return path of; None for everything not sealed by us."""
        local, _, domain = address.rpartition("@")
        match = _LOCAL_PART.match(local)
        if match is None or not self.holds(domain):
            return None
        octets = base64.b32decode(match[1].upper())
        body, mac = octets[:-MAC_OCTETS], octets[-MAC_OCTETS:]
        key = self.ring.keys.get(body[:_KEY_ID_OCTETS])
        if key is None or len(body) != _KEY_ID_OCTETS + ID_OCTETS:
            return None
        return body[_KEY_ID_OCTETS:] if hmac.compare_digest(mac, _mac(body, key)) else None

    def holds(self, domain: str) -> bool:
        return domain.lower().rstrip(".") == self.domain

    def named_in(self, text: str) -> bytes | None:
        """The delivery whose return path stands somewhere in `text`; the first of ours."""
        pattern = re.compile(rf"(?ai)b\+[a-z2-7]{{56}}@{re.escape(self.domain)}")
        for match, _ in zip(pattern.finditer(text), range(_MOST_LOOKED_AT), strict=False):
            if (found := self.delivery(match[0])) is not None:
                return found
        return None


def _mac(body: bytes, key: Key) -> bytes:
    return hashlib.blake2b(body, key=key.secret, digest_size=MAC_OCTETS, person=_PERSON).digest()
