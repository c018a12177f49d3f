"""`[dkim]` and `[[dkim.key]]`: what we sign with, and what becomes of others' signatures."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import AfterValidator, Field, field_validator

from relay.signers import Signers
from relay.signing import GOOD_BITS, MOST_BITS, PrivateKey, SigningKey, read_private_key, signing_key
from tracker.address import normalize_domain
from tracker.config import Duration, Table
from tracker.errors import ConfigError

_SELECTOR = re.compile(
    r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)*", re.IGNORECASE
)
_LEAST_VALIDITY = 3600.0


def _domain(value: str) -> str:
    try:
        domain = normalize_domain(value.strip())
    except ValueError:
        domain = ""
    if not domain or domain.startswith("["):
        raise ValueError('expected a domain such as "example.com"')
    return domain


def _selector(value: str) -> str:
    if len(value) > 63 or not _SELECTOR.fullmatch(value):
        raise ValueError('expected a selector such as "candor2026": letters, digits, hyphens, dots')
    return value


DomainText = Annotated[str, AfterValidator(_domain)]
"""A domain in the form in which it stands in DNS."""
SelectorText = Annotated[str, AfterValidator(_selector)]


class DkimKeyTable(Table):
    """One `[[dkim.key]]`."""

    domain: DomainText
    selector: SelectorText
    private_key: str = Field(min_length=1)

    @property
    def name(self) -> str:
        """Where its public half is looked for."""
        return f"{self.selector}._domainkey.{self.domain}"

    def load(self) -> PrivateKey:
        """The key in its file. Raises ConfigError that names the file, never what stands in it."""
        where = f"[[dkim.key]] {self.name}"
        if "-----BEGIN" in self.private_key:
            raise ConfigError(f"{where}: private_key is the name of a file, not the key itself")
        path = Path(self.private_key)
        try:
            return read_private_key(path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"{where}: there is no file {path}") from None
        except OSError as error:
            raise ConfigError(f"{where}: {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ConfigError(f"{where}: {path}: {error}") from None


class DkimTable(Table):
    foreign_signatures: Literal["untouched", "remove"] = "untouched"
    sign_unchanged: bool = True
    valid_for: Duration = Field(default="0s", validate_default=True)
    key: tuple[DkimKeyTable, ...] = ()

    @field_validator("valid_for")
    @classmethod
    def _long_enough(cls, value: float) -> float:
        if 0 < value < _LEAST_VALIDITY:
            raise ValueError('expected "0s" (for ever) or at least "1h": mail may wait on its way')
        return value

    @field_validator("key")
    @classmethod
    def _once_each(cls, value: tuple[DkimKeyTable, ...]) -> tuple[DkimKeyTable, ...]:
        names = [key.name for key in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there twice; each selector of a domain may stand once")
        return value

    def signers(self) -> Signers:
        """The keys, read from their files. Raises ConfigError."""
        keys: dict[str, list[SigningKey]] = {}
        for entry in self.key:
            keys.setdefault(entry.domain, []).append(signing_key(entry.domain, entry.selector, entry.load()))
        return Signers(
            keys={domain: tuple(several) for domain, several in keys.items()},
            remove_foreign=self.foreign_signatures == "remove",
            sign_unchanged=self.sign_unchanged,
            valid_for=int(self.valid_for),
        )

    def doubts(self) -> Iterator[str]:
        """What is allowed and yet hardly meant; files that cannot be used are `signers`' to refuse."""
        for entry in self.key:
            where = f"[[dkim.key]] {entry.name}"
            try:
                key, mode = entry.load(), Path(entry.private_key).stat().st_mode
            except (ConfigError, OSError):
                continue
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                yield f"{where}: everybody on this machine may read or write {entry.private_key}; chmod 600 it"
            bits = key.key_size if isinstance(key, rsa.RSAPrivateKey) else GOOD_BITS
            if not GOOD_BITS <= bits <= MOST_BITS:
                yield (
                    f"{where}: the RSA key has {bits} bits; receivers may pass over what is not between "
                    f"{GOOD_BITS} and {MOST_BITS} (RFC 8301)"
                )
