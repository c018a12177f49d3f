"""Which links are wrapped and which never are.

`Rules` is the `[rewrite]` table as a value; `Rulebook` answers for one link, given as a BeautifulSoup tag.
Each exception is a row of a table or a method of a few lines, each with its reason; wrapping less is always
safe. Knows nothing of bytes, encodings or consent. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from bs4 import Tag

from relay.html import MARK
from relay.patterns import by_first_letter, sieve
from relay.reasons import Reason

SKIP_HOSTS = (
    # app links open an app only while they lead to their own host
    "apps.apple.com",
    "itunes.apple.com",
    "play.google.com",
    "*.app.link",
    "*.onelink.me",
    "*.page.link",
    "*.smart.link",
    "wa.me",
    "t.me",
    # payment
    "checkout.stripe.com",
    "buy.stripe.com",
    "pay.stripe.com",
    "invoice.stripe.com",
    "*.paypal.com",
    "paypal.me",
    "*.klarna.com",
)
# Both tables are searched in lower case. Each alternative begins with a plain letter or sign, which lets the
# search skip to where one may begin.
SKIP_PATTERNS = (
    r"login(?![a-z0-9])|log[-_]in(?![a-z0-9])|logon(?![a-z0-9])|sign[-_]?in(?![a-z0-9])",
    r"sso(?<![a-z]sso)(?![a-z0-9])|oauth2?(?![a-z0-9])|saml(?![a-z0-9])",
    r"reset[-_/]?(?:your[-_/]?)?(?:password|passwd|pwd)|forgot(?:ten)?[-_/]?(?:password|passwd|pwd)",
    r"change[-_/]?(?:password|passwd|pwd)|set[-_/]?password|new[-_/]?password|recover[-_/]?(?:password|account)",
    r"password[-_/]?(?:reset|forgot|change|recover)|passwd[-_/]?reset|pwd[-_/]?reset",
    r"magic[-_/]?(?:link|login|sign-?in)",
    r"one-?time(?![a-z0-9])|otp(?<![a-z0-9]otp)(?![a-z0-9])|passwordless(?![a-z0-9])",
    r"confirm(?:ation)?[-_/]?(?:e-?mail|account|address|token)?(?=[/?&=#]|$)",
    r"verif(?:y|ication)[-_/]?(?:e-?mail|account|address|token)?(?=[/?&=#]|$)",
    r"activat(?:e|ion)[-_/]?(?:e-?mail|account|address|token)?(?=[/?&=#]|$)|validate(?=[/?&=#]|$)",
    r"accept[-_/]?invit(?:e|ation)|join[-_/]?invit(?:e|ation)|invit(?:e|ation)s?/(?:accept|join)",
    r"\?(?:token|auth|auth_token|access_token|login_token|otp|ticket|jwt|sig|signature|x-amz-signature)=",
    r"&(?:token|auth|auth_token|access_token|login_token|otp|ticket|jwt|sig|signature|x-amz-signature)=",
    r"checkout(?=[/?&=#]|$)|pay(?<![a-z0-9]pay)(?:ment|-?now)?(?=[/?&=#]|$)",
)
UNSUBSCRIBE_PATTERNS = (
    r"un-?subscri|opt-?out|list-?unsub|e-?mail-?preferences",
    r"manage[ /_-]*(?:your[ /_-]*)?(?:e-?mail[ /_-]*)?(?:preferences|subscription)",
    r"update[ /_-]*(?:your[ /_-]*)?(?:e-?mail[ /_-]*)?(?:preferences|subscription)",
    r"change[ /_-]*(?:your[ /_-]*)?(?:e-?mail[ /_-]*)?(?:preferences|subscription)",
    r"notification[ /_-]?(?:preferences|settings)|communication[ /_-]?(?:preferences|settings)",
    r"subscription[ /_-]?(?:preferences|settings)|mail(?:ing)?[ /_-]?(?:preferences|settings)",
    r"abmeld|abbestell|austragen|newsletter[ -]?einstellungen",
    r"d[eé]sabonn|d[eé]s-?inscri|g[eé]rer[ -](?:mes|vos)[ -]pr[eé]f[eé]rences",
    r"disiscriv|cancell(?:a|ati|azione)[ /_-]?(?:iscrizione|dalla)|annulla[ /_-]?iscrizione",
    r"darse[ /_-]?de[ /_-]?baja|cancelar[ /_-]?(?:la[ /_-]?)?(?:suscripci|inscri|subscri)|des(?:in)?scribir",
    r"uitschrijv|afmeld|avregistrer|avanmäl|avmeld|frameld",
    r"wypisz|odhl[aá]sit|leiratkoz|dezabon|отписа|配信停止|退订|退訂",
)
WRAPPED_HOSTS = (
    "*.list-manage.com",
    "mandrillapp.com",
    "*.mandrillapp.com",
    "*.ct.sendgrid.net",
    "sendgrid.net",
    "*.sendgrid.net",
    "*.awstrack.me",
    "click.pstmrk.it",
    "*.mjt.lu",
    "*.rs6.net",
    "*.sendibm*.com",
    "*.sendibt*.com",
    "*.sparkpostmail*.com",
    "*.hubspotlinks.com",
    "*.hubspotemail.net",
    "*.createsend*.com",
    "*.cmail*.com",
    "click.icptrack.com",
    "*.exct.net",
    "*.e2ma.net",
    "*.klclick*.com",
    "*.ctrk.klclick.com",
    "*.mailgun.org",
    "*.customeriomail.com",
    "*.safelinks.protection.outlook.com",
    "urldefense.com",
    "urldefense.proofpoint.com",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is wrapped, as configured. Hosts are shell patterns (`*.example.org`), patterns are regular
    expressions searched without regard to case."""

    skip_hosts: tuple[str, ...] = SKIP_HOSTS
    skip_patterns: tuple[str, ...] = SKIP_PATTERNS
    """On the URL: login, reset, magic and payment links."""
    unsubscribe_patterns: tuple[str, ...] = UNSUBSCRIBE_PATTERNS
    """On the URL and on the visible text."""
    wrap_visible_urls: bool = False
    wrap_outlook: bool = True
    wrap_plain_text: bool = False
    protocol_relative: bool = False
    """Wrap `//host` as https."""
    max_links: int = 1000
    own_hosts: tuple[str, ...] = ()
    """Our tracking hosts: never wrapped again."""
    wrapped_hosts: tuple[str, ...] = WRAPPED_HOSTS
    """Click hosts of other services and of mail filters."""
    wrap_html: bool = True
    """False where a message asks that only the links of its text be tracked."""
    track_signed: bool = False
    """Rewrite messages whose DKIM or ARC signature a change breaks."""
    max_url_length: int = 2900
    """The longest destination whose tracking URL stays within 4,096 characters: base64url takes four
    characters for three octets, and host, path and seal need some room."""

    def __post_init__(self) -> None:
        for pattern in (*self.skip_patterns, *self.unsubscribe_patterns):
            re.compile(pattern)


OPT_OUT_MARKS: tuple[tuple[str, str | None], ...] = (
    (MARK, None),
    ("ses:no-track", None),
    ("clicktracking", "off"),
    ("data-msys-clicktrack", "0"),
    ("data-pm-no-track", None),
    ("data-no-track", None),
    ("mc:disable-tracking", None),
    ("mautic:disable-tracking", None),
    ("autotrack", "false"),
)
"""Attributes by which authors keep a link from being tracked, here and at the services they come from; None
stands for any value, and beside a value any other counts too that does not clearly say the contrary."""

_OPT_OUT_VALUES = dict(OPT_OUT_MARKS)
_ON = frozenset({"on", "yes", "true", "1"})
OPT_OUT_CLASSES = frozenset({"untracked", "mktnotrack"})
OPT_OUT_WORD = "track"
"""Every one of these names and classes holds it: where no link says it, no link needs to be asked."""

NO_TRACK_SCHEME = re.compile(r"\s*https?((?:\+|&#43;|&#x2b;|&plus;)notrack)://", re.IGNORECASE)
"""`https+notrack://host` asks for `https://host`, untracked."""


class Rulebook:
    """The rules, ready to be asked. Made once per `Rules` by `rulebook()`."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._max_length, self._leave_visible = rules.max_url_length, not rules.wrap_visible_urls
        self.is_own_host = _hosts(rules.own_hosts)
        wrapped, skipped = _hosts(rules.wrapped_hosts), _hosts(rules.skip_hosts)

        @lru_cache(maxsize=4096)
        def judge_host(host: str) -> Reason | None:
            if wrapped(host):
                return Reason.ALREADY_WRAPPED
            return Reason.SKIPPED_HOST if skipped(host) else None

        self._judge_host = judge_host
        self._find_skipped = _finder(rules.skip_patterns)
        self._find_unsubscribe = _finder(rules.unsubscribe_patterns)
        self._may_be_found = sieve((*rules.skip_patterns, *rules.unsubscribe_patterns))

    def judge_tag(self, tag: Tag, text: str, list_unsubscribe: Collection[str]) -> tuple[str, Reason | None]:
        """(destination, None) for a link to be wrapped, else (what the link says, why it stays).

        The destination has its entities decoded and lacks what browsers take out of it, nothing else."""
        url = destination(str(tag.attrs["href"]))
        if opted_out(tag):
            return url, Reason.OPT_OUT
        return self.judge(url, text, list_unsubscribe)

    def judge(self, url: str, text: str, list_unsubscribe: Collection[str]) -> tuple[str, Reason | None]:
        """The same for a URL that stands in no tag."""
        if url.startswith("//") and self.rules.protocol_relative:
            url = "https:" + url
        plain = _PLAIN_URL.fullmatch(url)
        if plain is not None:
            if len(url) > self._max_length:
                return url, Reason.TOO_LONG
            return url, self._place(url, plain[1].lower(), text, list_unsubscribe)
        authority = _AUTHORITY.match(url)
        if authority is None:
            return url, _why_not_http(url)
        reason = self._form(url, authority[1])
        host = _PORT.sub("", authority[1]).lower().rstrip(".")
        return url, reason or self._place(url, host, text, list_unsubscribe)

    def _form(self, url: str, authority: str) -> Reason | None:
        """What the URL looks like."""
        for unfit, reason in _UNFIT:
            if unfit(url):
                return reason
        if not authority:
            return Reason.NO_HOST
        if "@" in authority:
            return Reason.USERINFO
        if _HOST.fullmatch(authority) is None:
            return Reason.ODD_HOST
        return Reason.TOO_LONG if len(url) > self.rules.max_url_length else None

    def _place(self, url: str, host: str, text: str, list_unsubscribe: Collection[str]) -> Reason | None:
        """Where the URL leads and what it is for."""
        if self.is_own_host(host):
            return Reason.OWN_HOST
        if url in list_unsubscribe:
            return Reason.LIST_UNSUBSCRIBE
        lowered = url.lower()
        both = f"{lowered}\n{text.lower()}"
        may_be_found = self._may_be_found(both)
        if may_be_found and self._find_unsubscribe(both):
            return Reason.UNSUBSCRIBE
        reason = self._judge_host(host)
        if reason is not None:
            return reason
        if may_be_found and self._find_skipped(lowered):
            return Reason.SKIPPED_PATTERN
        if self._leave_visible and looks_like_url(text):
            return Reason.VISIBLE_URL
        return None


@lru_cache(maxsize=32)
def rulebook(rules: Rules) -> Rulebook:
    """The rulebook of some rules; their patterns are compiled once."""
    return Rulebook(rules)


_AUTHORITY = re.compile(r"https?://([^/?#\\]*)", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PORT = re.compile(r":[0-9]*\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{%|%\}|\*\||\|\*|<%|%>|%%[^%]+%%|\$\{|\[\[|\]\]|\[%|%\]|#\{")
_OUTSIDE_ASCII = re.compile(r"[^\x00-\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BROWSERS_STRIP = "".join(map(chr, range(0x21)))
_BROWSERS_REMOVE = re.compile(r"[\t\r\n]+")

_PLAIN_URL = re.compile(
    r"[hH][tT][tT][pP][sS]?://([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)"
    r"(?:[/?#](?:[^\x00-\x20\"%<>\[\]{}|\\\x7f-\U0010ffff]++|%[0-9A-Fa-f])*+)?"
)
"""A URL whose form needs no second look: it has nothing of what follows, and its host neither port nor odd signs."""

_UNFIT: tuple[tuple[Callable[[str], object], Reason], ...] = (
    (_PLACEHOLDER.search, Reason.TEMPLATE),
    (_OUTSIDE_ASCII.search, Reason.NON_ASCII),
    (re.compile(" ").search, Reason.BLANK),
    (_CONTROL.search, Reason.CONTROL_CHARACTER),
)


def destination(value: str) -> str:
    """An attribute's value as browsers read it as a URL (URL 4.4): ends stripped, tabs and line ends out."""
    value = value.strip(_BROWSERS_STRIP)
    return value if value.isprintable() else _BROWSERS_REMOVE.sub("", value)


def opted_out(tag: Tag) -> bool:
    """The tag carries a mark of ours or of another service that it is not to be tracked."""
    attributes = tag.attrs
    if not _OPT_OUT_VALUES.keys().isdisjoint(attributes):
        for name, value in OPT_OUT_MARKS:
            if name in attributes and (value is None or str(attributes[name]).strip().lower() not in _ON):
                return True
    classes = attributes.get("class")
    return bool(classes) and not OPT_OUT_CLASSES.isdisjoint(str(classes).lower().split())


# Letters of domain names as people read them: ASCII, and scripts from Latin with accents to Hangul without punctuation.
_LETTERS = r"a-z\u00c0-\u1fff\u2c00-\u2dff\u3040-\ud7ff"
_URL_TEXT = re.compile(
    r"(?:https?://\S+|www\.\S+"
    rf"|(?:[0-9{_LETTERS}](?:[0-9{_LETTERS}-]*[0-9{_LETTERS}])?\.)+(?:[{_LETTERS}]{{2,24}}|xn--[a-z0-9-]+)(?:[:/?#]\S*)?)",
    re.IGNORECASE,
)
_AROUND_TEXT = " \t\r\n\f\xa0\u200b\ufeff<>()[]{}\"'«»“”‘’.,;:!?→›|*-"


def looks_like_url(text: str) -> bool:
    """The visible text is nothing but a URL or a bare domain."""
    if "." not in text and "://" not in text:
        return False
    return _URL_TEXT.fullmatch(text.strip(_AROUND_TEXT)) is not None


def _why_not_http(url: str) -> Reason:
    if not url:
        return Reason.EMPTY
    if url.startswith("#"):
        return Reason.FRAGMENT
    if _PLACEHOLDER.search(url):
        return Reason.TEMPLATE
    if NO_TRACK_SCHEME.match(url):
        return Reason.OPT_OUT
    if url.startswith(("//", "\\\\", "/\\", "\\/")):
        return Reason.PROTOCOL_RELATIVE
    return Reason.OTHER_SCHEME if _SCHEME.match(url) else Reason.RELATIVE


def _hosts(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """A pattern `*.example.org` means what lies below the domain, and `example.org` that host alone."""
    alone, endings, others = set(), [], []
    for pattern in map(str.lower, patterns):
        if _WILD.search(pattern) is None:
            alone.add(pattern)
        elif _WILD.search(pattern, 1) is None and pattern[0] == "*":
            endings.append(pattern[1:])
        else:
            others.append(translate(pattern))
    if not patterns:
        return _never
    ends = tuple(endings)
    matches = re.compile("|".join(others)).match if others else _never
    return lambda host: host in alone or host.endswith(ends) or matches(host)


_WILD = re.compile(r"[*?\[]")


def _never(_: str) -> None:
    return None


def _finder(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """Says whether one of the patterns is found in a text that is given in lower case."""
    if not patterns:
        return _never
    # without the flag a regular expression is searched much faster, and lower case needs no flag
    flags = 0 if all(pattern == pattern.lower() for pattern in patterns) else re.IGNORECASE
    return re.compile(by_first_letter(patterns), flags).search
