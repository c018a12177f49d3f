"""The proof of a copy with a footer, in two steps: the message with the footer is the message and the footer, and the
copy is what the one with the footer becomes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape

from relay.verification.comparison import Problem, Verification, verify
from relay.verification.dissection import Leaf, leaves
from relay.verification.markup import why_no_tag
from relay.verification.spelling import spelling
from relay.verification.unwrapping import Change, What
from tracker.tokens import KeyRing

Said = Sequence[tuple[str, str]]
"""The wordings that a footer may have: its text, and the text of its link."""

_PLACEHOLDER = r"\{\{tracking_preferences_url\}\}"
_LINE = r"(?:\r?\n)"
_HTML = re.compile(
    rf'{_LINE}<div lang="[a-z]+" dir="ltr" style="[a-z0-9:;.-]+">{_LINE}(?P<text>[^<>"]+){_LINE}'
    rf'<a href="{_PLACEHOLDER}" style="color:inherit">(?P<link>[^<>"]+)</a>{_LINE}</div>{_LINE}'
)
_TEXT = re.compile(rf"{_LINE}{{0,2}}(?P<text>[^{{}}]+?){_LINE}{_PLACEHOLDER}{_LINE}{{0,2}}")


def verify_footed(
    data: bytes, footed: bytes, copy: bytes, *, said: Said, public_url: str, ring: KeyRing
) -> Verification:
    """Holds a copy against its message. `footed` is the message with the footer before anything was filled in."""
    found = Verification()
    before, after = leaves(data), leaves(footed)
    if len(before) != len(after):
        found.problems.append(Problem("", 0, f"{len(before)} parts became {len(after)}"))
        return found
    at = at_footed = 0
    for old, new in zip(before, after, strict=True):
        if data[at : old.start] != footed[at_footed : new.start]:
            found.problems.append(Problem(old.number, 1, "octets before the content differ"))
        raw, raw_footed = data[old.start : old.end], footed[new.start : new.end]
        if raw != raw_footed:
            _verify_leaf(old, raw, raw_footed, said, found)
        at, at_footed = old.end, new.end
    if data[at:] != footed[at_footed:]:
        found.problems.append(Problem("", 0, "the end differs"))
    kinds = [leaf.content_type for leaf in before if any(one.part == leaf.number for one in found.changes)]
    if kinds.count("text/html") > 1 or not kinds:
        found.problems.append(Problem("", 0, f"{len(kinds)} footers"))
    if found.problems:
        return found
    return _together(found.changes, verify(footed, copy, public_url=public_url, ring=ring), len(data))


def _verify_leaf(leaf: Leaf, raw: bytes, raw_footed: bytes, said: Said, found: Verification) -> None:
    old, new = leaf.text(raw), leaf.text(raw_footed)
    change = _footer(leaf, old, new, said) if leaf.is_body else None
    if change is None:
        found.problems.append(Problem(leaf.number, 1, "something else than a footer was put in"))
        return
    found.changes.append(change)
    words, _ = spelling(leaf, raw, raw_footed, [change])
    first = change.copied + len(change.new) - len(change.new.lstrip())
    if leaf.is_html and not words and (why := why_no_tag(new, first)):
        words = f"the footer {why}"
    if words:
        found.problems.append(Problem(leaf.number, change.line, words))


def _footer(leaf: Leaf, old: str, new: str, said: Said) -> Change | None:
    """The one insertion that makes one of the other, if that is a footer."""
    size = len(new) - len(old)
    ahead = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    for start in range(ahead, max(-1, ahead - 5), -1):  # line ends around it may be taken for its own
        footer = new[start : start + size]
        match = (_HTML if leaf.is_html else _TEXT).fullmatch(footer) if size > 0 else None
        if match is None or new[start + size :] != old[start:] or not _is_said(leaf, match, said):
            continue
        line = old.count("\n", 0, start) + 1
        return Change(leaf.number, What.FOOTER, "", footer, start, start, line)
    return None


def _is_said(leaf: Leaf, match: re.Match[str], said: Said) -> bool:
    if leaf.is_html:
        words = tuple(_plain(unescape(match[name])) for name in ("text", "link"))
        return any(words == (_plain(text), _plain(link)) for text, link in said)
    # letters that the part's charset lacks are spelt with others
    words_of_text = _plain(leaf.readable(match["text"]))
    return any(_reads_as(words_of_text, _plain(f"{text} {link}")) for text, link in said)


def _reads_as(words: str, wanted: str) -> bool:
    characters = iter(words)
    return len(words) <= 3 * len(wanted) and all(one in characters for one in wanted if one.isascii())


def _plain(text: str) -> str:
    # a break inside a word is one of a line
    return "".join(text.split())


def _together(footers: Sequence[Change], further: Verification, size: int) -> Verification:
    """All changes by their places in the message as it came."""
    changes = list(footers)
    for change in further.changes:
        footer = next((one for one in footers if one.part == change.part), None)
        if footer is None or change.start <= footer.start:
            changes.append(change)
        elif change.start >= footer.start + len(footer.new):
            start, line = change.start - len(footer.new), change.line - footer.new.count("\n")
            changes.append(change._replace(start=start, line=line))
    changes.sort(key=lambda one: (tuple(map(int, one.part.split("."))), one.start))
    return Verification(problems=further.problems, changes=changes, octets=min(further.octets, size))
