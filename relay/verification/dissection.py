"""A message taken apart for inspection: its leaf parts, where they lie, and their text.

Reads mail with the standard library's header parser and codecs, and shares nothing with the modules that rewrite,
which are checked with what is read here. Slower than they are, and for commands only. Pure.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32

MAX_DEPTH = 50
_HEAD = re.compile(rb"\A\r?\n|\n\r?\n")
_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")
_OPEN = frozenset({"multipart/mixed", "multipart/alternative", "multipart/related"})
_BODIES = frozenset({"text/html", "text/plain"})
_WIDE = ("utf-16", "utf-32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A part that holds no parts. `data[start:end]` is its content as transferred."""

    number: str
    """IMAP's numbering: `1`, `1.2`, …"""
    start: int
    end: int
    content_type: str
    encoding: str
    """Content-Transfer-Encoding in lower case, `7bit` where none is given."""
    charset: str
    is_body: bool
    """HTML or plain text to be shown, under nothing that must not be touched."""

    @property
    def is_html(self) -> bool:
        return self.content_type == "text/html"

    def decoded(self, raw: bytes) -> bytes:
        """Content without its transfer encoding; what is no base64 is left as it is."""
        if self.encoding == "quoted-printable":
            return binascii.a2b_qp(raw)
        if self.encoding != "base64":
            return raw
        try:
            return binascii.a2b_base64(raw)
        except binascii.Error:
            return raw

    def codec(self, octets: bytes) -> tuple[str, int]:
        """The codec under which markup is scanned, and the octets of a mark before it. Charsets that keep ASCII
        are scanned octet by octet, as latin-1."""
        name = self.charset.lower().replace("_", "-")
        if not name.startswith(_WIDE):
            return "latin-1", 0
        for mark, codec in _MARKS:
            if octets.startswith(mark):
                return codec, len(mark)
        if name in _WIDE:
            little = octets.count(b"<\0") >= octets.count(b"\0<")
            return f"{name}-{'le' if little else 'be'}", 0
        return name, 0

    def text(self, raw: bytes) -> str:
        """The content as text, one character an octet (or a code unit)."""
        octets = self.decoded(raw)
        codec, mark = self.codec(octets)
        return octets[mark:].decode(codec, "replace")

    def readable(self, piece: str) -> str:
        """A piece of `text` in the part's own charset, for people; a character that was cut is not understood."""
        try:
            return piece.encode("latin-1").decode(self.charset or "utf-8", "replace")
        except (LookupError, ValueError):
            return piece


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def head_end(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Behind the empty line that ends the header block; the end where there is none."""
    stop = len(data) if end is None else end
    match = _HEAD.search(data[start:stop] if start or stop < len(data) else data)
    return start + match.end() if match else stop


def leaves(data: bytes) -> list[Leaf]:
    """The leaves in order. Nothing is refused: what makes no sense is a leaf nobody may touch."""
    return list(_walk(data, 0, len(data), number="", touchable=True, depth=0))


def _walk(data: bytes, start: int, end: int, *, number: str, touchable: bool, depth: int) -> Iterator[Leaf]:
    body = head_end(data, start, end)
    header = BytesHeaderParser(policy=compat32).parsebytes(data[start:body])
    kind, boundary = _kind(header)
    ranges = _ranges(data, body, end, boundary) if boundary and depth < MAX_DEPTH else []
    if not ranges:
        yield _leaf(header, kind, body, end, number=number, touchable=touchable)
    for index, (first, last) in enumerate(ranges, 1):
        yield from _walk(
            data,
            first,
            last,
            number=f"{number}.{index}" if number else str(index),
            touchable=touchable and kind in _OPEN,
            depth=depth + 1,
        )


def _kind(header: Message) -> tuple[str, bytes]:
    """The content type, and the boundary of a multipart."""
    try:
        kind = header.get_content_type()
        boundary = header.get_boundary() if kind.startswith("multipart/") else None
        return kind, (boundary or "").encode("utf-8", "surrogateescape")
    except (ValueError, LookupError, TypeError, AttributeError):
        return "application/octet-stream", b""


def _ranges(data: bytes, start: int, end: int, boundary: bytes) -> list[tuple[int, int]]:
    """Between delimiter lines, whose line end before them is theirs (RFC 2046 5.1.1)."""
    line = re.compile(rb"(?m)^--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?:\n|\Z)")
    found: list[tuple[int, int]] = []
    opened = -1
    for match in line.finditer(data, start, end):
        if opened >= 0:
            stop = match.start() - (2 if data[match.start() - 2 : match.start()] == b"\r\n" else 1)
            found.append((opened, max(opened, stop)))
        if match[1]:
            return found
        opened = match.end()
    if opened >= 0:
        found.append((opened, end))
    return found


def _leaf(header: Message, kind: str, body: int, end: int, *, number: str, touchable: bool) -> Leaf:
    encoding = _TOKEN.search(str(header.get("content-transfer-encoding", "7bit")))
    try:
        charset = header.get_param("charset") or ""
        attached = header.get_content_disposition() not in (None, "inline")
    except (ValueError, LookupError, TypeError, AttributeError):
        charset, attached = "", True
    return Leaf(
        number=number or "1",
        start=body,
        end=end,
        content_type=kind,
        encoding=encoding[0].lower() if encoding else "",
        charset=charset.strip() if isinstance(charset, str) else "",
        is_body=touchable and not attached and kind in _BODIES,
    )
