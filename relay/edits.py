"""What is to be changed in one body: the ranges of its links, marks, placeholders and its pixel's place.

Puts what the HTML reader found before the rulebook and writes down each answer, with the reason where it is
no. Positions are those of the text that was read; encodings and recipients come later. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from bs4 import Tag

from relay import html, plain
from relay.charsets import Text
from relay.html import MARK, Anchor
from relay.reasons import Reason
from relay.rulebook import NO_TRACK_SCHEME, OPT_OUT_WORD, Rulebook, destination

MAX_LINK_TEXT = 200
MAX_PLACEHOLDERS = 100
"""So many placeholders of a body are filled in."""
MAX_MARKS = 1000
"""So many marks of ours are taken out of a body."""


class Effect(Enum):
    LINK = "the link's tracking URL"
    REMOVE = "nothing"
    PREFERENCES = "the preference page's URL"
    PIXEL = "the pixel, where the sender asked for it"
    PIXEL_AT_END = "the pixel, at the end of the body"
    PIXEL_AT_START = "the pixel, at the start of a long body"


_LINK = Effect.LINK
_new = tuple.__new__  # half the time of a NamedTuple's constructor


class Edit(NamedTuple):
    """A range and what goes there; an empty range is an insertion."""

    start: int
    end: int
    effect: Effect
    number: int = 0
    """The link's."""


class Link(NamedTuple):
    """A link that is wrapped. The Outlook twin of a visible link shares its number."""

    number: int
    """From 1, in the order of the message."""
    url: str
    """The author's destination: entities decoded once, what browsers strip taken out, else as written."""
    text: str
    """The visible text, at most `MAX_LINK_TEXT` characters."""


class Kept(NamedTuple):
    """Something that stays as it is, and why."""

    what: str
    """A link's destination, or a part as `part 1.2, text/html`."""
    reason: Reason
    text: str = ""
    """A link's visible text."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was found in the bodies so far; each body adds to it."""

    book: Rulebook
    list_unsubscribe: Collection[str]
    links: list[Link] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    """What was said of each link, as they stand in the message: a number of `links`, or -1 and below for the first of
    `kept` and those behind it."""
    has_pixel_place: bool = False
    has_preferences: bool = False
    pixel_first: bool = False
    """The message asks for its pixel at the beginning."""

    def wrap(self, url: str, text: str) -> Link | None:
        """A new link, or None where there are too many."""
        if len(self.links) >= self.book.rules.max_links:
            self.keep(url, text, Reason.TOO_MANY_LINKS)
            return None
        link = _new(Link, (len(self.links) + 1, url, text[:MAX_LINK_TEXT]))
        self.links.append(link)
        self.order.append(link.number)
        return link

    def keep(self, url: str, text: str, reason: Reason) -> None:
        self.kept.append(_new(Kept, (url[:1000], reason, text[:MAX_LINK_TEXT])))
        self.order.append(-len(self.kept))


_PLACEHOLDER = re.compile(
    r"\{\{[ \t]*((?i:open_pixel|tracking_preferences_url))[ \t]*\}\}"
    r"|%7[bB]%7[bB]((?i:tracking_preferences_url))%7[dD]%7[dD]"
    r"|\{\{ses:openTracker\}\}|<opentag[ \t]*/?>"
)
"""Ours, and the words of other services for the pixel's place (docs/compatibility.md)."""
# The engine looks for one character at an expression's beginning much faster than for several, or for anything in lower
# case: these say quickly that there is nothing.
_MAYBE_PLACEHOLDER = re.compile(r"_(?=[pP](?:[iI][xX]|[rR][eE][fF]))")
_OTHERS_PIXELS = ("{{ses:openTracker}}", "<opentag")
_MAYBE_MARK = re.compile(r"-(?=[nN][oO]-[tT])")
_SOURCE = re.compile(r"=(?<=[sS][rR][cC]=)(?=[\"']?[hH][tT][tT][pP][sS]?://([^/\"'\s>:]+))")


def html_edits(text: Text, findings: Findings) -> list[Edit]:
    """The edits of an HTML body, in order and disjoint."""
    scan = text.scan
    placeholders = _outside_tag_names(scan, _placeholders(text, findings), findings)
    closely = bool(placeholders) or (_MAYBE_MARK.search(scan) is not None and MARK in scan.lower())
    document = html.read(scan, text.read, limit=findings.book.rules.max_links, closely=closely)
    edits = [Edit(start, end, Effect.REMOVE) for start, end in document.marks[:MAX_MARKS]]
    if document.more_tags:
        findings.keep("further tags", "", Reason.TOO_MANY_TAGS)
    if len(document.marks) > MAX_MARKS:
        findings.keep("further marks", "", Reason.TOO_MANY_PLACEHOLDERS)
    edits += _link_edits(text, document, findings)
    edits += _pixel_edits(text, document, placeholders, findings)
    edits += [Edit(*place, Effect.PREFERENCES) for place, name in placeholders if name != "open_pixel"]
    if placeholders:
        findings.has_preferences |= any(edit.effect is Effect.PREFERENCES for edit in edits)
    return _disjoint(edits)


def text_edits(text: Text, findings: Findings, *, flowed: bool, delsp: bool) -> list[Edit]:
    """The edits of a plain text body, in order and disjoint."""
    edits = [
        Edit(*place, Effect.REMOVE if name == "open_pixel" else Effect.PREFERENCES)
        for place, name in _placeholders(text, findings)
        if not _is_tag(text.scan, place)
    ]
    findings.has_preferences |= any(edit.effect is Effect.PREFERENCES for edit in edits)
    marks = islice(_NO_TRACK_IN_TEXT.finditer(text.scan), MAX_MARKS)
    edits += [Edit(*match.span(1), Effect.REMOVE) for match in marks]
    if findings.book.rules.wrap_plain_text:
        edits += _plain_links(text, findings, flowed=flowed, delsp=delsp)
    return _disjoint(edits)


_TAG_NAME = re.compile(r"<(?:/?[A-Za-z][A-Za-z0-9:-]*|/|!-?|\?)?\Z")


def _outside_tag_names(
    scan: str, placeholders: list[tuple[tuple[int, int], str]], findings: Findings
) -> list[tuple[tuple[int, int], str]]:
    """Those that do not stand where a tag begins: what comes of filling them in was never read."""
    outside = [
        place for place in placeholders if not _TAG_NAME.search(scan, max(0, place[0][0] - 60), place[0][0])
    ]
    if len(outside) < len(placeholders):
        findings.keep("placeholders", "", Reason.IN_TAG)
    return outside


_NO_TRACK_IN_TEXT = re.compile(r"(?<![A-Za-z0-9+.-])https?(\+notrack)://", re.IGNORECASE)


def _plain_links(text: Text, findings: Findings, *, flowed: bool, delsp: bool) -> list[Edit]:
    edits: list[Edit] = []
    limit = findings.book.rules.max_links
    for index, found in enumerate(plain.urls(text.scan, flowed=flowed, delsp=delsp)):
        if index >= limit:
            findings.keep("further links", "", Reason.TOO_MANY_LINKS)
            break
        url = text.scan[found.start : found.end]
        reason = found.doubt
        if reason is None:
            url, reason = findings.book.judge(url, "", findings.list_unsubscribe)
        if reason is not None:
            findings.keep(url, "", reason)
            continue
        link = findings.wrap(url, url)
        if link is not None:
            edits.append(Edit(found.start, found.end, Effect.LINK, link.number))
    return edits


def _placeholders(text: Text, findings: Findings) -> list[tuple[tuple[int, int], str]]:
    scan = text.scan
    if _MAYBE_PLACEHOLDER.search(scan) is None and not any(word in scan for word in _OTHERS_PIXELS):
        return []
    matches = list(islice(_PLACEHOLDER.finditer(scan), MAX_PLACEHOLDERS + 1))
    if len(matches) > MAX_PLACEHOLDERS:
        findings.keep("further placeholders", "", Reason.TOO_MANY_PLACEHOLDERS)
    return [
        (match.span(), (match[1] or match[2] or "open_pixel").lower())
        for match in matches[:MAX_PLACEHOLDERS]
        if text.is_boundary(match.start())
    ]


class _Judged(NamedTuple):
    anchor: Anchor
    url: str
    text: str
    reason: Reason | None
    twin: int
    """Index of the visible link that this one repeats for Outlook; -1 for none."""


def _link_edits(text: Text, document: html.Document, findings: Findings) -> list[Edit]:
    tags: Sequence[Tag | None] = [None] * len(document.anchors)
    if document.may_say(OPT_OUT_WORD):
        tags = document.tags()
    judged = _pair_twins(
        [_judge(anchor, tag, findings) for anchor, tag in zip(document.anchors, tags, strict=True)]
    )
    edits: list[Edit] = []
    numbers: dict[int, int] = {}
    scan = text.scan
    for index, (anchor, url, link_text, reason, twin) in enumerate(judged):
        if reason is not None:
            findings.keep(url, link_text, reason)
            edits += _without_no_track(scan, anchor.href_start, anchor.href_end)
        elif twin < 0:
            link = findings.wrap(url, link_text)
            if link is not None:
                numbers[index] = link.number
                edits.append(_new(Edit, (anchor.href_start, anchor.href_end, _LINK, link.number)))
    edits += [
        Edit(anchor.href_start, anchor.href_end, _LINK, numbers[twin])
        for anchor, _, _, reason, twin in judged
        if twin in numbers and reason is None
    ]
    if document.more_anchors:
        findings.keep("further links", "", Reason.TOO_MANY_LINKS)
        for place in document.more_anchors:  # with the prefix it would lead nowhere
            edits += _without_no_track(scan, *place)
    return edits


def _without_no_track(scan: str, start: int, end: int) -> list[Edit]:
    removal = NO_TRACK_SCHEME.match(scan, start, end)
    return [] if removal is None else [Edit(*removal.span(1), Effect.REMOVE)]


def _judge(anchor: Anchor, tag: Tag | None, findings: Findings) -> _Judged:
    """`tag` is needed where it may carry an opt-out mark."""
    text = " ".join(anchor.text.split())
    if tag is not None:
        url, reason = findings.book.judge_tag(tag, text, findings.list_unsubscribe)
    else:
        url, reason = findings.book.judge(destination(anchor.href), text, findings.list_unsubscribe)
    if reason is not None:
        pass
    elif anchor.doubtful:
        reason = Reason.TREE_CONSTRUCTION
    elif not findings.book.rules.wrap_html:
        reason = Reason.NOT_WANTED
    elif anchor.outlook:
        if not findings.book.rules.wrap_outlook:
            reason = Reason.OUTLOOK
        elif not anchor.quoted:
            # a URL ending in two hyphens before the tag's end would close the comment
            reason = Reason.UNQUOTED_IN_COMMENT
    return _new(_Judged, (anchor, url, text, reason, -1))


def _pair_twins(judged: list[_Judged]) -> list[_Judged]:
    """What Outlook is shown instead of a visible link shares that link's fate: its number, or its reason."""
    if not any(one.anchor.outlook for one in judged):
        return judged
    visible: dict[str, list[int]] = {}
    for index, one in enumerate(judged):
        if not one.anchor.outlook:
            visible.setdefault(one.url, []).append(index)
    paired = list(judged)
    for index, one in enumerate(judged):
        candidates = visible.get(one.url)
        if not one.anchor.outlook or one.reason is not None or not candidates:
            continue
        behind = bisect_left(candidates, index)
        near = candidates[max(0, behind - 1) : behind + 1]
        twin = min(near, key=lambda other: abs(judged[other].anchor.start - one.anchor.start))
        paired[index] = one._replace(twin=twin, reason=judged[twin].reason)
    return paired


def _pixel_edits(
    text: Text,
    document: html.Document,
    placeholders: list[tuple[tuple[int, int], str]],
    findings: Findings,
) -> list[Edit]:
    """One pixel for the message: in its first body, where the sender asked for it or at the end. Further
    placeholders go."""
    pixels = [place for place, name in placeholders if name == "open_pixel"]
    asked = _removable(
        text.scan,
        document,
        [place for place in pixels if not _is_tag(text.scan, place) or document.is_tag(*place)],
        findings,
    )
    shown = [place for place in asked if _covered(document, place) is None and _is_text(text.scan, place[0])]
    wanted = not findings.has_pixel_place
    if wanted and _is_tracked(text.scan, findings.book):
        findings.keep("pixel", "", Reason.ALREADY_TRACKED)
        wanted = False
    if wanted and shown:
        findings.has_pixel_place = True
        return [Edit(*place, Effect.PIXEL if place == shown[0] else Effect.REMOVE) for place in asked]
    edits = [Edit(*place, Effect.REMOVE) for place in asked]
    if not wanted:
        return edits
    if document.body_end is None:
        findings.keep("pixel", "", Reason.NO_PIXEL_PLACE)
        return edits
    findings.has_pixel_place = True
    may_begin = document.body_start is not None and document.body_start <= document.body_end
    if not (may_begin and findings.pixel_first):
        edits.append(Edit(document.body_end, document.body_end, Effect.PIXEL_AT_END))
    if document.body_start is not None and may_begin:
        edits.append(Edit(document.body_start, document.body_start, Effect.PIXEL_AT_START))
    return edits


def _is_tag(scan: str, place: tuple[int, int]) -> bool:
    """The placeholder is written as a tag of its own, and is none elsewhere: in a comment, in a value, in plain text."""
    return scan[place[0]] == "<"


def _covered(document: html.Document, place: tuple[int, int]) -> tuple[int, int] | None:
    """What hides the placeholder, if anything does; one that is a tag is not hidden by itself."""
    written_as_tag = _is_tag(document.source, place)  # and those were seen to be one
    return None if written_as_tag else document.hidden_at(place[0])


def _removable(
    scan: str, document: html.Document, asked: list[tuple[int, int]], findings: Findings
) -> list[tuple[int, int]]:
    """Those that may go: in text, and in a tag, comment or raw text that stays the same without them."""
    together: dict[tuple[int, int] | None, list[tuple[int, int]]] = {}
    for place in asked:
        together.setdefault(_covered(document, place), []).append(place)
    removable = [place for place in together.pop(None, []) if _is_text(scan, place[0])]
    for token, places in together.items():
        if token is not None and html.stays_the_same(scan, token, places):
            removable += places
    if len(removable) < len(asked):
        findings.keep("placeholders", "", Reason.IN_TAG)
    return sorted(removable)


def _is_text(scan: str, position: int) -> bool:
    """No `<` is open before the position: with what follows it may begin a tag or a comment."""
    return scan.rfind("<", 0, position) <= scan.rfind(">", 0, position)


def _is_tracked(scan: str, book: Rulebook) -> bool:
    """An image of one of our hosts is there already: never a second pixel."""
    if not book.rules.own_hosts:
        return False
    return any(book.is_own_host(match[1].lower()) for match in _SOURCE.finditer(scan))


def _disjoint(edits: list[Edit]) -> list[Edit]:
    """In order; of two that overlap the first stays."""
    edits.sort(key=itemgetter(0, 1))
    result: list[Edit] = []
    last = 0
    for edit in edits:
        start, end, _, _ = edit
        if start >= last:
            result.append(edit)
            last = end
    return result
