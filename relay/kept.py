"""What is written down of what stayed as it was in a message. Pure.

A link that stays is often one that is made for one person: to log in, to pay, to unsubscribe. The record outlives
that person's erasure, so of such a link only its host is kept, or the scheme where it has none; never its path,
its query or its text, which may name them too. `candor rewrite show` tells the rest from the message itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from relay.reasons import TABLE, Reason, Scope
from relay.rewrite import Kept, Plan
from tracker.store import deliveries

MOST = 200
"""Rows of one message; a last one counts the rest."""
_HOST = re.compile(
    r"(?:https?(?:\+notrack)?:)?//([a-z0-9_][a-z0-9_.-]{0,252})(?::[0-9]*)?(?=[/?#]|\Z)", re.IGNORECASE
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}:", re.IGNORECASE)
_PART = re.compile(r"part ([0-9.]+), ([a-z0-9!#$&^_.+/-]*)")


def is_filled_in(one: Kept) -> bool:
    """A link that leads to a placeholder of ours: each copy has something there, so it did not stay."""
    return one.reason is Reason.TEMPLATE and _OURS.fullmatch(one.what) is not None


_OURS = re.compile(
    r"\{\{[ \t]*(?:open_pixel|tracking_preferences_url)[ \t]*\}\}|%7B%7Btracking_preferences_url%7D%7D"
    r"|\{\{ses:openTracker\}\}",
    re.IGNORECASE,
)


def kept(plan: Plan, staying: Collection[int] = ()) -> tuple[deliveries.Kept, ...]:
    """A row for each part, reason and host, with how often; none where nothing stayed. `staying`: numbers of links
    that stay for the length of their lines."""
    if not plan.kept and not staying:
        return ()
    numbers = {index: part.number for part in plan.parts for index in part.kept}
    counted = Counter(
        (*_where(one, numbers.get(index, "")), one.reason)
        for index, one in enumerate(plan.kept)
        if not is_filled_in(one)
    )
    counted.update(
        ("", place(link.url, Reason.LINE_TOO_LONG), Reason.LINE_TOO_LONG)
        for link in plan.links
        if link.number in staying
    )
    rows = [
        deliveries.Kept(part, reason.value, where, count) for (part, where, reason), count in counted.items()
    ]
    if len(rows) > MOST:
        rest = sum(row.times for row in rows[MOST - 1 :])
        rows[MOST - 1 :] = [deliveries.Kept("", "", "", rest)]
    return tuple(rows)


def _where(one: Kept, number: str) -> tuple[str, str]:
    """(the part's number, host, scheme or type)."""
    scope = TABLE[one.reason].scope
    if scope is Scope.LINK:
        return number, place(one.what, one.reason)
    match = _PART.match(one.what) if scope is Scope.PART else None
    return (match[1], match[2]) if match else (number, scope.value)


def place(url: str, reason: Reason) -> str:
    """Where a link leads, in general: its host, or its scheme, or nothing."""
    if reason in (Reason.USERINFO, Reason.TEMPLATE):  # what stands there may be anything
        return ""
    match = _HOST.match(url)
    if match:
        return match[1].lower()
    scheme = _SCHEME.match(url)
    return scheme[0].lower() if scheme else ""
