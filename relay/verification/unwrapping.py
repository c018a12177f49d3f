"""A part's text and its copy read side by side: what is ours is unwrapped, what may go may be gone, and all else must
be equal. Positions are those of text without its transfer encoding. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from relay.verification.dissection import Leaf
from relay.verification.markup import as_browsers_read, link_value, tag_starts, why_no_tag
from tracker.errors import TokenError
from tracker.tokens import KeyRing, Kind, read

SHOWN = 60
"""Characters of mail in a message for people."""


class What(StrEnum):
    """What a change is."""

    LINK = "link"
    PIXEL = "pixel"
    PREFERENCES = "preferences"
    REMOVED = "removed"
    FOOTER = "footer"


class Change(NamedTuple):
    """A permitted change. Positions are those of a part's text without its transfer encoding."""

    part: str
    what: What
    old: str
    new: str
    start: int
    """In the message's text."""
    copied: int
    """Where `new` begins in the copy's text."""
    line: int
    """From 1, in the message's text."""
    link: int = 0
    destination: str = ""


class _Trouble(Exception):
    """Where in the message's text, and what."""

    def __init__(self, at: int, text: str) -> None:
        super().__init__(text)
        self.at = at


_LOOKS = ' width="1" height="1" alt="" style="display:block;border:0"'


class Ours:
    """Our links, found by their looks and believed only if this ring sealed them."""

    def __init__(self, public_url: str, ring: KeyRing) -> None:
        url = re.escape(public_url)
        self._any = re.compile(
            rf'<img src="{url}/o/(?P<open>[\w-]+)\.gif"{_LOOKS}>|{url}/c/(?P<click>[\w-]+)|{url}/p(?:/(?P<page>[\w-]+))?'
        )
        self._ring = ring

    def find(self, text: str) -> Iterator[tuple[re.Match[str], What, int, str]]:
        """(match, what it is, the link's number, its destination)."""
        for match in self._any.finditer(text):
            kind = match.lastgroup
            if kind is None:
                continue
            try:
                token = read(match[kind], self._ring)
            except TokenError:
                continue
            if token.kind.name.lower() == ("preferences" if kind == "page" else kind):
                yield match, _WHAT[token.kind], token.link, token.destination


_WHAT = {Kind.OPEN: What.PIXEL, Kind.CLICK: What.LINK, Kind.PREFERENCES: What.PREFERENCES}
_MARK = r"data-candor-no-track(?:[ \t\r\n\f]*=(?:[ \t\r\n\f]*(?:\"[^\"]*\"|'[^']*'|[^ \t\r\n\f>]+))?)?"
_REMOVABLE = re.compile(
    r"(?P<pixel>\{\{[ \t]*open_pixel[ \t]*\}\}|\{\{ses:openTracker\}\}|<opentag[ \t]*/?>)"
    r"|(?P<page>\{\{[ \t]*tracking_preferences_url[ \t]*\}\}|%7B%7Btracking_preferences_url%7D%7D)|(?P<scheme>(?<=http|ttps)(?:\+|&#43;|&#x2b;|&plus;)notrack)(?=://)"
    rf"|(?P<mark>(?<![ \t])[ \t]*+{_MARK}(?=[ \t\r\n\f>])|{_MARK})",
    re.IGNORECASE,
)


class Walk:
    """Both texts read side by side: what is ours is unwrapped, what may go may be gone, all else must be equal."""

    def __init__(self, leaf: Leaf, old: str, new: str, ours: Ours) -> None:
        self.leaf, self.old, self.new = leaf, old, new
        self.changes: list[Change] = []
        self._ours = ours
        self._at = self._at_copy = 0
        self._removable = list(_REMOVABLE.finditer(old))
        self._tags: list[int] = []
        self._next = 0

    def run(self) -> tuple[int, str] | None:
        """The first problem, if there is one."""
        try:
            for match, what, link, destination in self._ours.find(self.new):
                self._same(match.start(), opens_line=what is What.PIXEL)
                old = self._replaced(what, destination)
                self._note(what, old, match[0], link, destination)
            self._same(len(self.new))
            while self._at < len(self.old):
                gone = self._removable_here()
                if gone is None:
                    raise _Trouble(self._at, f"the end is missing: {self.old[self._at :][:SHOWN]!r}")
                self._note(What.REMOVED, gone, "")
        except _Trouble as trouble:
            return trouble.at, str(trouble)
        return None

    def _same(self, stop: int, *, opens_line: bool = False) -> None:
        """Up to `stop` the copy has what the message has, but for what is taken out."""
        while self._at_copy < stop:
            while self._next < len(self._removable) and self._removable[self._next].start() < self._at:
                self._next += 1
            edge = self._removable[self._next].start() if self._next < len(self._removable) else len(self.old)
            size = min(edge - self._at, stop - self._at_copy)
            if not self.old.startswith(self.new[self._at_copy : self._at_copy + size], self._at):
                if opens_line and self._pixel_line(stop, size):
                    return
                raise self._differs(size)
            self._at += size
            self._at_copy += size
            if self._at_copy == stop:
                return
            if opens_line and self._pixel_line(stop, 0):
                return
            gone = self._removable_here()
            if gone is None:
                raise self._differs(size)
            if self.new.startswith(gone, self._at_copy) and self._at_copy + len(gone) <= stop:
                self._at += len(gone)
                self._at_copy += len(gone)
            else:
                self._note(What.REMOVED, gone, "")

    def _pixel_line(self, stop: int, size: int) -> bool:
        """A pixel may open a line of its own, where its line would have grown too long."""
        if size:
            size -= 2
            if size < 0 or not self.old.startswith(self.new[self._at_copy : self._at_copy + size], self._at):
                return False
        if self.new[self._at_copy + size : stop] != "\r\n":
            return False
        self._at += size
        self._at_copy += size
        self._note(What.REMOVED, "", "\r\n")
        return True

    def _removable_here(self) -> str | None:
        match = _REMOVABLE.match(self.old, self._at)
        return match[0] if match else None

    def _replaced(self, what: What, destination: str) -> str:
        """What stood in the message where the copy has something of ours."""
        if what is What.LINK:
            return self._link(destination)
        wanted = "pixel" if what is What.PIXEL else "page"
        while (match := _REMOVABLE.match(self.old, self._at)) is not None and match.lastgroup != wanted:
            self._note(What.REMOVED, match[0], "")
        if match is not None:
            return match[0]
        if what is What.PREFERENCES:
            raise _Trouble(self._at, "a preferences link was put where no placeholder stood")
        if not self.leaf.is_html:
            raise _Trouble(self._at, "a pixel was put into plain text")
        return ""

    def _link(self, destination: str) -> str:
        if not self.leaf.is_html:
            if not self.old.startswith(destination, self._at):
                shown = self.old[self._at :][:SHOWN]
                raise _Trouble(self._at, f"{shown!r} was made to lead to {destination!r}")
            return destination
        if not self._tags:
            self._tags = list(tag_starts(self.old))
        value = link_value(self.old, self._at, self._tags)
        if value is None:
            raise _Trouble(
                self._at, f"a link was put where no link stood, before {self.old[self._at :][:20]!r}"
            )
        wanted = as_browsers_read(value)
        if destination not in (wanted, "https:" + wanted):
            raise _Trouble(self._at, f"{value!r} was made to lead to {destination!r}")
        return value

    def _note(self, what: What, old: str, new: str, link: int = 0, destination: str = "") -> None:
        line = self.old.count("\n", 0, self._at) + 1
        self.changes.append(
            Change(self.leaf.number, what, old, new, self._at, self._at_copy, line, link, destination)
        )
        self._at += len(old)
        self._at_copy += len(new)

    def _differs(self, size: int) -> _Trouble:
        old, new = self.old[self._at : self._at + size], self.new[self._at_copy : self._at_copy + size]
        equal = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), size)
        at, at_copy = self._at + equal, self._at_copy + equal
        shown = self.old[max(0, at - 10) : at + 40], self.new[max(0, at_copy - 10) : at_copy + 40]
        return _Trouble(at, f"{shown[0]!r} became {shown[1]!r}")


_BLANK = "[ \\t\\r\\n\\f]"


def not_seen(walk: Walk) -> tuple[int, str] | None:
    """A pixel inside a tag, a comment or raw text would be no image."""
    pixel = next((change for change in walk.changes if change.what is What.PIXEL), None)
    why = why_no_tag(walk.new, pixel.copied) if pixel is not None else None
    return (pixel.start, f"the pixel {why}") if pixel is not None and why else None
