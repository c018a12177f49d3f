"""What DNS says, for `candor doctor`."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import dns.exception
import dns.resolver

from relay.signing import PrivateKey, public_record
from tracker.config import parse_listen

_WITHIN = 5.0


class Names:
    """Asks the system's resolver, or the one at `nameserver` (`host:port`)."""

    def __init__(self, nameserver: str = "") -> None:
        self._resolver = dns.resolver.Resolver(configure=not nameserver)
        if nameserver:
            host, port = parse_listen(nameserver)
            self._resolver.nameservers, self._resolver.port = [host], port
        self._resolver.lifetime = _WITHIN

    def text(self, name: str, beginning: str) -> str:
        """The TXT record that begins so; `""` where there is none."""
        return next((one for one in self._texts(name) if one.lower().startswith(beginning.lower())), "")

    def mail_servers(self, domain: str) -> list[str]:
        """Names of its MX records, the best first (RFC 5321 5.1)."""
        found = sorted((one.preference, str(one.exchange).rstrip(".")) for one in self._ask(domain, "MX"))
        return [name for _, name in found if name]

    def same_key(self, name: str, key: PrivateKey) -> str:
        """What is wrong with a DKIM record (RFC 6376 3.6.1), `""` where it holds this key."""
        texts = self._texts(name)
        if not texts:
            return "DNS has no such record"
        published = _tags("".join(texts[:1])).get("p", "")
        if not published:
            return "the record in DNS revokes the key, or is none (no p=)"
        wanted = _tags(public_record(key))["p"]
        try:
            same = base64.b64decode(published) == base64.b64decode(wanted)
        except binascii.Error:
            same = False
        return "" if same else "the record in DNS is another key's"

    def _texts(self, name: str) -> list[str]:
        return [b"".join(one.strings).decode("utf-8", "replace") for one in self._ask(name, "TXT")]

    def _ask(self, name: str, kind: str) -> list[Any]:
        try:
            return list(self._resolver.resolve(name, kind, search=False))
        except (dns.exception.DNSException, OSError):
            return []


def _tags(record: str) -> dict[str, str]:
    """`{"v": "DKIM1", "p": …}`, without blanks (RFC 6376 3.2)."""
    pairs = (one.partition("=") for one in record.split(";"))
    return {name.strip(): "".join(value.split()) for name, _, value in pairs}
