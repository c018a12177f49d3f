"""The links of an HTML text, where marks stand and where its body ends, as exact ranges.

One pass over our own tokens. The links become BeautifulSoup tags, for rules are written about those, when somebody
asks for them (relay.html.soup). Knows no rules. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from html import unescape
from itertools import islice
from operator import attrgetter
from sys import maxsize
from typing import NamedTuple

from bs4 import Tag

from relay.html.attributes import Attribute, attributes, decode_attribute, href
from relay.html.soup import MARK, tags_of
from relay.html.tokens import LINKS, Kind, Token, tokens

MAX_TEXT = 2000
"""So many characters of a link's content are read as its text."""

MAX_TOKENS = 100_000
"""So many tags, comments and raw texts of a text are looked at; the largest real bodies have a tenth of it."""

DISAGREED = frozenset({"svg", "math", "frameset", "select", "template", "noscript", "plaintext"})
"""From the first of these on, what is a link depends on tree construction, which programs do differently."""


class Anchor(NamedTuple):
    """A link: its tag, and the range of its first `href`'s value."""

    name: str
    """`a`, `area`, or for Outlook any in the namespace `v`."""
    start: int
    """Where its tag begins."""
    attributes: int
    end: int
    """`text[attributes:end]` are its attributes; behind them stands `>`."""
    href_start: int
    href_end: int
    quoted: bool
    outlook: bool
    """It stands in a conditional comment, which only Outlook reads."""
    doubtful: bool
    """Programs disagree whether it is there."""
    marked: bool
    """It stands in an element that carries our mark."""
    href: str
    """The value, references decoded."""
    text: str
    """Its visible text, markup taken out and references decoded."""


class Document(NamedTuple):
    """What was found in one HTML text. All ranges are positions in the text that was read."""

    anchors: tuple[Anchor, ...]
    """In the order of their positions."""
    more_anchors: tuple[tuple[int, int], ...]
    """The ranges of the `href` values of the links behind the last one that was looked at."""
    more_tags: bool
    """The text was not read to its end: it has more than `MAX_TOKENS`."""
    marks: tuple[tuple[int, int], ...]
    """Ranges to take out so that no `data-candor-no-track` stays."""
    body_start: int | None
    """Behind the first `<body …>`."""
    body_end: int | None
    """Before the last `</body`, or behind the last character that is no blank; None where what is put
    there would be swallowed."""
    hidden: tuple[tuple[int, int], ...]
    """Comments, raw text, and whatever is never closed: text in there is not shown."""
    unread_from: int
    """From here on it is not known what is a tag; behind the last character where all is known."""

    attributes: str
    """Those of all links in lower case, without the values of `href`."""
    source: str
    """The text that was read."""

    def tags(self) -> list[Tag]:
        """The links as tags of a BeautifulSoup document, in the order of `anchors`."""
        return tags_of(self.source, self.anchors)

    def may_say(self, word: str) -> bool:
        """False only where no link's attributes have the word, given in lower case, in a name or a value."""
        return word in self.attributes or "&" in self.attributes

    def is_tag(self, start: int, end: int) -> bool:
        """A tag covers this range and no more. Only known where `closely` was asked for."""
        return start < self.unread_from and self.hidden_at(start) == (start, end)

    def is_shown(self, position: int) -> bool:
        """No tag, comment or raw text covers the position. Only known where `closely` was asked for."""
        return self.hidden_at(position) is None

    def hidden_at(self, position: int) -> tuple[int, int] | None:
        """What covers the position, if anything does; known as `is_shown` is."""
        index = bisect_right(self.hidden, (position, maxsize)) - 1
        if index < 0 or position >= self.hidden[index][1]:
            return None
        return self.hidden[index]


def read(text: str, show: Callable[[int, int], str], *, limit: int = 1000, closely: bool = False) -> Document:
    """Find the links and the body's ends of an HTML text. `show` gives the characters of a range as people
    read them; at most `limit` links are looked at. `closely` looks at every tag: asked for where marks or
    placeholders stand in the text."""
    reader = _Reader(text, show, limit, closely)
    reader.read()
    return Document(
        anchors=tuple(reader.anchors),
        more_anchors=tuple(sorted(reader.more_anchors)),
        more_tags=reader.more_tags,
        marks=tuple(sorted(reader.marks)),
        body_start=reader.body_start,
        body_end=reader.body_end(),
        hidden=tuple(reader.hidden),
        unread_from=reader.unread_from,
        attributes="\n".join(reader.written).lower(),
        source=text,
    )


_START_OF = attrgetter("start")
_new = tuple.__new__  # half the time of a NamedTuple's constructor
_START, _END = Kind.START, Kind.END

_CONDITION = re.compile(r"\[if\b([^\]]*+)\]>", re.IGNORECASE)
_CONDITION_END = re.compile(r"<!\[endif\]--!?>\Z", re.IGNORECASE)
_FOR_OUTLOOK = re.compile(r"(?<!!)(?<!!\()(?:\b[gl]te?\s+)?\bmso\b", re.IGNORECASE)
_SCRIPT = re.compile(r"<script", re.IGNORECASE)
# What is cut off matches to its end: else each `<!--` of a thousand would be followed to there in vain.
_TAG = re.compile(r"<!--(?:-?>|[\s\S]*?(?:--!?>|\Z))|<(?:/?[a-zA-Z]|[!?/])[^>]*+(?:>|\Z)")
_LINE_BREAK = re.compile(r"<br\b", re.IGNORECASE)
_VOID_NAMES = "area base br col embed hr img input link meta param source track wbr"
_VOID = frozenset(_VOID_NAMES.split())


def _blank_or_nothing(tag: re.Match[str]) -> str:
    return " " if _LINE_BREAK.match(tag[0]) else ""


class _Reader:
    """One pass over one text; what it met stands in its attributes."""

    def __init__(self, text: str, show: Callable[[int, int], str], limit: int, closely: bool) -> None:
        self._text, self._show, self._limit, self._closely = text, show, limit, closely
        self.written: list[str] = []
        self.anchors: list[Anchor] = []
        self.more_anchors: list[tuple[int, int]] = []
        self.more_tags = False
        self._tokens_left = MAX_TOKENS
        self.marks: list[tuple[int, int]] = []
        self.hidden: list[tuple[int, int]] = []
        self.unread_from = len(text)
        self.body_start: int | None = None
        self._last_body_end: int | None = None
        self._never_closed = False
        self._disagreed = False
        self._conditional: list[tuple[int, int, bool]] = []
        self._link: tuple[Token, tuple[int, int, bool], bool, bool, bool] | None = None
        """The open link, its `href`, outlook, doubtful, marked; it is an anchor when its text is complete."""
        self._marked: list[str] = []
        """The open elements from one that carries our mark on; `_open` counts them by name."""
        self._open: dict[str, int] = {}

    def read(self) -> None:
        take, left, simply = self._take, self._tokens_left, not self._closely
        for token in tokens(self._text, every=self._closely):
            if left == 0:
                self._stop_at(token)
                break
            left -= 1
            if token.kind is _END and token.name == "a" and simply:
                self._close_link(token.start)
            else:
                take(token)
        self._tokens_left = left
        self._close_link(len(self._text))
        for start, end, doubtful in self._conditional:
            self._marked.clear()
            self._open.clear()
            self._read_conditional(start, end, doubtful)
        if self._conditional:
            self.anchors.sort(key=_START_OF)

    def _stop_at(self, token: Token) -> None:
        """Nothing is known of what stands from here on: whether it is shown, and whether the body ends there."""
        self._link = self._last_body_end = None
        self._never_closed = self.more_tags = True
        self.hidden.append((token.start, len(self._text)))
        self.unread_from = min(self.unread_from, token.start)

    def body_end(self) -> int | None:
        if self._last_body_end is not None:
            return self._last_body_end
        if self._disagreed or self._never_closed:
            return None
        return len(self._text.rstrip(" \t\r\n\f"))

    def _take(self, token: Token) -> None:
        kind, name, start, _, end, _ = token
        if kind is _START:
            if self._closely and not self._disagreed:
                self.hidden.append((start, end))
            if name in LINKS:
                if self._link is not None:
                    self._close_link(start)
                if self._marked:
                    self._leave("a")
                self._open_link(token, outlook=False, doubtful=self._disagreed)
            elif name == "body":
                if self.body_start is None and not self._disagreed:
                    self.body_start = end
            elif name in DISAGREED:
                self._disagree(end)
                if name == "frameset":
                    # a body without words gives way to it (HTML 13.2.6.4.7), and with an image it would not
                    self._last_body_end = None
                    self.hidden[:] = [(0, len(self._text))]
                    self.unread_from = 0
            if self._closely:
                self._follow_mark(token)
        elif kind is _END:
            if self._closely and not self._disagreed:
                self.hidden.append((start, end))
            if name == "a":
                if self._link is not None:
                    self._close_link(start)
            elif name == "body" and not self._disagreed:
                self._last_body_end = start
            if self._marked:
                self._leave(name)
        else:
            if not self._disagreed:
                self.hidden.append((start, end))
            self._take_hidden(token)

    def _take_hidden(self, token: Token) -> None:
        if token.kind is Kind.COMMENT:
            self._take_comment(token)
        elif token.kind is Kind.OPEN:
            self._never_closed = True
        elif token.name == "script":
            # HTML 13.2.5.26: what closes a script with a script in a comment depends on how deep it is escaped
            comment = self._text.find("<!--", token.attributes, token.end)
            if comment >= 0 and _SCRIPT.search(self._text, comment, token.end):
                self._disagree(token.end)

    def _disagree(self, at: int) -> None:
        """From here on programs differ; what one of them shows, another may swallow."""
        if not self._disagreed:
            self._disagreed = True
            self.hidden.append((at, len(self._text)))
            self.unread_from = min(self.unread_from, at)

    def _take_comment(self, token: Token) -> None:
        condition = _CONDITION.match(self._text, token.attributes, token.end)
        if condition is None or _FOR_OUTLOOK.search(condition[1]) is None:
            return
        end = _CONDITION_END.search(self._text, max(condition.end(), token.end - 20), token.end)
        if end is not None and "href" in self._text[condition.end() : end.start()].lower():
            self._conditional.append((condition.end(), end.start(), self._disagreed))

    def _read_conditional(self, start: int, end: int, doubtful: bool) -> None:
        found = list(islice(tokens(self._text, start, end, every=True), self._tokens_left + 1))
        if len(found) > self._tokens_left:
            self._tokens_left, self.more_tags = 0, True
            return
        self._tokens_left -= len(found)
        if found and found[-1].kind is Kind.OPEN:
            return
        for token in found:
            link = token.name in LINKS or token.name.startswith("v:")
            if token.kind is Kind.START:
                if link:
                    self._close_link(token.start)
                    self._open_link(token, outlook=True, doubtful=doubtful)
                self._follow_mark(token)
            elif token.kind is Kind.END:
                if self._link is not None and token.name == self._link[0].name:
                    self._close_link(token.start)
                self._leave(token.name)
        self._close_link(end)

    def _open_link(self, token: Token, *, outlook: bool, doubtful: bool) -> None:
        _, name, _, behind_name, end, place = token
        text = self._text
        if name not in LINKS:
            place = href(text, behind_name, end - 1)
        if place is None:
            return
        if len(self.anchors) >= self._limit:
            self.more_anchors.append(place[:2])
            return
        self.written += (text[behind_name : place[0]], text[place[1] : end - 1])
        marked = bool(self._marked)
        if marked:
            self.written.append(MARK)
        self._link = (token, place, outlook, doubtful, marked)
        if name == "area":
            self._close_link(end)

    def _close_link(self, at: int) -> None:
        if self._link is None:
            return
        (_, name, start, behind_name, end, _), place, outlook, doubtful, marked = self._link
        self._link = None
        shown = self._show(end, at if at - end < MAX_TEXT else end + MAX_TEXT)
        if "<" in shown:
            shown = _TAG.sub(_blank_or_nothing if "<b" in shown or "<B" in shown else "", shown)
        if "&" in shown:
            shown = unescape(shown)
        href_start, href_end, quoted = place
        url = decode_attribute(self._text[href_start:href_end])
        where = (name, start, behind_name, end - 1, href_start, href_end, quoted, outlook, doubtful, marked)
        self.anchors.append(_new(Anchor, (*where, url, shown)))

    def _follow_mark(self, token: Token) -> None:
        marked = False
        if MARK in self._text[token.attributes : token.end].lower():
            for attribute in attributes(self._text, token.attributes, token.end - 1):
                if attribute.name == MARK:
                    marked = True
                    start, end = self._removable(attribute)
                    if "\n" not in self._text[start:end]:  # or two lines would become one
                        self.marks.append((start, end))
        if (marked or self._marked) and token.name not in _VOID:
            self._marked.append(token.name)
            self._open[token.name] = self._open.get(token.name, 0) + 1

    def _leave(self, name: str) -> None:
        """An end tag closes the last open element of its name and what is open inside."""
        if not self._marked or not self._open.get(name):
            return
        closed = ""
        while closed != name:
            closed = self._marked.pop()
            self._open[closed] -= 1

    def _removable(self, attribute: Attribute) -> tuple[int, int]:
        """The attribute with the blanks before it, where what stays does not grow together without them. Line ends stay:
        two lines that become one may be longer than SMTP permits."""
        start, end = attribute.start, attribute.end
        if not attribute.quote and attribute.value_start == attribute.value_end:
            while self._text[end - 1] in " \t\r\n\f":
                end -= 1
        if self._text[end] in " \t\r\n\f>":
            while self._text[start - 1] in " \t":
                start -= 1
        return start, end
