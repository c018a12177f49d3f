"""Where things lie in a message: header fields, parts, and their exact byte ranges.

Knows RFC 5322 header blocks and RFC 2046 multiparts as far as finding them goes; copies no content, decodes
none, and changes nothing. What contradicts itself is named and left to be passed on as it is. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from relay.contenttype import ContentType, content_type
from relay.reasons import Reason

MAX_DEPTH = 20
MAX_PARTS = 500
MAX_HEADER = 1_000_000
"""Octets of a header block that is read; real ones have a hundredth of it."""
MAX_FIELDS, MAX_PART_FIELDS = 2_000, 200
"""Lines of a header block, the message's and a part's; folded ones count as one with their field."""
MAX_DELIMITERS = 20_000
"""So many lines are looked at that begin like a delimiter of one multipart."""

# One alternative for a field with its folded lines, one for any other line: every byte belongs to a match.
_LINES = re.compile(
    rb"(?:([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)|[^\n]++|(?=\n))(?:\n|\Z)",
)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_TOKEN = re.compile(r"[ \t]*([!#-'*+./0-9A-Z^_`a-z{|}~-]*)[ \t]*(?:\([^()]*\)[ \t]*)?(?:;|\Z)")
_new = tuple.__new__  # half the time of a NamedTuple's constructor


class Field(NamedTuple):
    """One header field. `end` lies behind its last line end, so `data[start:end]` is the whole field."""

    name: str
    """Lower case."""
    start: int
    value_start: int
    end: int


_FREQUENT = """Return-Path Received From To Reply-To Sender Subject Date Message-ID MIME-Version Content-Type Content-ID
    Content-Transfer-Encoding Content-Disposition List-Unsubscribe List-Unsubscribe-Post List-Id DKIM-Signature Cc"""
_LOWER = {name.encode(): name.lower() for name in _FREQUENT.split()}


class Header(NamedTuple):
    """A header block found in `data`. `body` is None where no empty line ends the block."""

    data: bytes
    fields: tuple[Field, ...]
    body: int | None
    malformed: bool
    """Some line is neither a field nor a folded line, holds a bare CR, or has a blank before its colon."""
    overlong: bool = False
    """Larger than is read: `fields` is empty, and `malformed` is True."""

    def raw(self, field: Field) -> bytes:
        """The field's value with its folding, without the last line end."""
        return self.data[field.value_start : field.end].rstrip(b"\r\n")

    def value(self, field: Field) -> str:
        """The field's value unfolded (RFC 5322 2.2.3), as a latin-1 view, without blanks at its ends."""
        return _FOLD.sub("", self.raw(field).decode("latin-1")).strip(" \t\r\n")

    def values(self, name: str) -> list[str]:
        return [self.value(field) for field in self.fields if field[0] == name]


def read_header(data: bytes, start: int = 0, end: int | None = None) -> Header:
    """Find the fields of the header block that begins at `start`; nothing behind `end` is looked at.

    The block ends at the first empty line (RFC 5322 2.1); lines end in LF, with or without CR."""
    stop = len(data) if end is None else end
    block_end, body = header_end(data, start, stop)
    if body is None and start:
        # a part without an empty line may be megabytes of content: it is not read as fields
        return Header(data=data, fields=(), body=None, malformed=True)
    fields: list[Field] = []
    malformed = False
    room = MAX_PART_FIELDS if start else MAX_FIELDS
    if block_end - start <= MAX_HEADER:
        for match in _LINES.finditer(data, start, block_end):
            begun, ended = match.span()
            if begun == block_end:
                break
            room -= 1
            if room < 0:
                break
            name = match[1]
            if name is not None:
                value = match.start(2)
                # obsolete blanks before the colon (RFC 5322 4.5): some programs end the header block here
                malformed = malformed or value - begun - len(name) != 1
                fields.append(_new(Field, (_LOWER.get(name) or name.decode().lower(), begun, value, ended)))
            elif begun != start or not match[0].startswith(b"From "):
                # mbox files open with a "From " line; anything else that is no field is not understood
                malformed = True
    if room < 0 or block_end - start > MAX_HEADER:
        return Header(data, (), body, malformed=True, overlong=True)
    has_bare_cr = data.count(b"\r", start, block_end) != data.count(b"\r\n", start, block_end)
    return _new(Header, (data, tuple(fields), body, malformed or has_bare_cr, False))


def header_end(data: bytes, start: int, stop: int) -> tuple[int, int | None]:
    """Where a header block ends, without reading it: (end of the block, start of the body or None)."""
    if data.startswith(b"\n", start, stop):
        return start, start + 1
    if data.startswith(b"\r\n", start, stop):
        return start, start + 2
    crlf = data.find(b"\n\r\n", start, stop)
    bare = data.find(b"\n\n", start, stop if crlf < 0 else crlf + 2)
    if bare >= 0:
        return bare + 1, bare + 2
    if crlf >= 0:
        return crlf + 1, crlf + 3
    return stop, None


class Part(NamedTuple):
    """A leaf of the tree of parts, or a container that is not looked into. `data[body:end]` is its content
    as transferred; the line end before a delimiter is the delimiter's and not included (RFC 2046 5.1.1)."""

    number: str
    """IMAP's numbering: `1`, `1.2`, …"""
    body: int
    end: int
    content_type: str
    """Lower case; `text/plain` where none is given (RFC 2045 5.2)."""
    charset: str
    """As labelled, `""` where it is not."""
    encoding: str
    """Content-Transfer-Encoding in lower case; `7bit` where none is given."""
    boundaries: tuple[bytes, ...]
    """Those of the multiparts around it, outermost first."""
    flowed: bool
    delsp: bool
    reason: Reason | None
    """Why this is not a body to be shown; None for a body, whatever its type."""


class _Node(NamedTuple):
    number: str
    start: int
    end: int
    depth: int
    header: Header
    reason: Reason | None
    """Holds for everything below."""
    boundaries: tuple[bytes, ...]
    mixed: bool
    """The parent shows its parts one after the other, so a file name makes an attachment."""


_LOOKED_INTO = frozenset({"multipart/mixed", "multipart/alternative", "multipart/related"})
_CLOSED = {
    "multipart/signed": Reason.SIGNED,
    "multipart/encrypted": Reason.ENCRYPTED,
    "multipart/report": Reason.REPORT,
    "multipart/digest": Reason.DIGEST,
    "application/pkcs7-mime": Reason.SMIME,
    "application/x-pkcs7-mime": Reason.SMIME,
    "application/pgp-encrypted": Reason.ENCRYPTED,
    "text/calendar": Reason.CALENDAR,
    "text/x-amp-html": Reason.AMP,
}


class TooManyPartsError(Exception):
    """The message has more than `MAX_PARTS` parts."""


def parts(data: bytes, header: Header) -> Iterator[Part]:
    """The leaves of the message in order, containers that are not looked into among them.

    Raises TooManyPartsError; never copies content."""
    if header.body is None:
        return
    count = 0
    stack = [_Node("", 0, len(data), 0, header, None, (), False)]
    while stack:
        count += 1
        if count > MAX_PARTS:
            raise TooManyPartsError
        node = stack.pop()
        found = _visit(data, node)
        if isinstance(found, Part):
            yield found
        else:
            stack.extend(reversed(found))


def _visit(data: bytes, node: _Node) -> Part | list[_Node]:
    body = node.header.body
    if body is None:
        return _leaf(node, node.start, ContentType("", {}), Reason.NO_BLANK_LINE)
    kind = _content_type(node.header)
    if kind is None:
        return _leaf(node, body, ContentType("", {}), Reason.MALFORMED_TYPE)
    if node.reason is not None:
        return _leaf(node, body, kind, node.reason)
    if kind.kind in _CLOSED:
        return _leaf(node, body, kind, _CLOSED[kind.kind])
    if kind.kind.startswith("message/"):
        return _leaf(node, body, kind, Reason.ATTACHED_MESSAGE)
    if not kind.kind.startswith("multipart/"):
        return _leaf(node, body, kind, _leaf_reason(node, kind))
    if kind.kind not in _LOOKED_INTO:
        return _leaf(node, body, kind, Reason.UNKNOWN_MULTIPART)
    return _children(data, node, body, kind)


def _children(data: bytes, node: _Node, body: int, kind: ContentType) -> Part | list[_Node]:
    boundary = kind.parameters.get("boundary", "")
    # RFC 2045 6.4 leaves a multipart no encoding but the identities
    if not boundary or _encoding(node.header) not in ("7bit", "8bit", "binary"):
        return _leaf(node, body, kind, Reason.MALFORMED_MULTIPART)
    if node.depth >= MAX_DEPTH:
        return _leaf(node, body, kind, Reason.TOO_DEEP)
    boundaries = (*node.boundaries, boundary.encode("latin-1"))
    ranges = _split(data, body, node.end, boundaries[-1])
    if not ranges:
        return _leaf(node, body, kind, Reason.MALFORMED_MULTIPART)
    headers = [read_header(data, start, end) for start, end in ranges]
    root = None
    if kind.kind == "multipart/related":
        root = _root(headers, kind.parameters.get("start"))
    nodes = []
    for index, ((start, end), header) in enumerate(zip(ranges, headers, strict=True)):
        number = f"{node.number}.{index + 1}" if node.number else str(index + 1)
        reason = Reason.NOT_ROOT if root is not None and index != root else None
        mixed = kind.kind == "multipart/mixed"
        nodes.append(_Node(number, start, end, node.depth + 1, header, reason, boundaries, mixed))
    return nodes


def _root(headers: list[Header], start: str | None) -> int:
    """Which part of a multipart/related is its root (RFC 2387 3.2); -1 where `start` names none of them."""
    if not start:
        return 0
    for index, header in enumerate(headers):
        if start.strip() in header.values("content-id"):
            return index
    return -1


def _split(data: bytes, start: int, end: int, boundary: bytes) -> list[tuple[int, int]]:
    """The ranges between delimiter lines. What stands before the first and after the closing one is not a
    part; without a closing one the last part ends where its parent does."""
    ranges: list[tuple[int, int]] = []
    delimiter = b"--" + boundary
    opened = -1
    at = data.find(delimiter, start, end)
    looked_at = 0
    while at >= 0:
        looked_at += 1
        if looked_at > MAX_DELIMITERS:
            raise TooManyPartsError
        after = at + len(delimiter)
        if at == start or data[at - 1] == 0x0A:
            closing = data.startswith(b"--", after, end)
            line_end = _blank_to_line_end(data, after + 2 if closing else after, end)
            if line_end is not None:
                if opened >= 0:
                    ranges.append((opened, max(opened, _before_line_end(data, at))))
                opened = -1
                if closing:
                    break
                if len(ranges) > MAX_PARTS:
                    raise TooManyPartsError
                opened = after = line_end
        at = data.find(delimiter, after, end)
    if opened >= 0:
        ranges.append((opened, end))
    return ranges


def _blank_to_line_end(data: bytes, at: int, end: int) -> int | None:
    """Where the next line begins if only blanks stand between `at` and the line end, else None."""
    line_end = data.find(b"\n", at, end)
    stop = end if line_end < 0 else line_end
    # a delimiter line is short: RFC 2046 allows blanks behind it, but not a page of them
    if stop - at > 1000 or data[at:stop].strip(b" \t\r"):
        return None
    return end if line_end < 0 else line_end + 1


def _before_line_end(data: bytes, at: int) -> int:
    """`at` follows a line end: where that line end begins."""
    return at - 2 if data[at - 2 : at] == b"\r\n" else at - 1


def _content_type(header: Header) -> ContentType | None:
    """None where it cannot be read or is given twice."""
    return None if header.malformed else content_type(header.values("content-type"))


def _encoding(header: Header) -> str:
    """`7bit` where none is given, `""` where it cannot be read or is given twice."""
    values = header.values("content-transfer-encoding")
    if not values:
        return "7bit"
    match = _TOKEN.match(values[0])
    return match[1].lower() if match is not None and len(values) == 1 else ""


def _leaf_reason(node: _Node, kind: ContentType) -> Reason | None:
    """Attachments are not bodies, nor are named files between other parts."""
    dispositions = node.header.values("content-disposition")
    if not dispositions:
        return Reason.ATTACHMENT if node.mixed and "name" in kind.parameters else None
    match = _TOKEN.match(dispositions[0])
    if len(dispositions) > 1 or match is None or match[1].lower() != "inline":
        return Reason.ATTACHMENT
    named = "filename" in dispositions[0].lower() or "name" in kind.parameters
    return Reason.ATTACHMENT if node.mixed and named else None


def _leaf(node: _Node, body: int, kind: ContentType, reason: Reason | None) -> Part:
    named = kind.parameters.get
    flowed, delsp = named("format", "").lower() == "flowed", named("delsp", "").lower() == "yes"
    charset, encoding = named("charset", "").strip(), _encoding(node.header)
    return Part(
        node.number or "1",
        body,
        node.end,
        kind.kind,
        charset,
        encoding,
        node.boundaries,
        flowed,
        delsp,
        reason,
    )


class Section(NamedTuple):
    """A message or one of its parts, seen for itself: for those who read what `parts` leaves closed."""

    data: bytes
    header: Header
    kind: str
    """Content type in lower case, `""` where it cannot be read."""
    parameters: dict[str, str]
    encoding: str
    body: int
    end: int
    """`data[body:end]` is its content as transferred."""


def section(data: bytes, start: int = 0, end: int | None = None) -> Section:
    """The message in `data`, or the part between the two places."""
    stop = len(data) if end is None else end
    header = read_header(data, start, stop)
    kind = _content_type(header) or ContentType("", {})
    body = stop if header.body is None else header.body
    return Section(data, header, kind.kind, kind.parameters, _encoding(header), body, stop)


def sections(whole: Section) -> list[Section]:
    """The parts of a multipart, whatever its subtype; none where it is no multipart or not a sound one.

    Raises TooManyPartsError."""
    boundary = whole.parameters.get("boundary", "")
    if not whole.kind.startswith("multipart/") or not boundary:
        return []
    ranges = _split(whole.data, whole.body, whole.end, boundary.encode("latin-1"))
    return [section(whole.data, start, end) for start, end in ranges]
