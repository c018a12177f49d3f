"""Person or machine: the verdict on one hit, from what it told and when it came. Pure.

Facts about user agents come from what mail services publish and send; a gateway's behaviour says more than its
name. Every verdict carries its reasons and the version of these rules, so that kept events can be judged again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracker.events import EventKind, Verdict, VerdictKind

RULES = 1
"""Version of the rules; goes up whenever a verdict could change."""
TOO_SOON = 2.0
"""Seconds after upstream's acceptance within which nobody can have read a mail."""
MACHINES = frozenset({VerdictKind.PREFETCH, VerdictKind.SCANNER})

_MOST = 512  # characters of a user agent that are looked at: patterns take their time with long ones
_GMAIL_PREFETCH = ("Chrome/42.0.2311.135", "Edge/12.246")
_PROXIES = ("GoogleImageProxy", "YahooMailProxy")
_PREVIEWS = re.compile(r"ms-office|Microsoft Office Existence Discovery", re.IGNORECASE)
_PROGRAMS = re.compile(  # a Cubot is a telephone
    r"\A(?:curl|wget|python|go-http-client|java|okhttp|libwww-perl|axios|node|ruby|php|apache-httpclient)|"
    r"(?<!cu)bot\b|\b(?:crawler|spider|scanner|headlesschrome)\b",
    re.IGNORECASE,
)
_DESKTOP_CHROME = re.compile(
    r"\((?:Windows NT|Macintosh|X11)[^)]*\).*\bChrome/(?P<major>\d+)\.(?P<rest>\d+\.\d+\.\d+)"
)
_REDUCED_SINCE = 113
"""From this version on Chrome tells only its major version; whoever tells more is not Chrome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What one request told, held in memory only until it is judged."""

    kind: EventKind
    user_agent: str
    since_accepted: float | None
    """Seconds since upstream took the mail; None when it has not (yet)."""


def classify(hit: Hit) -> Verdict:
    """The verdict on a single hit; the first rule that speaks wins."""
    by_agent = _by_user_agent(hit)
    too_soon = hit.since_accepted is None or hit.since_accepted < TOO_SOON
    if by_agent is None:
        return _verdict(VerdictKind.SCANNER, "too-soon") if too_soon else _verdict(VerdictKind.PERSON)
    kind, reason = by_agent
    if kind is VerdictKind.PROXY and too_soon:
        return _verdict(VerdictKind.PREFETCH, reason, "too-soon")
    return _verdict(kind, reason)


def _by_user_agent(hit: Hit) -> tuple[VerdictKind, str] | None:
    agent = hit.user_agent[:_MOST].strip()
    opened = hit.kind is EventKind.OPENED
    if not agent:
        return VerdictKind.SCANNER, "no-user-agent"
    if agent == "Mozilla/5.0":
        # Apple's Mail Privacy Protection loads pixels and never follows a link.
        return (VerdictKind.PREFETCH, "apple-mpp") if opened else (VerdictKind.SCANNER, "bare-mozilla")
    if any(proxy in agent for proxy in _PROXIES):
        return (VerdictKind.PROXY, "image-proxy") if opened else (VerdictKind.SCANNER, "image-proxy-click")
    if all(mark in agent for mark in _GMAIL_PREFETCH):
        return VerdictKind.PREFETCH, "gmail-prefetch"
    if _PREVIEWS.search(agent):
        return VerdictKind.PREFETCH, "office-preview"
    if _PROGRAMS.search(agent):
        return VerdictKind.SCANNER, "program"
    chrome = _DESKTOP_CHROME.search(agent)
    if chrome and int(chrome["major"]) >= _REDUCED_SINCE and chrome["rest"] != "0.0.0":
        return VerdictKind.SCANNER, "unreduced-chrome"
    return None


def _verdict(kind: VerdictKind, *reasons: str) -> Verdict:
    return Verdict(kind=kind, reasons=reasons, rules=RULES)
