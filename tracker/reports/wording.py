"""How numbers are said: shares, intervals, and what a comparison showed."""

from __future__ import annotations

from tracker.attribution import WHOLE
from tracker.events import EventKind
from tracker.reports.figures import Figures
from tracker.statistics import Contest, Finding, Share

GOES_BY = {"campaign": "campaign", "sender-day": "author and day", "sender-month": "author and month"}
"""What gives a mailing its name."""


def percent(share: Share) -> str:
    """`12.5%`, or a dash where there is nothing to divide by."""
    return "–" if share.rate is None else f"{share.rate:.1%}"


def span(share: Share) -> str:
    """`10.1% to 15.2%`: where the true rate lies 19 times in 20; nothing where there is nothing to divide by."""
    if share.interval is None:
        return ""
    low, high = share.interval
    return f"{low:.1%} to {high:.1%}"


def click_to_open(figures: Figures) -> Share | None:
    """Deliveries with a click, of those opened: who clicked has opened, seen or not. None where part of what happened
    is in totals alone, which do not say who did both."""
    opened, clicked = (figures.share(kind).n for kind in (EventKind.OPENED, EventKind.CLICKED))
    if figures.engaged != opened + figures.implied or clicked > figures.engaged:
        return None
    return Share(n=clicked, of=figures.engaged)


def judged(name: str, contest: Contest | None) -> str:
    """What holding the variants against each other says of this one."""
    if contest is None or not name:
        return ""
    findings = {one.finding for one in contest.others.values()}
    if name == contest.leader:
        return "leads" if findings == {Finding.BEHIND} else "" if findings == {Finding.TOO_FEW} else "highest"
    one = contest.others[name]
    low, high = one.interval
    apart = f"{100 * low:.1f} to {100 * high:.1f}" if low > 0 else f"{100 * low:+.1f} to {100 * high:+.1f}"
    by = " by" if one.finding is Finding.BEHIND and low > 0 else ":"
    return f"{one.finding}{by} {apart} points, p = {one.p:.2g}"


_UNATTRIBUTED = {
    "declined": "the person declined to be measured",
    "erased": "the person was erased",
    "do-not-track": "the person wants nothing tied to them",
    "not-admitted": "the policy admits nothing of what came before",
    "no-touch": "no mail was opened or followed in the window",
    "no-click": "no link was followed in the window",
    "unknown": "the mail is no longer on record",
    "without-name": "counted without a name",
}


def unattributed_word(reason: str) -> str:
    """Why nobody earned a conversion."""
    return _UNATTRIBUTED.get(reason, reason)


def credit(millionths: int) -> str:
    """Conversions: `3`, or `2.4` with as many decimals as there are, at most three."""
    return f"{millionths / WHOLE:.3f}".rstrip("0").rstrip(".")
