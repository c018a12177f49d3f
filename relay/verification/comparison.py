"""A message and its copy held against each other, part by part. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from relay.verification.dissection import Leaf, head_end, leaves
from relay.verification.spelling import first_difference, spelling
from relay.verification.unwrapping import Change, Ours, Walk, What, not_seen
from tracker.tokens import KeyRing


class Problem(NamedTuple):
    """What may not be. `part` is empty and `line` 0 where it is about the message as a whole."""

    part: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"part {self.part}, line {self.line}: " if self.part else ""
        return place + self.text


@dataclass(slots=True, kw_only=True)
class Verification:
    """What was found; the copy is right where `problems` is empty."""

    problems: list[Problem] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    octets: int = 0
    """Octets of the message, as transferred, that are not in the copy; base64 counts from the first group that
    changes."""

    def count(self, what: What) -> int:
        return sum(change.what is what for change in self.changes)


def verify(data: bytes, copy: bytes, *, public_url: str, ring: KeyRing) -> Verification:
    """Holds a copy against its message. `ring` must be one that sealed nothing else."""
    found = Verification()
    if data is copy or data == copy:
        return found
    at, at_copy = _verify_head(data, copy, found)
    before, after = leaves(data), leaves(copy)
    if len(before) != len(after):
        found.problems.append(Problem("", 0, f"{len(before)} parts became {len(after)}"))
        return found
    ours = Ours(public_url, ring)
    for old, new in zip(before, after, strict=True):
        if data[at : old.start] != copy[at_copy : new.start]:
            text = f"octets before the content differ: {first_difference(data[at : old.start], copy[at_copy : new.start])}"
            found.problems.append(Problem(old.number, 1, text))
        raw, raw_copy = data[old.start : old.end], copy[new.start : new.end]
        if raw != raw_copy:
            _verify_leaf(old, raw, raw_copy, ours, found)
        at, at_copy = old.end, new.end
    if data[at:] != copy[at_copy:]:
        found.problems.append(
            Problem("", 0, f"the end differs: {first_difference(data[at:], copy[at_copy:])}")
        )
    if found.count(What.PIXEL) > 1:
        found.problems.append(Problem("", 0, f"{found.count(What.PIXEL)} pixels"))
    return found


_OWN_FIELD = re.compile(
    rb"(?im)^(?:x-candor-[!-9;-~]*|x-tracking-consent)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)"
)

_FOR_RELAYS = (
    "mailgun-(?:tag|variables|recipient-variables|suppress-headers|(?:secondary-)?dkim(?:-public)?|drop-message"
    "|require-tls|skip-verification|sending-ip(?:-pool)?|deliver-by|delivery-time-optimize-period"
    "|time-zone-localize|archive-to)",
    "pm-(?:tag|metadata-[!-9;-~]+|message-stream|keepid)",
    "ses-(?:configuration-set|message-tags|(?:source|from|return-path)-arn|list-management-options)",
    "smtpapi|msys-api|alidm-trace|postal-tag|cuttlefish-metadata-[!-9;-~]+|mailin-(?:tag|custom)",
    "mc-(?:tags|metadata|googleanalytics(?:campaign)?|auto(?:text|html)|inlinecss|template|merge(?:vars|language)"
    "|urlstripqs|preserverecipients|signingdomain|returnpathdomain|subaccount|viewcontentlink|bccaddress"
    "|important|ippool|sendat)",
    "mailjet-(?:campaign|deduplicatecampaign|prio|segmentation)",
    "mj-(?:customid|eventpayload|monitoringcategory|template(?:id|language|errorreporting|errordeliver)|vars)",
    "smtpeter-(?:preventscam|tags|inlinecss|images)",
    "greenarrow-(?:mailclass|instanceid|click-tracking-id)",
    "(?:mailgun|pm|ses|msys|mc|mailjet|mj|smtpeter|greenarrow|postal|cuttlefish|mailin|alidm)-[!-9;-~]*track[!-9;-~]*",
)
"""Behind `x-`, fields of other services that a relay takes out, unless it is told to pass them on."""
_OTHERS_FIELD = re.compile(
    rb"(?im)^x-(?:" + "|".join(_FOR_RELAYS).encode() + rb")[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)"
)


def _verify_head(data: bytes, copy: bytes, found: Verification) -> tuple[int, int]:
    """Our own fields go, those of other services may go, all others stay; gives where the bodies begin."""
    end, end_copy = head_end(data), head_end(copy)
    head, head_copy = data[:end], copy[:end_copy]
    expected = _OWN_FIELD.sub(b"", head)
    found.octets += max(0, len(head) - len(head_copy))
    if expected != head_copy and not _may_be(expected, head_copy):
        text = f"the header differs: {first_difference(expected, head_copy)}"
        found.problems.append(Problem("", 0, text))
    return end, end_copy


def _may_be(head: bytes, copy: bytes) -> bool:
    """Whether nothing but fields for relays went, whole ones."""
    at = at_copy = 0
    for match in _OTHERS_FIELD.finditer(head):
        between = head[at : match.start()]
        if not copy.startswith(between, at_copy):
            return False
        at, at_copy = match.end(), at_copy + len(between)
        if copy.startswith(match[0], at_copy):
            at_copy += len(match[0])
    return copy[at_copy:] == head[at:]


def _verify_leaf(leaf: Leaf, raw: bytes, raw_copy: bytes, ours: Ours, found: Verification) -> None:
    if not leaf.is_body:
        found.problems.append(Problem(leaf.number, 1, f"{leaf.content_type} was changed"))
        return
    text, text_copy = leaf.text(raw), leaf.text(raw_copy)
    walk = Walk(leaf, text, text_copy, ours)
    problem = walk.run()
    found.changes += walk.changes
    if problem is None:
        problem = not_seen(walk)
    if problem is None:
        words, octets = spelling(leaf, raw, raw_copy, walk.changes)
        found.octets += octets
        problem = (walk.changes[0].start if walk.changes else 0, words) if words else None
    if problem is not None:
        at, words = problem
        found.problems.append(Problem(leaf.number, text.count("\n", 0, at) + 1, words))
