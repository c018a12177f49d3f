"""How a message is built, read line by line: the verifier's own eyes, which share nothing with the rewriter's.

Knows RFC 2046's delimiter lines and which parts a mail program shows; header fields are read by Python's email
parser. Slow and plain on purpose.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

_SHOWN = ("multipart/mixed", "multipart/alternative", "multipart/related")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part without parts: `data[start:end]` is its content as transferred."""

    start: int
    end: int
    kind: str
    encoding: str
    charset: str
    is_body: bool
    """Text that a mail program shows: neither attached, nor signed, nor inside somebody else's message."""

    def content(self, data: bytes) -> bytes:
        """Decoded octets; as they are where they do not follow their label."""
        try:
            return decode(data[self.start : self.end], self.encoding)
        except ValueError:
            return data[self.start : self.end]


def leaves(data: bytes) -> list[Leaf]:
    """The leaves of a message in order. An attached message is one leaf."""
    return list(_walk(data, 0, len(data), may_show=True))


def decode(content: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    return binascii.a2b_base64(content) if encoding == "base64" else content


def encode(octets: bytes, encoding: str) -> bytes:
    """With CRLF and lines of 76."""
    if encoding == "quoted-printable":
        return binascii.b2a_qp(octets).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return base64.encodebytes(octets).replace(b"\n", b"\r\n") if encoding == "base64" else octets


def _walk(data: bytes, start: int, end: int, *, may_show: bool) -> Iterator[Leaf]:
    body = _behind_header(data, start, end)
    header = _fields(data[start:body])
    kind = header.get_content_type().partition("(")[0].strip()  # a comment may follow (RFC 2045 5.1)
    if kind.startswith("multipart/") and header.get_boundary():
        boundary = str(header.get_boundary()).encode("latin-1", "replace")
        children = list(_between_delimiters(data, body, end, boundary))
        root = _root(header, [_fields(data[s : _behind_header(data, s, e)]) for s, e in children])
        for index, (child_start, child_end) in enumerate(children):
            shown = may_show and kind in _SHOWN and (root is None or root == index)
            yield from _walk(data, child_start, child_end, may_show=shown)
        if children:
            return
    shown = may_show and kind in ("text/html", "text/plain")
    shown = shown and header.get_content_disposition() in (None, "inline")
    encoding = str(header.get("content-transfer-encoding", "7bit")).partition(";")[0].strip().lower()
    yield Leaf(body, end, kind, encoding, _charset(header), shown)


def _behind_header(data: bytes, start: int, end: int) -> int:
    """Where the content begins: behind the first empty line."""
    at = start
    while at < end:
        following = _next_line(data, at, end)
        if data[at:following] in (b"\r\n", b"\n"):
            return following
        at = following
    return end


def _next_line(data: bytes, at: int, end: int) -> int:
    line_end = data.find(b"\n", at, end)
    return end if line_end < 0 else line_end + 1


def _fields(block: bytes) -> Message:
    unfolded = re.sub(rb"\r?\n(?=[ \t])", b"", block)
    return email.message_from_bytes(unfolded, policy=email.policy.compat32)


def _between_delimiters(data: bytes, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    at, opened = start, -1
    while at < end:
        following = _next_line(data, at, end)
        line = data[at:following]
        if line.startswith(b"--") and line.rstrip(b" \t\r\n") in (
            b"--" + boundary,
            b"--" + boundary + b"--",
        ):
            if opened >= 0:
                line_end = 2 if data[at - 2 : at] == b"\r\n" else 1
                yield opened, max(opened, at - line_end)
            opened = following
            if line.rstrip(b" \t\r\n") == b"--" + boundary + b"--":
                return
        at = following
    if opened >= 0:
        yield opened, end


def _root(header: Message, children: list[Message]) -> int | None:
    """Which part of a multipart/related is shown (RFC 2387 3.2); None for other multiparts."""
    if header.get_content_type() != "multipart/related":
        return None
    start = header.get_param("start")
    if not start:
        return 0
    return next((n for n, child in enumerate(children) if child.get("content-id", "").strip() == start), -1)


def _charset(header: Message) -> str:
    try:
        return str(header.get_content_charset() or "")
    except (LookupError, ValueError):
        return ""


def wide_codec(charset: str, octets: bytes) -> str:
    """The codec of a charset whose characters are of two octets or four; `""` for any other. Without a byte order
    mark and a name that says it, big-endian (RFC 2781 4.3)."""
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        return ""
    if not name.startswith(("utf-16", "utf-32")):
        return ""
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
    return name if octets.startswith(marks) or name not in ("utf-16", "utf-32") else name + "-be"
