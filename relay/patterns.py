"""Lists of regular expressions that are searched for together, and quickly.

Knows the syntax of regular expressions as far as that takes; where it is not plain, the expressions stay as they are.
Knows no rules. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence


def by_first_letter(patterns: Iterable[str]) -> str:
    """One regular expression that is found where any of the patterns is.

    The expression engine tries the alternatives of a list one by one at each character; with those that begin
    alike behind their common first letter it tries a third of them. Where the patterns' order could matter, or
    where their syntax is not plain, they are joined as they are."""
    joined = "|".join(patterns)
    if _ORDER_MATTERS.search(joined):
        return joined
    groups: dict[str, list[str]] = {}
    for alternative in _alternatives(joined):
        first = _FIRST_LETTER.match(alternative)
        letter, rest = (first[0], alternative[first.end() :]) if first else ("", alternative)
        groups.setdefault(letter, []).append(rest)
    others = groups.pop("", [])
    return "|".join([f"{letter}(?:{'|'.join(rests)})" for letter, rests in groups.items()] + others)


_ORDER_MATTERS = re.compile(r"\\[0-9]|\(\?[^:=!<]|\(\?<[^=!]|\[\]|\[\^\]|\(\?#")
"""Groups referred to by number or name, flags, and a bracket that begins with its own end."""
_FIRST_LETTER = re.compile(r"(?:[a-z0-9]|\\[?&.-])(?![*+?{])")
_PIECE = re.compile(r"\\[\s\S]|\[(?:[^\]\\]|\\[\s\S])*+\]|[\s\S]")


def _alternatives(pattern: str) -> list[str]:
    """What stands between the bars of a regular expression that are in no group."""
    found, depth = [""], 0
    for piece in _PIECE.findall(pattern):
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += piece
    return found


def sieve(patterns: Sequence[str]) -> Callable[[str], object]:
    """Says of a text in lower case whether any of the patterns may be found in it: False is certain.

    Each alternative has something that stands in whatever it matches, as `subscri` does. Those are searched for by
    their rarest letters, where the patterns themselves would be tried at nearly every letter of a URL."""
    joined = "|".join(patterns)
    is_plain = (
        joined == joined.lower() and not _NOT_PLAIN.search(joined) and not _ORDER_MATTERS.search(joined)
    )
    needed = _needed(joined) if is_plain else None
    if not patterns or needed is None:
        return lambda _: bool(patterns)
    words = {word for word in needed if word.isascii()}
    by_letter: dict[str, list[str]] = {}
    for word in sorted(words):
        if not any(other in word for other in words - {word}):
            at = min(range(len(word)), key=lambda index: _FREQUENCY.find(word[index]))
            rest = f"(?<={re.escape(word[: at + 1])}){re.escape(word[at + 1 :])}"
            by_letter.setdefault(re.escape(word[at]), []).append(rest)
    expression = "|".join(f"{letter}(?:{'|'.join(rests)})" for letter, rests in by_letter.items())
    search = re.compile(expression or r"\Z\A.").search
    if len(words) == len(needed):
        return search
    return lambda text: not text.isascii() or search(text)


_NOT_PLAIN = re.compile(r"\\[A-Za-z0-9]|\(\?[^:=!<]|\(\?<[^=!]|[{}]")
"""Classes, references, flags, names and counts."""
_LITERAL = re.compile(r"\\?[^\\\[\](){}.^$|?*+]|\\[\s\S]")
_FREQUENCY = "qjzkyvwxbfgrcldumhaipnsoet"
"""Letters as they are rarer in URLs; what is none counts as rarest."""


def _needed(pattern: str) -> frozenset[str] | None:
    """Of each alternative one text that stands in whatever it matches; None where one has none."""
    found: set[str] = set()
    for alternative in _alternatives(pattern):
        choices = _choices(_PIECE.findall(alternative))
        if not choices:
            return None
        found |= max(choices, key=lambda choice: min(map(len, choice)))
    return frozenset(found)


def _choices(pieces: Sequence[str]) -> list[frozenset[str]]:
    """Sets of which one text each stands in whatever the pieces of an alternative match."""
    choices: list[frozenset[str]] = []
    word, at = "", 0
    while at < len(pieces):
        end = _closing(pieces, at) + 1 if pieces[at] == "(" else at + 1
        behind = pieces[end] if end < len(pieces) else ""
        if _LITERAL.fullmatch(pieces[at]) and behind not in ("?", "*", "+"):
            word += pieces[at][-1]
        else:
            choices += [frozenset({word})] if word else []
            word = ""
            if pieces[at : at + 3] == ["(", "?", ":"] and behind not in ("?", "*"):
                inner = _needed("".join(pieces[at + 3 : end - 1]))
                choices += [inner] if inner else []
        at = end
        while at < len(pieces) and pieces[at] in ("?", "*", "+"):
            at += 1
    return choices + ([frozenset({word})] if word else [])


def _closing(pieces: Sequence[str], at: int) -> int:
    depth = 0
    for index in range(at, len(pieces)):
        depth += (pieces[index] == "(") - (pieces[index] == ")")
        if depth == 0:
            return index
    return len(pieces) - 1
