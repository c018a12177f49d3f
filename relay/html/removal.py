"""Taking something out of a tag, comment or raw text, where that leaves it what it is.

`<a title={{x}}"=>` without `{{x}}` opens a quote, and `<!--{{x}}>` becomes a whole comment: so the token is read again
without it, and must be the same token with the same attributes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from relay.html.attributes import attributes
from relay.html.tokens import Kind, tokens

_BEHIND = 100
"""Characters behind a token that are read with it: raw text needs its end tag."""
_MOST = 100_000
"""So much is read again; what stands in more stays."""
_MOST_TOKENS = 2000

Range = tuple[int, int]


def stays_the_same(text: str, hidden: Range, places: Sequence[Range]) -> bool:
    """Would what stands in this range of the text be the same tokens without these places, which lie in it and
    ascend?"""
    start, end = hidden
    if end - start > _MOST:
        return False
    window = text[start : end + _BEHIND]
    inside = [(first - start, last - start) for first, last in places]
    left, at = [], 0
    for first, last in inside:
        left.append(window[at:first])
        at = last
    marks = {window[first:last].lower() for first, last in inside}
    return _told(window, inside, marks) == _told("".join((*left, window[at:])), (), set())


def _told(window: str, gone: Sequence[Range], marks: set[str]) -> list[object]:
    """What the window's tokens are and where they end, as if the ranges in `gone`, which hold `marks`, were not there.
    Outlook reads what stands in a conditional comment, so comments are looked into."""
    told: list[object] = []
    for token in islice(tokens(window, every=True), _MOST_TOKENS):
        end = token.end - sum(last - first for first, last in gone if last <= token.end)
        inner: list[object] = []
        if token.kind is Kind.START:
            inner = [
                (
                    one.name,
                    one.quote,
                    _without(window[one.value_start : one.value_end], marks),
                )
                for one in attributes(window, token.attributes, token.end - 1)
            ]
        elif token.kind is Kind.COMMENT:
            within = islice(tokens(window, token.attributes, token.end, every=True), _MOST_TOKENS)
            inner = [(one.kind, one.name) for one in within]
        told.append((token.kind, token.name, end, inner))
    return told


def _without(text: str, marks: set[str]) -> str:
    text = text.lower()
    for mark in marks:
        text = text.replace(mark, "")
    return text
