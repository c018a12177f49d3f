"""A message's control headers: what its sender asks of us, and which bytes go before it is forwarded.

Knows our own header names and how each value is read; a value that is not understood asks for less. Only
the message's own header block counts, never an attached message's. Whether a wish is granted is decided
elsewhere. Pure, and never raises.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from relay.mime import Header, header_end, read_header
from relay.submission import Options

MAX_TAGS = 20
MAX_TAG = 128
MAX_NAME = 128
"""Campaign and variant."""
MAX_SHOWN = 500
"""Subject, sender and Message-ID, decoded for people."""
MAX_MISREAD = 10
MAX_FIELD = 4000
"""So many octets of a header field are decoded for people."""

OWN_PREFIX = "x-candor-"
"""Every field with this beginning is ours and is removed, known or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What the header block says to a relay."""

    options: Options = field(default_factory=Options)
    ranges: tuple[tuple[int, int], ...] = ()
    """Byte ranges of the fields to take out, folded lines included; ascending and disjoint."""
    subject: str = ""
    from_header: str = ""
    message_id: str = ""
    is_signed: bool = False
    """A DKIM or ARC signature is present (RFC 6376, RFC 8617)."""
    received_count: int = 0
    misread: tuple[tuple[str, str], ...] = ()
    """(our field's name, `unknown-header` or `unknown-value`): wishes that are not understood, the first few."""
    list_unsubscribe_urls: frozenset[str] = frozenset()
    """The URLs of List-Unsubscribe (RFC 2369), as written."""

    @property
    def override(self) -> bool:
        return self.options.override


def read(data: bytes) -> Controls:
    """Read the control headers of a message. Never raises: what cannot be read is not there."""
    return read_block(read_header(data))


def read_block(header: Header) -> Controls:
    """The same for a header block that was found already."""
    if header.overlong:
        return read_own(header.data)
    options = Options()
    ranges: list[tuple[int, int]] = []
    shown = {"subject": "", "from": "", "message-id": ""}
    is_signed = False
    received = 0
    unsubscribe: list[str] = []
    misread: dict[tuple[str, str], None] = {}
    for entry in header.fields:
        name = entry.name
        effect = EFFECTS.get(name)
        if effect is not None:
            value = header.value(entry)
            options = effect(options, value)
            if value.strip().lower() not in _VALUES.get(name, (value.strip().lower(),)):
                misread[name, "unknown-value"] = None
        elif name.startswith(OWN_PREFIX):
            # A misspelt wish (X-Candor-Track-Open: no) was still a wish, and most of them ask for less.
            options = replace(options, opens=False, clicks=False)
            misread[name if _PLAIN_NAME.fullmatch(name) else f"{OWN_PREFIX}…", "unknown-header"] = None
        if effect is not None or name.startswith(OWN_PREFIX):
            ranges.append((entry.start, entry.end))
        elif name in shown:
            shown[name] = shown[name] or for_people(header.raw(entry)[:MAX_FIELD])
        elif name == "received":
            received += 1
        elif name in _SIGNATURES or name.startswith("arc-"):
            is_signed = True
        elif name == "list-unsubscribe":
            unsubscribe += _URL.findall(header.value(entry))
    if options.override and not all(map(_yes, header.values("x-candor-override"))):
        options = replace(options, override=False)
    return Controls(
        options=options,
        ranges=tuple(ranges),
        subject=shown["subject"],
        from_header=shown["from"],
        message_id=shown["message-id"],
        is_signed=is_signed,
        received_count=received,
        misread=tuple((_spelt(name), why) for name, why in islice(misread, MAX_MISREAD)),
        list_unsubscribe_urls=frozenset(_BLANKS.sub("", url) for url in unsubscribe),
    )


def read_own(data: bytes) -> Controls:
    """Only what must not be missed: our own fields, which go and are taken for wishes for less, and the number
    of hops. For header blocks that nobody reads field by field; so a plain search, and nothing kept per line."""
    stop, _ = header_end(data, 0, len(data))
    ranges: list[tuple[int, int]] = []
    received = 0
    first = _OWN_FIRST.match(data, 0, stop)
    behind = _OWN_FURTHER.finditer(data, first.end() if first else 0, stop)
    for match in chain([first] if first else [], behind):
        start, end = match.start(1), min(match.end(1) + 1, stop)
        if match[1] is None:
            received += 1
        elif ranges and ranges[-1][1] == start:  # joined, so that a hundred thousand neighbours are one cut
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    options = Options(opens=False, clicks=False) if ranges else Options()
    return Controls(options=options, ranges=tuple(ranges), received_count=received)


_OWN = (
    rb"(?:((?i:x-candor-[!-9;-~]*+|x-tracking-consent)[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+)"
    rb"|(?i:received)[ \t]*+:)"
)
_OWN_FIRST, _OWN_FURTHER = re.compile(_OWN), re.compile(rb"\n" + _OWN)
_SIGNATURES = frozenset({"dkim-signature", "domainkey-signature"})
_URL = re.compile(r"<([^<>]*+)>")
_BLANKS = re.compile(r"[ \t\r\n]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _opens(options: Options, value: str) -> Options:
    return replace(options, opens=options.opens and _yes(value))


def _clicks(options: Options, value: str) -> Options:
    return replace(options, clicks=options.clicks and _yes(value))


def _override(options: Options, value: str) -> Options:
    return replace(options, override=_yes(value))


def _consent(options: Options, value: str) -> Options:
    """`granted` and `unknown` are for the register, which asks who said so; a refusal counts at once, and so
    does a word that is none of the four."""
    word = value.strip().lower()
    if word in ("granted", "unknown"):
        declared = options.declared if options.refused or word == "unknown" else word
        return replace(options, declared=declared)
    # Of a refusal and a grant beside each other the refusal holds; of what is no word, neither is recorded.
    declared = word if word in ("denied", "withdrawn") else options.declared
    return replace(options, refused=True, declared=None if declared == "granted" else declared)


def _tag(options: Options, value: str) -> Options:
    tag = _plain(value, MAX_TAG)
    if not tag or tag in options.tags or len(options.tags) >= MAX_TAGS:
        return options
    return replace(options, tags=(*options.tags, tag))


def _campaign(options: Options, value: str) -> Options:
    return replace(options, campaign=_plain(value, MAX_NAME) or None)


def _variant(options: Options, value: str) -> Options:
    return replace(options, variant=_plain(value, MAX_NAME) or None)


def _class(options: Options, value: str) -> Options:
    """A class that is not one of the three is read as marketing, which is permitted least."""
    word = value.strip().lower()
    known = word in ("transactional", "requested", "marketing")
    return replace(options, message_class=word if known else "marketing")


EFFECTS: Mapping[str, Callable[[Options, str], Options]] = {
    "x-candor-track-opens": _opens,
    "x-candor-track-clicks": _clicks,
    "x-candor-override": _override,
    "x-candor-tag": _tag,
    "x-candor-campaign": _campaign,
    "x-candor-variant": _variant,
    "x-candor-class": _class,
    "x-tracking-consent": _consent,
}
"""Field name in lower case, and what a value does to the options so far. Fields named here are removed."""


_SWITCH = ("yes", "no")
_VALUES: Mapping[str, tuple[str, ...]] = {
    "x-candor-track-opens": _SWITCH,
    "x-candor-track-clicks": _SWITCH,
    "x-candor-override": _SWITCH,
    "x-candor-class": ("transactional", "requested", "marketing"),
    "x-tracking-consent": ("granted", "denied", "withdrawn", "unknown"),
}
"""The words that are understood, of fields that have a few."""
_PLAIN_NAME = re.compile(r"[a-z0-9-]{1,60}")
"""What may be repeated of a name that we do not know: it may hold anything, even an address."""


def _spelt(name: str) -> str:
    return "-".join(map(str.capitalize, name.split("-")))


def _yes(value: str) -> bool:
    return value.strip().lower() == "yes"


def _plain(value: str, limit: int) -> str:
    """A name for reports: decoded, one line, no control characters, at most `limit` characters."""
    return for_people(value[:MAX_FIELD].encode("latin-1", "replace"))[:limit].strip()


_WORD = re.compile(r"=\?([!-)+->@-~]{1,40})(?:\*[!->@-~]*)?\?([bBqQ])\?([!->@-~]*)\?=")
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_NO_CHARSETS = frozenset({"utf_7", "unicode_escape", "raw_unicode_escape", "punycode", "idna"})
"""Codecs by their names in Python, hyphens aside: no mail is shown in these (RFC 2152 1), and some of them spell
what is no character."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character: nothing can encode it again, so it must not leave this module."""


def for_people(raw: bytes) -> str:
    """A header field's value with its encoded words decoded (RFC 2047), on one line, at most `MAX_SHOWN`
    characters. What cannot be decoded stays as it is written."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "=?" in text:
        text = _decode_words(text)
    if not text.isprintable():  # controls and surrogates are not
        text = _CONTROL.sub(" ", _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text))
    return " ".join(text.split())[:MAX_SHOWN]


def _decode_words(text: str) -> str:
    """Blanks between two encoded words are not shown (RFC 2047 6.2), and a character may be cut in two by
    a careless sender: neighbours of one charset are decoded as one."""
    pieces: list[tuple[str, bytes | str, str]] = []
    at = 0
    for match in _WORD.finditer(text):
        between = text[at : match.start()]
        if between and not (pieces and pieces[-1][0] and between.isspace()):
            pieces.append(("", between, ""))
        charset, octets = match[1].lower(), _word_octets(match[2], match[3])
        if octets is None:
            pieces.append(("", match[0], ""))
        elif pieces and pieces[-1][0] == charset and isinstance(pieces[-1][1], bytes):
            pieces[-1] = (charset, pieces[-1][1] + octets, pieces[-1][2] + match[0])
        else:
            pieces.append((charset, octets, match[0]))
        at = match.end()
    pieces.append(("", text[at:], ""))
    return "".join(_decode_piece(*piece) for piece in pieces)


def _word_octets(kind: str, encoded: str) -> bytes | None:
    raw = encoded.encode("ascii", "replace")
    if kind in "qQ":
        return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
    except binascii.Error:
        return None


def _decode_piece(charset: str, octets: bytes | str, written: str) -> str:
    if isinstance(octets, str):
        return octets
    try:
        if codecs.lookup(charset).name.replace("-", "_") in _NO_CHARSETS:
            return written
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):
        return written
