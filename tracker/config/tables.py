"""The tables of the configuration that the tracker reads, as frozen values."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, field_validator, model_validator

from tracker import words
from tracker.address import normalize
from tracker.config.alerts import AlertTable
from tracker.config.goals import GoalTable, TrackingTable
from tracker.config.machines import GeographyTable, VerdictTable
from tracker.config.values import (
    Country,
    DomainPattern,
    Duration,
    Listen,
    NetworkText,
    OptionalListen,
    PublicUrl,
    RateText,
    SenderPattern,
    Size,
    StoreUrl,
    Table,
    TimeZone,
    _port,
    parse_listen,
)
from tracker.errors import InvalidAddress
from tracker.passwords import is_hash
from tracker.policy import PRESETS, Policy, Rule, Unknown, is_from
from tracker.rates import Rate, parse_rate
from tracker.zones import system_zone, zone_named

_LOGO_OCTETS = 256 * 1024
_LOGOS = (".svg", ".png", ".jpg", ".jpeg", ".webp", ".gif")


def _reachable(value: str) -> str:
    if value and not value.startswith(("https://", "http://")):
        try:
            normalize(value)
        except InvalidAddress:
            raise ValueError(
                'expected a mail address or a URL, such as "privacy@shop.example" or "https://shop.example/data"'
            ) from None
    return value


def _is_a_url(value: str) -> str:
    if value and not value.startswith(("https://", "http://")):
        raise ValueError('expected a URL such as "https://shop.example/privacy"')
    return value


def _fits_on_the_page(value: str) -> str:
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


Contact = Annotated[str, AfterValidator(_reachable)]
PrivacyUrl = Annotated[str, AfterValidator(_is_a_url)]
Logo = Annotated[str, AfterValidator(_fits_on_the_page)]


def _app_links(value: str) -> str:
    if not value:
        return value
    try:
        found = json.loads(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{value} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{value} is not JSON: {error}") from None
    if not isinstance(found, dict | list):
        raise ValueError(f"{value} holds no JSON object or array")
    return value


AppLinks = Annotated[str, AfterValidator(_app_links)]
"""A JSON file that tells telephones which apps open which links."""


class HostTable(Table):
    """One `[[tracker.host]]`: a public URL of its own for some senders, and who its pages speak for."""

    public_url: PublicUrl
    senders: tuple[SenderPattern, ...] = ()
    sender_name: str = ""
    contact: Contact = ""
    privacy_url: PrivacyUrl = ""
    logo: Logo = ""
    language: Literal["", "en", "fr", "it", "de"] = ""
    apple_app_site_association: AppLinks = ""
    asset_links: AppLinks = ""


class TrackerTable(Table):
    listen: Listen = "127.0.0.1:8080"
    public_url: PublicUrl = "http://127.0.0.1:8080"
    answer_within: Duration = Field(default="50ms", validate_default=True)
    referrer_policy: Literal[
        "", "no-referrer", "origin", "same-origin", "strict-origin", "strict-origin-when-cross-origin"
    ] = "no-referrer"
    trusted_proxies: tuple[NetworkText, ...] = ()
    proxy_header: Literal["x-forwarded-for", "forwarded", "proxy-protocol"] = "x-forwarded-for"
    bad_tokens: RateText = "30/m"
    journal: str = "./candor-data/journal"
    journal_size: Size = Field(default="256MB", validate_default=True, ge=16_000_000)
    apple_app_site_association: AppLinks = ""
    asset_links: AppLinks = ""
    host: tuple[HostTable, ...] = ()

    @property
    def bad_token_rate(self) -> Rate | None:
        return parse_rate(self.bad_tokens) if self.bad_tokens else None

    @property
    def urls(self) -> tuple[str, ...]:
        """Every public URL under which we are reached."""
        return tuple(dict.fromkeys((self.public_url, *(one.public_url for one in self.host))))

    def url_for(self, sender: str) -> str:
        """What stands in mail of this sender (an address in normal form): that of the first host that names it."""
        return next(
            (one.public_url for one in self.host if any(is_from(pattern, sender) for pattern in one.senders)),
            self.public_url,
        )


class AdminUserTable(Table):
    """One `[[admin.user]]`: somebody who may look, or do more."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")
    password_hash: str
    role: Literal["viewer", "operator", "admin"] = "viewer"

    @field_validator("password_hash")
    @classmethod
    def _is_a_hash(cls, value: str) -> str:
        if not is_hash(value):
            raise ValueError("expected all of what `candor user hash` prints, beginning with $argon2id$")
        return value


class AdminTable(Table):
    listen: OptionalListen = "127.0.0.1:8081"
    session: Duration = Field(default="12h", validate_default=True, gt=0)
    time_zone: TimeZone = ""
    previews_days: int = Field(default=0, ge=0, le=366)
    user: tuple[AdminUserTable, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """In which the pages show times and count days."""
        return zone_named(self.time_zone) if self.time_zone else system_zone()

    @model_validator(mode="after")
    def _is_guarded(self) -> AdminTable:
        names = [one.name for one in self.user]
        if len(set(names)) < len(names):
            raise ValueError("two [[admin.user]] have the same name")
        if self.listen and not self.user and not _is_loopback(parse_listen(self.listen)[0]):
            raise ValueError(
                f"listen = {self.listen!r} can be reached from elsewhere, and everybody there would see who got which "
                "mail: name who may come in ([[admin.user]]), or listen on 127.0.0.1"
            )
        return self


class ApiTable(Table):
    """`/api/v1`, for programs."""

    public: bool = False
    rate: RateText = "600/m"
    largest_body: Size = Field(default="4MB", validate_default=True, ge=1_000, le=100_000_000)

    @property
    def request_rate(self) -> Rate | None:
        """Requests of one key in each process; None for as many as it likes."""
        return parse_rate(self.rate) if self.rate else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class StoreTable(Table):
    url: StoreUrl = "sqlite:///./candor-data/candor.db"
    ask_within: Duration = Field(default="1s", validate_default=True, gt=0)
    write_within: Duration = Field(default="5s", validate_default=True, gt=0)
    wait_at_start: Duration = Field(default="60s", validate_default=True)


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


_IN_MAIL = ("footer", "footer_link")
_FOR_MAIL = re.compile(r"(?=.*[^\s])[^\x00-\x1f\x7f-\x9f\u2028\u2029{}\ud800-\udfff]{1,300}")


class PreferencesTable(Table):
    """The recipient's own page."""

    language: Literal["en", "fr", "it", "de"] = "en"
    sender_name: str = ""
    contact: Contact = ""
    privacy_url: PrivacyUrl = ""
    data_requests: Literal["contact", "queue", "at-once"] = "contact"
    logo: Logo = ""
    footer: bool = False
    words: dict[Literal["en", "fr", "it", "de"], dict[str, str]] = Field(default_factory=dict)

    @field_validator("words")
    @classmethod
    def _known_names(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for language, sentences in value.items():
            for name in sentences:
                if name not in words.NAMES:
                    raise ValueError(
                        f"{language}.{name}: no such words; there are {', '.join(sorted(words.NAMES))}"
                    )
                if name in _IN_MAIL and not _FOR_MAIL.fullmatch(sentences[name]):
                    raise ValueError(
                        f"{language}.{name}: stands in mail, so it is one line of at most 300 characters without braces"
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
    tracking: TrackingTable = TrackingTable()
    goal: tuple[GoalTable, ...] = ()
    alert: tuple[AlertTable, ...] = ()
    admin: AdminTable = AdminTable()
    api: ApiTable = ApiTable()
    store: StoreTable = StoreTable()
    consent: ConsentTable = ConsentTable()
    lookup: LookupTable = LookupTable()
    preferences: PreferencesTable = PreferencesTable()
    verdict: VerdictTable = VerdictTable()
    geography: GeographyTable = GeographyTable()
    anonymity: AnonymityTable = AnonymityTable()
    retention: RetentionTable = RetentionTable()
    tokens: TokensTable = TokensTable()
    log: LogTable = LogTable()

    @field_validator("goal")
    @classmethod
    def _goals_differ(cls, value: tuple[GoalTable, ...]) -> tuple[GoalTable, ...]:
        names = [one.name for one in value]
        if len(set(names)) < len(names):
            raise ValueError("two [[goal]] have the same name")
        return value

    @field_validator("alert")
    @classmethod
    def _alerts_differ(cls, value: tuple[AlertTable, ...]) -> tuple[AlertTable, ...]:
        names = [one.name for one in value]
        if len(set(names)) < len(names):
            raise ValueError("two [[alert]] have the same name")
        return value

    @property
    def click_id_parameter(self) -> str:
        """What the click id is called in links that lead on; `""` where none is handed out."""
        return self.tracking.click_id_parameter if self.goal else ""
