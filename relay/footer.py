"""A footer with the link to the reader's own page, for mail that must carry one and does not.

It is put behind the last words of the HTML body and of the plain text that stands for it, with a placeholder as
authors write it: what comes of it is a message like any other, compiled and filled in like one. Octets outside the
footer stay. Where a part has no sure place for it there is none, and then the policy tracks nobody by this message.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import NamedTuple
from unicodedata import combining, normalize

from relay import html
from relay.charsets import Text, view
from relay.controls import Controls
from relay.edits import Effect
from relay.mime import Header, Part, Section, parts, section, sections
from relay.plan import Plan
from relay.reasons import Reason
from relay.rewrite import MAX_BODY, compile_message
from relay.rulebook import Rules
from relay.transfer import Chunk, Content, insert_lines, open_content

PLACEHOLDER = "{{tracking_preferences_url}}"
LINE = 72
"""Characters of a line of text (RFC 3676 4.2)."""
_HTML_LINE = 40
"""Of a line of HTML, where each may become a reference of ten octets."""
_BEGINNING = 2000
"""So much of an HTML text is searched for its language."""


class Wording(NamedTuple):
    """A footer's words in one language, without markup."""

    language: str
    """As HTML names it."""
    text: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Footers:
    """The sender's wordings by language."""

    wordings: Mapping[str, Wording]
    language: str
    """Where neither message nor recipient says which. One of `wordings`."""

    def language_of(self, declared: Iterable[str], country: str | None) -> str:
        """The message's own where it declares one of ours, else the one that is spoken in the recipient's country."""
        for tag in declared:
            primary = tag.strip().lower().partition("-")[0]
            if primary in self.wordings:
                return primary
        spoken = SPOKEN.get(country or "", "")
        return spoken if spoken in self.wordings else self.language


_COUNTRIES = {"en": "GB IE US AU NZ", "fr": "FR MC", "it": "IT SM VA", "de": "DE AT LI"}
SPOKEN: Mapping[str, str] = {country: one for one, many in _COUNTRIES.items() for country in many.split()}
"""Countries with one language among ours (ISO 3166 → ISO 639)."""


class Footing:
    """A message that may need a footer: its plan with one, made when it is first asked for."""

    def __init__(
        self, plan: Plan, header: Header, controls: Controls, *, rules: Rules, footers: Footers
    ) -> None:
        self._plan, self._header, self._controls = plan, header, controls
        self._rules, self._footers = rules, footers
        self._declared: list[str] | None = None
        self._plans: dict[str, Plan | None] = {}

    def plan(self, country: str | None) -> Plan | None:
        """The plan of the message with a footer for a recipient who lives there; None where it cannot have one."""
        try:
            if self._declared is None:
                self._declared = list(_declared(self._plan, self._header))
            language = self._footers.language_of(self._declared, country)
            if language not in self._plans:
                self._plans[language] = None  # should it fail, it fails once
                self._plans[language] = self._made(self._footers.wordings[language])
            return self._plans[language]
        except Exception:  # noqa: BLE001 - without a footer nobody is tracked, and the mail goes its way
            return None

    def prepare(self, countries: Iterable[str | None]) -> None:
        """The same for several, ahead of time: of a large message in a thread."""
        for country in countries:
            self.plan(country)

    def _made(self, wording: Wording) -> Plan | None:
        """Only a footer that changes nothing else and is filled in wherever it stands is one."""
        before = self._plan
        data, number = footed(before, self._header, wording, self._footers)
        if not number:
            return None
        header = self._header._replace(data=data)
        plan = compile_message(data, self._rules, header=header, controls=self._controls)
        filled_in = sum(edit.effect is Effect.PREFERENCES for body in plan.bodies for edit in body.edits)
        same = (plan.untouched, plan.links, plan.has_pixel_place) == (
            before.untouched,
            before.links,
            before.has_pixel_place,
        )
        return plan if same and filled_in == number else None


def _declared(plan: Plan, header: Header) -> Iterator[str]:
    """The language tags that the message names: `Content-Language` (RFC 3282), then `<html lang>`."""
    for value in header.values("content-language"):
        yield from value.split(",")
    for body in plan.bodies:
        if body.is_html:
            encoding = body.codec if body.codec != "ascii" else "latin-1"
            text = body.content.decoded[:_BEGINNING].decode(encoding, "replace")
            tag = _HTML_TAG.search(text)
            yield from _LANG.findall(tag[0]) if tag else ()
            return


_HTML_TAG = re.compile(r"<html\b[^>]{0,500}", re.IGNORECASE)
_LANG = re.compile(r"[ \t\r\n\f]lang[ \t]*=[ \t]*[\"']?([A-Za-z-]{2,20})", re.IGNORECASE)


# --- where it goes ---


def footed(plan: Plan, header: Header, wording: Wording, footers: Footers) -> tuple[bytes, int]:
    """(the message with the footer, in how many parts it stands). In none, the message is as it was."""
    data = plan.data
    out: list[Chunk] = []
    number = at = 0
    first = next((body for body in plan.bodies if body.is_html), None) or next(iter(plan.bodies), None)
    if first is None:
        return data, 0
    beside = _alternatives(section(data), first.start) if first.is_html else []
    for part in parts(data, header):
        if part.body == first.start:
            piece = _piece(data, part, wording, footers)
            if piece is None:
                return data, 0
        elif part.content_type == "text/plain" and any(
            start <= part.body <= part.end <= end for start, end in beside
        ):
            piece = _piece(data, part, wording, footers)
            if piece is None:
                continue
        else:
            continue
        content, offset, octets = piece
        out.append(data[at : part.body])
        insert_lines(content, offset, octets, out)
        at = part.end
        number += 1
    out.append(data[at:])
    return b"".join(out), number


def _alternatives(whole: Section, at: int) -> list[tuple[int, int]]:
    """The ranges of what stands for the part at `at`: its nearest multipart/alternative without the branch in which it
    lies. There is none for what is shown beside others."""
    found: list[tuple[int, int]] = []
    while True:
        children = sections(whole)
        branch = next((child for child in children if child.body <= at <= child.end), None)
        if branch is None:
            return found
        if whole.kind == "multipart/alternative":
            found = [(child.body, child.end) for child in children if child is not branch]
        whole = branch


def _piece(data: bytes, part: Part, wording: Wording, footers: Footers) -> tuple[Content, int, bytes] | None:
    """(the part's content, where in it the footer goes, its octets); None where there is no sure place."""
    if part.reason is not None or part.end - part.body > MAX_BODY:
        return None
    content = open_content(data, part.body, part.end, part.encoding)
    if isinstance(content, Reason):
        return None
    decoded = content.decoded
    text = view(decoded, part.charset)
    if isinstance(text, Reason) or not decoded.strip() or b"-----BEGIN PGP " in decoded:
        return None
    if text.wide and part.encoding not in ("base64", "quoted-printable"):
        return None
    if part.content_type == "text/html":
        place = html.read(text.scan, text.read, limit=0).body_end
        lines = [None if place is None else _html(wording)]
        codec = text.charset if text.wide else "ascii"
    else:
        place = _text_place(text.scan)
        codec = _text_codec(text, part, decoded)
        lines = [_text(one, codec, flowed=part.flowed) for one in (wording, footers.wordings["en"])]
    said = next((one for one in lines if one is not None), None)
    # a lone CR before our line end would become half of another
    if place is None or said is None or text.scan[max(0, place - 1) : place] == "\r":
        return None
    newline = "\n" if part.encoding == "base64" and "\n" in text.scan and "\r\n" not in text.scan else "\r\n"
    octets = _around(text.scan, place, said, newline, is_html=part.content_type == "text/html").encode(codec)
    # our line ends could make a delimiter of what was none: boundaries do not occur in what they enclose
    if any(b"--" + edge in decoded or b"--" + edge in octets for edge in part.boundaries):
        return None
    (offset,) = text.offsets([place])
    return content, offset, octets


def _around(scan: str, place: int, lines: list[str], newline: str, *, is_html: bool) -> str:
    """The footer as it is put in: HTML in lines of its own, text with an empty line before it."""
    said = newline.join(lines)
    if is_html:
        return newline + said + newline
    before = scan[max(0, place - 4) : place].replace("\r", "")
    if before.endswith("\n"):  # a signature follows
        return ("" if before.endswith("\n\n") else newline) + said + newline
    return newline * 2 + said if place else said + newline


_SIGNATURE = re.compile(r"(?:\A|(?<=\n))-- (?=\r?\n|\Z)")
_BLANKS = re.compile(r"[ \t]*")


def _text_place(scan: str) -> int:
    """Before the signature (RFC 3676 4.3), which programs hide and leave out of replies, else behind the last line."""
    place = None
    for match in _SIGNATURE.finditer(scan):
        place = match.start()
    if place is not None:
        return place
    end = len(scan.rstrip(" \t\r\n"))
    blanks = _BLANKS.match(scan, end)
    return blanks.end() if blanks else end


# --- what it says ---


def _html(wording: Wording) -> list[str]:
    """No colour of its own: on a dark ground it would not be seen."""
    opening = (
        f'<div lang="{escape(wording.language)}" dir="ltr" '
        'style="clear:both;margin:16px;font-size:12px;line-height:1.5;text-align:center">'
    )
    link = _references(wording.link)
    link[0] = f'<a href="{PLACEHOLDER}" style="color:inherit">{link[0]}'
    link[-1] += "</a>"
    return [opening, *_references(wording.text), *link, "</div>"]


def _references(text: str) -> list[str]:
    """Lines in which whatever is not ASCII is a character reference, which means the same under every label."""
    return [escape(line).encode("ascii", "xmlcharrefreplace").decode() for line in wrap(text, _HTML_LINE)]


def _text(wording: Wording, codec: str, *, flowed: bool) -> list[str] | None:
    """None where the charset has no way to say it."""
    said = [spelt(one, codec, wording.language) for one in (wording.text, wording.link)]
    lines = [line for one in said if one is not None for line in wrap(one, LINE)]
    if None in said:
        return None
    if flowed:  # RFC 3676 4.4
        lines = [f" {line}" if line.startswith((">", "From ")) else line for line in lines]
    return [*lines, PLACEHOLDER]


def _text_codec(text: Text, part: Part, decoded: bytes) -> str:
    """What the footer is written in. A part that was plain ASCII stays so where it is sent as it is: else the message
    would need 8BITMIME (RFC 6152)."""
    if text.wide:
        return text.charset
    encoded = part.encoding in ("base64", "quoted-printable")
    is_eight = encoded or (part.encoding in ("8bit", "binary") and not decoded.isascii())
    if not is_eight or text.charset.startswith("iso2022"):
        return "ascii"
    return "utf_8" if text.charset == "utf_8_sig" else text.charset


_PLAIN = {
    "’": "'",
    "‘": "'",
    "‚": ",",
    "“": '"',
    "”": '"',
    "„": '"',
    "«": '"',
    "»": '"',
    "–": "-",
    "—": "-",
    "…": "...",
    "ß": "ss",
    "œ": "oe",
    "Œ": "OE",
    "æ": "ae",
    "Æ": "AE",
    "ø": "o",
    "ł": "l",
    "\u00a0": " ",
    "\u202f": " ",
}
_GERMAN = {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}


def spelt(text: str, codec: str, language: str) -> str | None:
    """The text in characters that the charset has: others are written as people write them without, `ü` as `ue` in
    German and `u` elsewhere. None where there is no such way."""
    out = []
    for character in text:
        plain = (_GERMAN.get(character) if language == "de" else None) or _PLAIN.get(character)
        bare = plain or "".join(one for one in normalize("NFKD", character) if not combining(one))
        one = next((one for one in (character, bare) if one and _has(codec, one)), None)
        if one is None:
            return None
        out.append(one)
    return "".join(out)


def _has(codec: str, character: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
