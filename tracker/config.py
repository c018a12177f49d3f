"""The configuration: strict TOML, read once into frozen values.

An error names file, table and key, says what is wrong and what is allowed. Every string may come from a file
(`url_file = "/run/secrets/url"`) and every key from the environment (`CANDOR_STORE_URL`), so that secrets need
not stand in the configuration. The relay's tables are read by `relay.config`; here they are passed over.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
)

from tracker import words
from tracker.address import normalize, normalize_domain
from tracker.errors import ConfigError, InvalidAddress
from tracker.policy import PRESETS, Policy, Rule, Unknown

RELAY_TABLES = frozenset(
    {"relay", "upstream", "queue", "rewrite", "dkim", "override", "bounces", "suppression"}
)
"""Tables that belong to the relay: the tracker's programs accept that they are there and never read them."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _duration(value: object) -> object:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip())
        if not match:
            raise ValueError('expected a duration such as "500ms", "20s", "5m", "4h" or "5d"')
        return float(match[1]) * _UNITS[match[2]]
    raise ValueError('expected a duration in quotes, such as "20s"')


def _size(value: object) -> object:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)\s*(B|KB|MB|GB|KiB|MiB|GiB)", value.strip())
        if not match:
            raise ValueError('expected a size such as "500KB", "25MB" or "1GiB"')
        return int(match[1]) * _SIZES[match[2]]
    raise ValueError('expected a size in quotes, such as "25MB"')


def _shown_duration(seconds: float) -> str:
    """The duration as people write it, exactly: `0.05` is `50ms`, `300.0` is `5m`."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def _shown_size(octets: int) -> str:
    for unit in ("GB", "GiB", "MB", "MiB", "KB", "KiB"):
        if octets and octets % _SIZES[unit] == 0:
            return f"{octets // _SIZES[unit]}{unit}"
    return f"{octets}B"


def parse_listen(text: str) -> tuple[str, int]:
    """`("127.0.0.1", 8080)` from `127.0.0.1:8080`; brackets around IPv6. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('expected host:port, such as "127.0.0.1:2525" or "[::1]:2525"')
    host = host.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('an IPv6 address stands in brackets: "[::1]:2525"')
    return host, int(port)


def _listen(value: str) -> str:
    parse_listen(value)
    return value


def _optional_listen(value: str) -> str:
    return _listen(value) if value else value


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    plain = parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
    if not plain or not parts.hostname or _port(value) == 0:
        raise ValueError('expected the public base URL of the tracker, such as "https://t.example.com"')
    if not re.fullmatch(r"[A-Za-z0-9_./:-]+", value):  # what needs no escape in any part of a mail
        raise ValueError(
            "the public base URL may hold only ASCII letters, digits and -_./: (a name in its IDNA form, no IPv6"
            " address)"
        )
    return value.rstrip("/")


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; expected a network such as "10.0.0.0/8" or "::1/128"') from None
    return value


def _country(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", value):
        raise ValueError('expected a country code of two letters (ISO 3166), such as "FR"')
    return value.upper()


def _domain_pattern(value: str) -> str:
    if not value.removeprefix("*.") or re.search(r"[@*\s]", value.removeprefix("*.")):
        raise ValueError('expected a domain such as "example.org", or "*.example.org" for what lies below it')
    try:
        return ("*." if value.startswith("*.") else "") + normalize_domain(value.removeprefix("*."))
    except InvalidAddress as error:
        raise ValueError(str(error)) from None


def _sender_pattern(value: str) -> str:
    if value.startswith("@"):
        return "@" + _domain_pattern(value[1:])
    try:
        return normalize(value)
    except InvalidAddress as error:
        raise ValueError(
            f'{error}; expected "news@shop.example", "@shop.example" or "@*.shop.example"'
        ) from None


def _port(url: str) -> int | None:
    """The port of a URL. ValueError in words of our own: the library's repeat what may be a password."""
    try:
        return urlsplit(url).port
    except ValueError:
        raise ValueError(
            "its port is no number up to 65535 (in a password, write / as %2F, : as %3A and @ as %40)"
        ) from None


def without_password(url: str) -> str:
    """The URL with its passwords as `…`: the one of the login, and those among the parameters."""
    url = re.sub(r"([?&][a-z_]*password=)[^&#]*", r"\1…", url, flags=re.IGNORECASE)
    scheme, separator, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    name, colon, _ = login.partition(":")
    return f"{scheme}{separator}{name}{':…' if colon else ''}{at}{host}" if separator else url


def _store_url(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql://")):
        raise ValueError('expected "sqlite:///PATH" or "postgresql://user:password@host/database"')
    if value.startswith("sqlite:") and value.removeprefix("sqlite:///") in ("", ":memory:"):
        raise ValueError(
            'expected a file: several connections and processes share it, as in "sqlite:///PATH"'
        )
    _port(value)
    return value


Duration = Annotated[float, BeforeValidator(_duration), Field(ge=0), PlainSerializer(_shown_duration)]
"""Seconds; written `"20s"`."""
Size = Annotated[int, BeforeValidator(_size), Field(gt=0), PlainSerializer(_shown_size)]
"""Octets; written `"25MB"`."""
OptionalSize = Annotated[int, BeforeValidator(_size), Field(ge=0), PlainSerializer(_shown_size)]
"""Octets; `"0B"` for none."""
Listen = Annotated[str, AfterValidator(_listen)]
OptionalListen = Annotated[str, AfterValidator(_optional_listen)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]


class Table(BaseModel):
    """A table of the configuration: frozen, and strict about what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class TrackerTable(Table):
    listen: Listen = "127.0.0.1:8080"
    public_url: PublicUrl = "http://127.0.0.1:8080"
    answer_within: Duration = Field(default="50ms", validate_default=True)
    referrer_policy: Literal[
        "", "no-referrer", "origin", "same-origin", "strict-origin", "strict-origin-when-cross-origin"
    ] = "no-referrer"


class AdminTable(Table):
    listen: OptionalListen = "127.0.0.1:8081"


class StoreTable(Table):
    url: StoreUrl = "sqlite:///./candor-data/candor.db"
    ask_within: Duration = Field(default="1s", validate_default=True, gt=0)
    write_within: Duration = Field(default="5s", validate_default=True, gt=0)
    wait_at_start: Duration = Field(default="60s", validate_default=True)


Country = Annotated[str, AfterValidator(_country)]
DomainPattern = Annotated[str, AfterValidator(_domain_pattern)]
SenderPattern = Annotated[str, AfterValidator(_sender_pattern)]


NetworkText = Annotated[str, AfterValidator(_network)]


class RuleTable(Table):
    """One `[[consent.rule]]`."""

    countries: tuple[Country, ...] = ()
    domains: tuple[DomainPattern, ...] = ()
    groups: tuple[str, ...] = ()
    senders: tuple[SenderPattern, ...] = ()
    classes: tuple[Literal["transactional", "requested", "marketing"], ...] = ()
    unknown: Unknown | None = None
    do_not_track_unset: bool | None = None
    withdrawal_link: bool = False
    keep_device: bool = True
    keep_place: bool = True

    def rule(self, number: int) -> Rule:
        return Rule(
            name=f"[[consent.rule]] {number}",
            countries=self.countries,
            domains=self.domains,
            groups=self.groups,
            senders=self.senders,
            classes=self.classes,
            unknown=self.unknown,
            do_not_track_unset=self.do_not_track_unset,
            withdrawal_link=self.withdrawal_link,
            device=self.keep_device,
            place=self.keep_place,
        )


def _lookup_url(value: str) -> str:
    if not value:
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or _port(value) == 0 or parts.fragment:
        raise ValueError(
            'expected a URL such as "https://crm.example/consent?address={address}", or one without {address} that '
            "takes POST"
        )
    if re.search(r"[^!-~]", value) or "{" in value.replace("{address}", ""):
        raise ValueError("a URL may hold ASCII without blanks, and of braces only {address}")
    return value


class LookupTable(Table):
    """The user's own CRM, asked what people said."""

    url: Annotated[str, AfterValidator(_lookup_url)] = ""
    token: str = Field(default="", pattern=r"^[!-~]*$")
    within: Duration = Field(default="2s", validate_default=True, gt=0)
    keep: Duration = Field(default="10m", validate_default=True)
    entries: int = Field(default=50_000, ge=1)
    at_once: int = Field(default=8, ge=1, le=1000)
    required: bool = False


class ConsentTable(Table):
    unknown: Unknown = Unknown.TRACK
    do_not_track_unset: bool = False
    presets: tuple[str, ...] = ()
    trust_header_users: tuple[str, ...] = ()
    trust_header_networks: tuple[NetworkText, ...] = ()
    rule: tuple[RuleTable, ...] = ()

    @field_validator("presets")
    @classmethod
    def _known_presets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in PRESETS:
                raise ValueError(f"{name!r} is no preset of ours; there are {', '.join(PRESETS)}")
        return tuple(dict.fromkeys(value))

    def policy(self) -> Policy:
        return Policy(
            unknown=self.unknown,
            do_not_track_unset=self.do_not_track_unset,
            rules=tuple(rule.rule(number) for number, rule in enumerate(self.rule, 1)),
            presets=self.presets,
        )


_LOGO_OCTETS = 256 * 1024
_LOGOS = (".svg", ".png", ".jpg", ".jpeg", ".webp", ".gif")


class PreferencesTable(Table):
    """The recipient's own page."""

    language: Literal["en", "fr", "it", "de"] = "en"
    sender_name: str = ""
    contact: str = ""
    privacy_url: str = ""
    data_requests: Literal["contact", "queue", "at-once"] = "contact"
    logo: str = ""
    words: dict[Literal["en", "fr", "it", "de"], dict[str, str]] = Field(default_factory=dict)

    @field_validator("contact")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            try:
                normalize(value)
            except InvalidAddress:
                raise ValueError(
                    'expected a mail address or a URL, such as "privacy@shop.example" or "https://shop.example/data"'
                ) from None
        return value

    @field_validator("privacy_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError('expected a URL such as "https://shop.example/privacy"')
        return value

    @field_validator("logo")
    @classmethod
    def _fits_on_the_page(cls, value: str) -> str:
        if not value:
            return value
        file = Path(value)
        if file.suffix.lower() not in _LOGOS:
            raise ValueError(f"expected an image file ({', '.join(_LOGOS)})")
        if not file.is_file():
            raise ValueError(f"there is no file {value}")
        if file.stat().st_size > _LOGO_OCTETS:
            raise ValueError(f"{value} has more than {_LOGO_OCTETS // 1024} KB, and stands in every page")
        return value

    @field_validator("words")
    @classmethod
    def _known_names(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for language, sentences in value.items():
            for name in sentences:
                if name not in words.NAMES:
                    raise ValueError(
                        f"{language}.{name}: no such words; there are {', '.join(sorted(words.NAMES))}"
                    )
        return value


class AnonymityTable(Table):
    min_group: int = Field(default=5, ge=2, le=10_000)


class RetentionTable(Table):
    """In calendar years (`tracker.retention`)."""

    events_years: int = Field(default=3, ge=1, le=30)
    messages_years: int = Field(default=3, ge=1, le=30)


class TokensTable(Table):
    keys_file: str = Field(default="./candor-data/keys.toml", min_length=1)


class LogTable(Table):
    format: Literal["readable", "json"] = "readable"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Table):
    """What the tracker's programs need to know."""

    tracker: TrackerTable = TrackerTable()
    admin: AdminTable = AdminTable()
    store: StoreTable = StoreTable()
    consent: ConsentTable = ConsentTable()
    lookup: LookupTable = LookupTable()
    preferences: PreferencesTable = PreferencesTable()
    anonymity: AnonymityTable = AnonymityTable()
    retention: RetentionTable = RetentionTable()
    tokens: TokensTable = TokensTable()
    log: LogTable = LogTable()


C = TypeVar("C", bound=Config)


def load(
    path: Path | None,
    model: type[C],
    *,
    environ: Mapping[str, str] = os.environ,
    foreign: frozenset[str] = frozenset(),
) -> C:
    """The configuration in `path` (all defaults when None), with the environment's values over it.

    Tables named in `foreign` are passed over. Raises ConfigError with one line for each thing that is wrong."""
    name = str(path) if path else "the environment"
    document = _read(path) if path else {}
    for table in foreign:
        document.pop(table, None)
    _read_files(document, model, name)
    _check_variables(model, environ, foreign)
    variables = _overlay(document, model, environ)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        lines = [_explain(name, model, variables, item) for item in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _tables(model: type[BaseModel]) -> dict[str, type[Table]]:
    kinds = {table: field.annotation for table, field in model.model_fields.items()}
    return {
        table: kind for table, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Table)
    }


def _read_files(document: dict[str, Any], model: type[BaseModel], name: str) -> None:
    """`url_file = "/run/secrets/x"` gives `url` what the file holds, without blanks and line ends around it."""
    for table, kind in _tables(model).items():
        keys = document.get(table)
        if not isinstance(keys, dict):
            continue
        for option in [option for option in kind.model_fields if f"{option}_file" in keys]:
            key = f"{option}_file"
            if option in keys:
                raise ConfigError(
                    f"{name}: [{table}] {key}: {option} is given too; only one of them is allowed"
                )
            path = Path(str(keys.pop(key)))
            try:
                keys[option] = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{name}: [{table}] {key}: {path} cannot be read: {error}") from None


def _overlay(
    document: dict[str, Any], model: type[BaseModel], environ: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """Puts the environment's values over the document's; gives the variable behind each (table, key) it set."""
    variables = {}
    for table, kind in _tables(model).items():
        for key, field in kind.model_fields.items():
            variable = f"CANDOR_{table}_{key}".upper()
            if variable in environ and isinstance(document.setdefault(table, {}), dict):
                several = get_origin(field.annotation) is tuple
                document[table][key] = _several(environ[variable]) if several else environ[variable]
                variables[table, key] = variable
    return variables


def _several(value: str) -> list[Any]:
    """A list in a variable: a JSON array, or its items with commas between."""
    if value.lstrip().startswith("["):
        try:
            return list(json.loads(value))
        except json.JSONDecodeError:
            pass  # its pieces will be refused by name
    return [item.strip() for item in value.split(",") if item.strip()]


def _check_variables(model: type[BaseModel], environ: Mapping[str, str], foreign: frozenset[str]) -> None:
    """Raises ConfigError for a variable that was surely meant as one of ours: a typo must not leave a default."""
    known = {
        f"CANDOR_{table}_{key}".upper() for table, kind in _tables(model).items() for key in kind.model_fields
    }
    others = tuple(f"CANDOR_{table}_".upper() for table in foreign)
    for variable in environ:
        if variable.startswith("CANDOR_") and variable not in known and not variable.startswith(others):
            meant = get_close_matches(variable, known, n=1, cutoff=0.85)
            if meant:
                raise ConfigError(f"{variable}: no such variable; did you mean {meant[0]}?")


def _explain(name: str, model: type[BaseModel], variables: Mapping[tuple[str, str], str], item: Any) -> str:
    table, *rest = [str(part) for part in item["loc"]] or ["?"]
    key = ".".join(rest)
    source = variables.get((table, rest[0])) if rest else None
    where = f"{source or name}: [{table}]" + (f" {key}" if key else "")
    if item["type"] == "model_type":
        return f"{where}: expected a table of that name{_shown(key, item['input'])}"
    if item["type"] == "extra_forbidden":
        known = _keys_at(model, item["loc"][:-1])
        return f"{where}: no such {'key' if rest else 'table'}; known: {', '.join(sorted(known))}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}{_shown(key, item['input'])}"


def _keys_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The keys of the table at that place, through tables and the entries of `[[…]]`."""
    kind: Any = model
    for part in place:
        if isinstance(part, int):  # an entry of a list of tables
            kind = get_args(kind)[0]
        else:
            kind = kind.model_fields[part].annotation
    return list(kind.model_fields)


def _shown(key: str, value: object) -> str:
    """What the value is, unless a secret could be in it: a URL, a login, or a whole table."""
    secret = re.search(r"url|password|token|user(\.\d+)?$", key) or "://" in str(value)
    return "" if secret or not isinstance(value, str | int | float) else f" (it is {value!r})"
