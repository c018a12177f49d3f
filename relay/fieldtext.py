"""A header field's value as people read it: encoded words decoded (RFC 2047), on one line. Pure, and never raises."""

from __future__ import annotations

import binascii
import codecs
import re

MAX_SHOWN = 500
"""Subject, sender and Message-ID, decoded for people."""
MAX_FIELD = 4000
"""So many octets of a header field are decoded for people."""
MAX_WORDS = 16_000
"""Encoded words of a longer value stay as they are written."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
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
    return one_line(text_of(raw), MAX_SHOWN)


def text_of(raw: bytes) -> str:
    """The same as long as it is and with all its characters, half ones and controls among them."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return _decode_words(text) if "=?" in text and len(text) <= MAX_WORDS else text


def one_line(text: str, limit: int) -> str:
    """At most so many characters, of which each can be shown and stored."""
    if not text.isprintable():  # controls and surrogates are not
        text = _CONTROL.sub(" ", _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text))
    return " ".join(text.split())[:limit].strip()


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
