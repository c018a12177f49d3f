"""The tokens of an HTML text that matter to links, and their exact ranges, in a single pass.

Follows the tokenizer of the WHATWG standard (HTML 13.2.5) as far as ranges need it: comments, quoted and
unquoted attribute values, raw text. Builds no tree, and is linear in the length of whatever it is given: a
construct that is never closed ends the pass. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from relay.html.attributes import ATTRIBUTES, BLANKS, LINK_ATTRIBUTES, href

_S = BLANKS
_NAME = rf"/?[A-Za-z][^{_S}/>]*+"
_NAME_ENDS = rf"(?=[{_S}/>])"
_COMMENT = r"!--(?:-?>|[^-]*+(?:-(?!-!?>)[^-]*+)*+--!?>)"
# what the standard's tokenizer takes for a comment: declarations, processing instructions, odd end tags
_BOGUS = r"(?:!(?!--)|\?|/(?![A-Za-z>]))[^>]*+>|/>"
_RAW_TEXT = (
    r"[sS][cC][rR][iI][pP][tT]|[sS][tT][yY][lL][eE]|[tT][iI][tT][lL][eE]"
    r"|(?ai:textarea|xmp|iframe|noembed|noframes)"
)
_WANTED = (
    r"/?[aA]|[aA][rR][eE][aA]|/?[bB][oO][dD][yY]"
    r"|[sS][vV][gG]|[mM][aA][tT][hH]|(?ai:plaintext|frameset|select|template|noscript)"
)


def _compile(skipped_first: str) -> re.Pattern[str]:
    """Each match skips what is not wanted and ends with one token, or at the end of the text."""
    skipped = rf"<(?:{skipped_first}{_BOGUS}|(?![A-Za-z!?/]|\Z))"
    return re.compile(
        rf"[^<]*+(?:{skipped}[^<]*+)*+(?:"
        rf"(<)(?:"
        rf"({_RAW_TEXT}){_NAME_ENDS}({ATTRIBUTES})>([^<]*+(?:<(?!/(?ai:\2)[{_S}/>])[^<]*+)*+)"
        rf"|({_NAME})({ATTRIBUTES})>"
        rf"|({_COMMENT})"
        rf"|([\s\S]*+)"
        rf")|\Z)"
    )


_OTHER = rf"(?!(?:{_WANTED}|{_RAW_TEXT})[{_S}/>]){_NAME}"
_FEW = _compile(rf"{_OTHER}{ATTRIBUTES}>|(?!!--\[[iI][fF]){_COMMENT}|")
_EVERY = _compile("")


class Kind(Enum):
    START = "start tag"
    END = "end tag"
    RAW = "element with raw text"
    COMMENT = "comment"
    OPEN = "construct that is never closed"


class Token(NamedTuple):
    """`text[start:end]` is the token; of RAW, the start tag and the content up to the end tag."""

    kind: Kind
    name: str
    """Lower case; `""` for comments and the never closed."""
    start: int
    attributes: int
    """Where the attributes begin, of a tag; where the content begins, of RAW and comments."""
    end: int
    href: tuple[int, int, bool] | None = None
    """Of `a` and `area`, the range of the first `href`'s value, and whether it has quotes."""


LINKS = frozenset({"a", "area"})
_START, _END = Kind.START, Kind.END
_new = tuple.__new__  # half the time of a NamedTuple's constructor


def tokens(text: str, start: int = 0, end: int | None = None, *, every: bool = False) -> Iterator[Token]:
    """The tags, comments and raw texts of `text[start:end]` in order. Without `every`, only links, the body's
    tags, conditional comments, raw text, and elements that make programs disagree on the tree."""
    stop = len(text) if end is None else end
    if not every:
        yield from _searched(text, start, stop)
        return
    at = start
    while at < stop:
        token = _next(text, at, stop, _EVERY)
        if token is None:
            return
        yield token
        at = token.end
        if token.kind is Kind.RAW and at == stop:
            yield Token(Kind.OPEN, "", token.start, token.start, at)


def _next(text: str, at: int, stop: int, expression: re.Pattern[str]) -> Token | None:
    """The first token from `at` on, where no tag, comment or raw text is open; read character by character."""
    match = expression.match(text, at, stop)
    index = match.lastindex if match is not None else None
    if match is None or index is None:
        return None
    begin, end = match.start(1), match.end()
    if index == 6:
        kind = Kind.END if match[5][0] == "/" else Kind.START
        name, attributes = match[5].lower().lstrip("/"), match.start(6)
        found = href(text, attributes, end - 1) if name in LINKS and kind is Kind.START else None
        return Token(kind, name, begin, attributes, end, found)
    if index == 7:
        return Token(Kind.COMMENT, "", begin, begin + 4, end)
    if index == 4:
        return Token(Kind.RAW, match[2].lower(), begin, match.start(4), end)
    return Token(Kind.OPEN, "", begin, begin, end)


# --- the few, searched for ---

# What may begin a wanted token. Each alternative begins with plain characters, and no group and no look ahead: so the
# engine tells by one or two characters that it does not fit, and that is most of what reading a text costs. The groups
# are empty: they say which alternative it was.
_LIKELY = re.compile(
    rf"<(?:/[aAbB](?:(?<=[aA])>()|(?:(?<=[aA])|(?<=[bB])[oO][dD][yY]){_NAME_ENDS}())"
    rf"|[aA](?:[rR][eE][aA])?+{_NAME_ENDS}()"
    rf"|[tT][iIeE](?:(?<=[iI])(?:[tT][lL][eE]){_NAME_ENDS}()"
    rf"|(?<=[eE])(?:(?ai:xtarea){_NAME_ENDS}()|(?ai:mplate){_NAME_ENDS}()))"
    rf"|!--()"
    rf"|[sS][tTcCeEvV](?:(?<=[tT])[yY][lL][eE]{_NAME_ENDS}()|(?<=[cC])[rR][iI][pP][tT]{_NAME_ENDS}()"
    rf"|(?ai:(?<=e)lect|(?<=v)g){_NAME_ENDS}())"
    rf"|[bB][oO][dD][yY]{_NAME_ENDS}()"
    rf"|[iIfFnNmMpPxX][aAfFlLmMoOrR](?:"
    rf"(?ai:(?<=if)rame|(?<=no)embed|(?<=no)frames|(?<=xm)p){_NAME_ENDS}()"
    rf"|(?ai:(?<=no)script|(?<=ma)th|(?<=pl)aintext|(?<=fr)ameset){_NAME_ENDS}()))"
)
_WHOLE_LINK_END, _LINK_END, _LINK, _COMMENT_BEGINS = 1, 2, 3, 7
_RAW_TEXTS = frozenset({4, 5, 8, 9, 12})
_TAG_END = re.compile(rf"{ATTRIBUTES}>")
_COMMENT_END = re.compile(r"--!?>")
# The look ahead leaves the engine one character to look for, which it does twice as fast as for two.
_RAW_END = {
    name: re.compile(rf"<(?=/(?ai:{name})[{_S}/>])")
    for name in ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
}


def _searched(text: str, at: int, stop: int) -> Iterator[Token]:
    """The same tokens as `_FEW` finds one by one, in half the time.

    Only what may begin one of them is looked for, and everything else is passed over unread. Where it is not
    certain that nothing is open there, the stretch is read character by character after all."""
    search, rfind = _LIKELY.search, text.rfind
    while True:
        likely = search(text, at, stop)
        start = stop if likely is None else likely.start()
        opened = rfind("<", at, start)
        token: Token | None = None
        if opened < 0 or _is_closed(text, at, opened, start):
            if likely is None:
                return
            if likely.lastindex == _WHOLE_LINK_END:
                at = likely.end()
                yield _new(Token, (_END, "a", start, at - 1, at, None))
                continue
            token = _begun(text, likely, start, stop)
        token = token or _next(text, at, stop, _FEW)
        if token is None:
            return
        at = token.end
        if token.kind is Kind.COMMENT and text[token.attributes : token.attributes + 3] not in _CONDITIONS:
            continue
        yield token
        if at == stop:
            if token.kind is Kind.RAW:
                yield Token(Kind.OPEN, "", token.start, token.start, at)
            return


_CONDITIONS = frozenset({"[if", "[IF", "[If", "[iF"})


def _is_closed(text: str, start: int, opened: int, at: int) -> bool:
    """It is certain that the tag of the last `<` before `at`, and any other, ends before `at`; no comment or raw text
    begins between `start`, where nothing was open, and there.

    In a tag, but in no quoted value, there would be behind the `<` either no `>`, or one in a value whose quote
    closes behind it. In a quoted value the last such quote before `at` would follow a `=` and perhaps blanks."""
    closed = text.rfind(">", opened, at)
    if closed < 0:
        return False
    quote = text.rfind('"', start, at)
    if quote > closed or (quote >= 0 and text[quote - 1] in "= \t\r\n\f"):
        return False
    quote = text.rfind("'", start, at)
    return quote < 0 or (quote < closed and text[quote - 1] not in "= \t\r\n\f")


def _begun(text: str, likely: re.Match[str], start: int, stop: int) -> Token | None:
    """The token that begins there; None where it is never closed."""
    index, attributes = likely.lastindex, likely.end()
    if index == _LINK:
        found = LINK_ATTRIBUTES.match(text, attributes, stop)
        if found is None:
            return None
        name, group = "a" if attributes - start == 2 else "area", found.lastindex
        place = None if group is None else (found.start(group), found.end(group), group < 3)
        return _new(Token, (_START, name, start, attributes, found.end(), place))
    if index == _COMMENT_BEGINS:
        end = _comment_end(text, attributes, stop)
        return _new(Token, (Kind.COMMENT, "", start, attributes, end, None)) if end else None
    tag_end = attributes + 1
    if text[attributes] != ">":
        tag = _TAG_END.match(text, attributes, stop)
        if tag is None:
            return None
        tag_end = tag.end()
    if index == _LINK_END:
        name = "a" if attributes - start == 3 else "body"
        return _new(Token, (_END, name, start, attributes, tag_end, None))
    name = text[start + 1 : attributes].lower()
    if index not in _RAW_TEXTS:
        return Token(_START, name, start, attributes, tag_end)
    content_end = _RAW_END[name].search(text, tag_end, stop)
    return Token(Kind.RAW, name, start, tag_end, stop if content_end is None else content_end.start())


def _comment_end(text: str, start: int, stop: int) -> int:
    """Behind the comment whose content begins at `start`; 0 where it is never closed."""
    if text.startswith((">", "->"), start, stop):
        return start + (1 if text[start] == ">" else 2)
    end = _COMMENT_END.search(text, start, stop)
    return 0 if end is None else end.end()
