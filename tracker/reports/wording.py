"""How numbers are said: shares, intervals, and what a comparison showed."""

from __future__ import annotations

from tracker.statistics import Contest, Finding, Share


def percent(share: Share) -> str:
    """`12.5%`, or a dash where there is nothing to divide by."""
    return "–" if share.rate is None else f"{share.rate:.1%}"


def span(share: Share) -> str:
    """`10.1% to 15.2%`: where the true rate lies 19 times in 20; nothing where there is nothing to divide by."""
    if share.interval is None:
        return ""
    low, high = share.interval
    return f"{low:.1%} to {high:.1%}"


def judged(name: str, contest: Contest | None) -> str:
    """What holding the variants against each other says of this one."""
    if contest is None or not name:
        return ""
    findings = {one.finding for one in contest.others.values()}
    if name == contest.leader:
        return "leads" if findings == {Finding.BEHIND} else "" if findings == {Finding.TOO_FEW} else "highest"
    one = contest.others[name]
    low, high = one.interval
    return f"{one.finding}: {100 * low:+.1f} to {100 * high:+.1f} points, p = {one.p:.2g}"
