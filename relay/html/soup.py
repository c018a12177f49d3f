"""The links of an HTML text as tags of a BeautifulSoup document.

BeautifulSoup's own parsers stay unused: they give no ranges and can be stalled by hostile markup. The document holds
what rules are written about, the links and their attributes; a mark on an element around a link is handed down to it,
and everything else is left out. Knows no rules. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bs4 import BeautifulSoup, Tag
from bs4.builder import TreeBuilder

from relay.html.attributes import values

MARK = "data-candor-no-track"
"""Our own mark: on a link or on an element around links."""


class Place(Protocol):
    """Where a link's tag stands; `text[attributes:end]` are its attributes."""

    @property
    def name(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def attributes(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def marked(self) -> bool: ...


class _Builder(TreeBuilder):
    """BeautifulSoup's way in for parsers that it does not know."""

    NAME = "candor"
    TRACKS_LINE_NUMBERS = True

    def __init__(self, text: str, places: Sequence[Place]) -> None:
        super().__init__()
        self._text, self._places = text, places
        self.tags: list[Tag] = []

    def feed(self, markup: object) -> None:
        soup = self.soup
        if soup is None:  # BeautifulSoup introduces itself before it asks
            return
        for place in self._places:
            found = values(self._text, place.attributes, place.end)
            if place.marked:
                found.setdefault(MARK, "")
            tag = soup.handle_starttag(place.name, None, None, found, sourcepos=place.start)
            soup.handle_endtag(place.name)
            if tag is not None:  # it is None only where a parser was told to keep some tags
                self.tags.append(tag)


_MARKUP = "<>"
"""The builder reads its own text: BeautifulSoup only has to be given something to be parsed."""


def tags_of(text: str, places: Sequence[Place]) -> list[Tag]:
    """A tag for each of these places, in their order; none of them lies in another."""
    builder = _Builder(text, places)
    BeautifulSoup(_MARKUP, builder=builder)
    return builder.tags
