"""An independent proof that an untracked copy lacks what was meant for the relay, and nothing else."""

from __future__ import annotations

import re
from html import escape

from support.anatomy import Leaf, leaves, wide_codec

_OTHERS = """
    x-mailgun-tag x-mailgun-variables x-mailgun-recipient-variables x-mailgun-suppress-headers x-mailgun-dkim
    x-mailgun-secondary-dkim x-mailgun-secondary-dkim-public x-mailgun-drop-message x-mailgun-require-tls
    x-mailgun-skip-verification x-mailgun-sending-ip x-mailgun-sending-ip-pool x-mailgun-deliver-by
    x-mailgun-delivery-time-optimize-period x-mailgun-time-zone-localize x-mailgun-archive-to
    x-pm-tag x-pm-metadata-[!-9;-~]+ x-pm-message-stream x-pm-keepid
    x-ses-configuration-set x-ses-message-tags x-ses-source-arn x-ses-from-arn x-ses-return-path-arn
    x-ses-list-management-options x-smtpapi x-msys-api x-alidm-trace x-postal-tag x-cuttlefish-metadata-[!-9;-~]+
    x-mailin-tag x-mailin-custom
    x-mc-tags x-mc-metadata x-mc-googleanalytics x-mc-googleanalyticscampaign x-mc-autotext x-mc-autohtml x-mc-inlinecss
    x-mc-template x-mc-mergevars x-mc-mergelanguage x-mc-urlstripqs x-mc-preserverecipients x-mc-signingdomain
    x-mc-returnpathdomain x-mc-subaccount x-mc-viewcontentlink x-mc-bccaddress x-mc-important x-mc-ippool x-mc-sendat
    x-mailjet-campaign x-mailjet-deduplicatecampaign x-mailjet-prio x-mailjet-segmentation x-mj-customid
    x-mj-eventpayload x-mj-monitoringcategory x-mj-templateid x-mj-templatelanguage x-mj-templateerrorreporting
    x-mj-templateerrordeliver x-mj-vars x-smtpeter-preventscam x-smtpeter-tags x-smtpeter-inlinecss x-smtpeter-images
    x-greenarrow-mailclass x-greenarrow-instanceid x-greenarrow-click-tracking-id
    x-(?:mailgun|pm|ses|msys|mc|mailjet|mj|smtpeter|greenarrow|postal|cuttlefish|mailin|alidm)-[!-9;-~]*track[!-9;-~]*
"""
_OWN = re.compile(
    rb"(?:x-candor-[!-9;-~]*|x-tracking-consent|" + "|".join(_OTHERS.split()).encode() + rb")[ \t]*:",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"\{\{[ \t]*open_pixel[ \t]*\}\}|\{\{ses:openTracker\}\}|<opentag[ \t]*/?>"
    r"|(?P<page>\{\{[ \t]*tracking_preferences_url[ \t]*\}\}|%7B%7Btracking_preferences_url%7D%7D)",
    re.IGNORECASE,
)
_MARK = re.compile(
    # matches nothing itself, so that one that seems to lie in another's value is found too
    r"(?=(?P<mark>[ \t]*data-candor-no-track"
    r"(?:[ \t\r\n\f]*=(?:[ \t\r\n\f]*(?:\"[^\"]*\"|'[^']*'|[^ \t\r\n\f>]+))?)?))(?<![ \t])",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"(?:\+|&#43;|&#x2b;|&plus;)notrack(?=://)", re.IGNORECASE)
MANY = 5000
"""A message with more places than these is not walked: every place has two ways."""


def may_need_removal(data: bytes) -> bool:
    """Something in the message may be meant for the relay. False is certain."""
    block = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0]
    return bool(_OWN.search(block)) or any(
        pattern.search(_text(leaf, data))
        for leaf in leaves(data)
        for pattern in (_PLACEHOLDER, _MARK, _PREFIX)
    )


def verify_base(data: bytes, base: bytes, preferences: str) -> list[str]:
    """What is wrong with `base` as the untracked copy of `data`; empty where nothing is."""
    if base == data:
        return []
    before, after = leaves(data), leaves(base)
    if len(before) != len(after):
        return [f"{len(before)} parts became {len(after)}"]
    problems: list[str] = []
    at_data = at_base = 0
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        old_between, new_between = data[at_data : old.start], base[at_base : new.start]
        if index == 0:
            old_between, new_between = _without_own(old_between), _without_own(new_between)
        if old_between != new_between:
            problems.append(f"bytes before content {index} differ")
        at_data, at_base = old.end, new.end
        if data[old.start : old.end] != base[new.start : new.end]:
            problems += _compare(old, new, data, base, preferences)
    if data[at_data:] != base[at_base:]:
        problems.append("bytes behind the last content differ")
    if _longest(base) > max(998, _longest(data)):
        problems.append(f"a line has {_longest(base)} octets")
    return problems


def _longest(octets: bytes) -> int:
    return max(map(len, re.split(rb"\r?\n", octets)))


def _without_own(head: bytes) -> bytes:
    """The message's header block (and what follows it) without our own fields."""
    kept, own, ended = [], False, False
    for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", head):
        ended = ended or line in (b"\r\n", b"\n")
        if line[:1] not in (b" ", b"\t"):
            own = not ended and _OWN.match(line) is not None
        if ended or not own:
            kept.append(line)
    return b"".join(kept)


def _text(leaf: Leaf, data: bytes) -> str:
    octets = leaf.content(data)
    return octets.decode(wide_codec(leaf.charset, octets) or "latin-1", "replace")


def _compare(old: Leaf, new: Leaf, data: bytes, base: bytes, preferences: str) -> list[str]:
    if not old.is_body:
        return [f"a part of type {old.kind} was changed that is no body"]
    text, copy = _text(old, data), _text(new, base)
    page = escape(preferences) if old.kind == "text/html" else preferences
    found = [(*match.span(), page if match["page"] else "") for match in _PLACEHOLDER.finditer(text)]
    found += [(*match.span(), "") for match in _PREFIX.finditer(text)]
    found += [(*match.span("mark"), "") for match in _MARK.finditer(text)]
    if len(found) > MANY:
        return []
    reached = {(0, 0)}
    """Pairs of positions, in the text and in the copy, up to which both agree."""
    for start, end, instead in sorted(found):
        further = set()
        for at, at_copy in reached:
            between = text[at:start]
            if at > start:
                further.add((at, at_copy))
            elif copy.startswith(between, at_copy):
                at_copy += len(between)
                # either it stays, or it goes, with or without the blanks before it
                further.add((start, at_copy))
                blanks = text[start:end][: len(text[start:end]) - len(text[start:end].lstrip())]
                further |= {
                    (end, at_copy + len(way)) for way in (instead, blanks) if copy.startswith(way, at_copy)
                }
        if not further:
            return [f"the base differs before {text[start:end]!r}"]
        reached = further
    return (
        [] if any(copy[there:] == text[here:] for here, there in reached) else ["the base differs at its end"]
    )
