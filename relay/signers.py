"""Who signs a message with DKIM, and what becomes of the signatures it came with.

A change breaks a signature. One that we can make anew (we hold a key of its domain, and the author is of that
domain or below it) is replaced; any other keeps the message from being changed, or goes when it is dead, as
configured. What nothing breaks stays, octet for octet. Pure: keys and time are given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.utils import getaddresses
from functools import lru_cache

from relay.mime import Field, Header
from relay.signing import SignedFields, SigningKey, body_hash, signature_field, signed_fields
from tracker.address import normalize_domain

_SIGNATURES = frozenset({"dkim-signature", "domainkey-signature"})
_TAG = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*=\s*([^;]*)(?:;|\Z)")
_NEEDED = frozenset({"d", "h", "b"})
"""Tags without which there is no signature, whatever the field is called."""
_MAX_FROM = 2000
"""Octets of a From field that are looked at for its author."""

Range = tuple[int, int]


class NotSignedError(Exception):
    """A copy could not be signed; its cause says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What happens to the signatures of a copy."""

    cut: tuple[Range, ...] = ()
    """Fields of the message as it came that go, because what they sign is changed."""
    keys: tuple[SigningKey, ...] = ()
    """Which sign anew, the topmost signature first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """What becomes of one message's signatures."""

    stand_in_the_way: bool = False
    """The message may not be changed for their sake."""
    unchanged: Treatment = Treatment()
    """For copies whose body is as it came."""
    changed: Treatment = Treatment()
    """For the others."""
    fields: SignedFields = field(default=SignedFields(b"", b""), repr=False)
    valid_for: int = 0
    """Seconds; 0 is for ever."""

    def of(self, treatment: Treatment, copy: bytes, *, at: int) -> bytes:
        """The signatures to put in front of a copy, empty where nobody signs. `at` is Unix time. Raises
        NotSignedError."""
        if not treatment.keys:
            return b""
        try:
            digest = body_hash(copy)
            return b"".join(
                signature_field(key, self.fields, digest, at=at, valid_for=self.valid_for)
                for key in treatment.keys
            )
        except Exception as error:
            raise NotSignedError from error


UNSIGNED = Signatures()
"""Nobody signs, and nothing stands in the way."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A signature that a message came with."""

    place: Range
    domain: str
    """`""` where the field cannot be read."""
    names: frozenset[str]
    """Names of the fields it covers, lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """The keys we hold, by domain, and how they are to be used."""

    keys: Mapping[str, Sequence[SigningKey]] = field(default_factory=dict)
    remove_foreign: bool = False
    """Change messages that others signed, and take their dead signatures out."""
    sign_unchanged: bool = True
    """Sign copies too that leave as they came, where they bear no signature of ours."""
    valid_for: int = 0

    def examine(self, header: Header, *, cut: Sequence[Range] = (), is_signed: bool) -> Signatures:
        """What becomes of a message's signatures. `cut` are the fields that go from every copy, `is_signed` says
        that the header block was seen to hold DKIM or ARC fields."""
        if not is_signed and not self.keys:
            return UNSIGNED
        if header.malformed:
            return Signatures(stand_in_the_way=is_signed)
        found = [_read(header, entry) for entry in header.fields if entry.name in _SIGNATURES]
        sealed = [(entry.start, entry.end) for entry in header.fields if entry.name.startswith("arc-")]
        ours = self._candidates(header)
        foreign = bool(sealed) or any(one.domain not in ours for one in found)
        starts = {start for start, _ in cut}
        gone = frozenset(entry.name for entry in header.fields if entry.start in starts)
        dead = [one for one in found if one.names & gone and (one.domain in ours or self.remove_foreign)]
        return Signatures(
            stand_in_the_way=foreign and not self.remove_foreign,
            unchanged=self._treatment(ours, found, dead, sign=self.sign_unchanged),
            changed=self._treatment(ours, found, found, sign=True, also=sealed),
            fields=signed_fields(header) if ours else SignedFields(b"", b""),
            valid_for=self.valid_for,
        )

    def _treatment(
        self,
        ours: Sequence[str],
        found: Sequence[_Found],
        dead: Sequence[_Found],
        *,
        sign: bool,
        also: Sequence[Range] = (),
    ) -> Treatment:
        """The author's domain signs, and every domain of ours whose signature goes; none whose signature stays."""
        alive = {one.domain for one in found if one not in dead}
        lost = {one.domain for one in dead}
        signing = [
            domain
            for rank, domain in enumerate(ours)
            if domain not in alive and (domain in lost or (sign and rank == 0))
        ]
        return Treatment(
            cut=tuple(sorted([*(one.place for one in dead), *also])),
            keys=tuple(key for domain in signing for key in self.keys[domain]),
        )

    def _candidates(self, header: Header) -> list[str]:
        """Domains of ours that may sign for the author, the closest first; none where programs may
        differ on who the author is, and none for the file format whose first line is no field."""
        if not self.keys or not header.fields or header.fields[0].start:
            return []
        authors = [entry for entry in header.fields if entry.name == "from"]
        if len(authors) != 1 or authors[0].end - authors[0].start > _MAX_FROM:
            return []
        labels = author_domain(header.raw(authors[0])).split(".")
        above = (".".join(labels[at:]) for at in range(len(labels)))
        return [domain for domain in above if domain in self.keys]


def _read(header: Header, entry: Field) -> _Found:
    tags = {name: value.strip() for name, value in _TAG.findall(header.value(entry))}
    if not all(tags.get(name) for name in _NEEDED):
        return _Found((entry.start, entry.end), "", frozenset())
    names = frozenset(name.strip().lower() for name in tags["h"].split(":"))
    return _Found((entry.start, entry.end), tags["d"].lower(), names)


@lru_cache(maxsize=1024)
def author_domain(value: bytes) -> str:
    """The domain of a From field's addresses in its IDNA form; `""` where there is none, or more than one."""
    try:
        pairs = getaddresses([value.decode("utf-8")])
        domains = {normalize_domain(address.rpartition("@")[2]) for _, address in pairs}
    except (ValueError, IndexError, HeaderParseError, RecursionError):  # nested comments without end
        return ""
    return domains.pop() if len(domains) == 1 else ""
