"""An independent proof that a message with a footer is the message, and in its texts nothing new but the footer.

Sees two byte strings and the footer's words, and nothing of how the second was made.
"""

from __future__ import annotations

import codecs
import re
from html import unescape

from selectolax.lexbor import LexborHTMLParser
from support.anatomy import Leaf, decode, leaves, wide_codec
from support.verifier import Report, _verify_base64, _verify_lines

PLACEHOLDER = "{{tracking_preferences_url}}"


def verify_footer(
    data: bytes, copy: bytes, words: tuple[str, str], *, otherwise: tuple[str, str]
) -> list[str]:
    """`words` is the footer's text and the text of its link; `otherwise` the same for a text that cannot hold it."""
    before, after = leaves(data), leaves(copy)
    if len(before) != len(after):
        return [f"{len(before)} parts became {len(after)}"]
    report, at, at_copy, changed = Report(), 0, 0, []
    for old, new in zip(before, after, strict=True):
        if data[at : old.start] != copy[at_copy : new.start]:
            report.problem("bytes before a content differ")
        at, at_copy = old.end, new.end
        if data[old.start : old.end] != copy[new.start : new.end]:
            changed.append(old.kind)
            _verify_part(
                old, data[old.start : old.end], copy[new.start : new.end], (words, otherwise), report
            )
    if data[at:] != copy[at_copy:]:
        report.problem("bytes behind the last content differ")
    if not changed or changed.count("text/html") > 1:
        report.problem(f"footers in {changed}")
    return report.problems


def _verify_part(
    leaf: Leaf, old: bytes, new: bytes, words: tuple[tuple[str, str], ...], report: Report
) -> None:
    if not leaf.is_body:
        report.problem(f"a part of type {leaf.kind} was changed that is no body")
        return
    octets, octets_copy = decode(old, leaf.encoding), decode(new, leaf.encoding)
    place, footer = inserted(octets, octets_copy)
    if footer is None:
        report.problem("something else than one insertion")
        return
    codec = wide_codec(leaf.charset, octets) or _codec(leaf.charset)
    if leaf.kind == "text/html":
        _verify_html(octets, octets_copy, place, words, codec, report)
    else:
        _verify_text(octets, place, footer, words, codec, report)
    if leaf.encoding == "quoted-printable":
        _verify_quoted(old, new, report)
    elif leaf.encoding == "base64":
        _verify_base64(old, new, 0, report)
    else:
        _verify_lines(old, new, 0, report)


def _codec(label: str) -> str:
    try:
        return codecs.lookup(label or "ascii").name
    except (LookupError, ValueError):
        return "latin-1"


def inserted(old: bytes, new: bytes) -> tuple[int, bytes | None]:
    """(where the new octets stand, they themselves), if the new text is the old one with one insertion."""
    ahead = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
    )
    grown = len(new) - len(old)
    if grown <= 0 or not new.endswith(old[ahead:]):
        return ahead, None
    return ahead, new[ahead : ahead + grown]


def _verify_html(
    octets: bytes,
    octets_copy: bytes,
    place: int,
    words: tuple[tuple[str, str], ...],
    codec: str,
    report: Report,
) -> None:
    wide = codec if codec.startswith(("utf-16", "utf-32")) else "latin-1"
    texts = octets.decode(wide), octets_copy.decode(wide)
    seen = LexborHTMLParser(texts[1])
    links = seen.css(f'a[href="{PLACEHOLDER}"]')
    if len(links) != 1 or LexborHTMLParser(texts[0]).css(f'a[href="{PLACEHOLDER}"]'):
        report.problem(f"{len(links)} links to the page are seen")
        return
    wanted = {f"{text} {link}" for text, link in ((_one_line(a), _one_line(b)) for a, b in words)}
    said = _one_line(links[0].parent.text(deep=True) if links[0].parent else "")
    # Behind an element that is never closed the link may stand in a copy of that one, apart from its sentence.
    whole = _one_line(seen.root.text(deep=True) if seen.root else "")
    if said not in wanted and not any(one in whole for one in wanted):
        report.problem(f"the footer says {said!r}")
    behind = octets[place:].replace(b"\0", b"").strip(b" \t\r\n\f")
    if behind and not behind.lower().startswith(b"</body"):
        report.problem(f"behind the footer stands {behind[:40]!r}")


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(text)).strip()


def _verify_text(
    octets: bytes,
    place: int,
    footer: bytes,
    words: tuple[tuple[str, str], ...],
    codec: str,
    report: Report,
) -> None:
    said = re.sub(r"\s+", " ", footer.decode(codec, "replace"))
    if said.count(PLACEHOLDER) != 1:
        report.problem(f"{said.count(PLACEHOLDER)} links in the footer")
    said = said.replace(PLACEHOLDER, "").replace("-- ", " ").strip()
    if not any(_reads_as(said, f"{text} {link}") for text, link in words):
        report.problem(f"the footer says {said!r}")
    width = len("-".encode(codec)) if codec.startswith(("utf-16", "utf-32")) else 1
    behind = octets[place:].decode(codec, "replace") if width > 1 else octets[place:].decode("latin-1")
    if behind.strip() and not re.match(r"\s*(-- ?)?(\r?\n|\Z)", behind):
        report.problem(f"behind the footer stands {behind[:40]!r}")


def _reads_as(said: str, wanted: str) -> bool:
    """The same words, where a charset lacks a letter with another one or two in its place."""
    characters = iter(said)
    return len(said) <= 2 * len(wanted) and all(one in characters for one in wanted if one.isascii())


def _verify_quoted(old: bytes, new: bytes, report: Report) -> None:
    """Soft breaks aside, the encoded octets too are the old ones with one insertion."""
    if re.search(rb"=(?![0-9A-Fa-f]{2}|\r\n|\Z)", new):
        report.problem("an escape is cut")
    if len(re.findall(rb"[ \t]\r?\n", new)) > len(re.findall(rb"[ \t]\r?\n", old)):
        report.problem("a blank stands at a line's end")
    if inserted(_hard(old), _hard(new))[1] is None:
        report.problem("quoted-printable octets outside the footer differ")
    if max(map(len, new.split(b"\r\n"))) > max(76, *map(len, old.split(b"\r\n"))):
        report.problem("a quoted-printable line is too long")


def _hard(text: bytes) -> bytes:
    return text.replace(b"=\r\n", b"")
