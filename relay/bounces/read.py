"""Which kind of report a message is, and what it says."""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from dataclasses import replace

from relay.bounces import prose, status
from relay.bounces.feedback import feedback
from relay.bounces.fields import MOST_OCTETS, address, line
from relay.bounces.report import Fate, Kind, Report
from relay.mime import Header, Section, TooManyPartsError, read_header, section, sections

_DEEPEST = 5
_MOST_ADDRESSES = 20
_STATUS = ("message/delivery-status", "message/global-delivery-status")
_ORIGINAL = (
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
)
_AUTOMATIC = {
    "auto-submitted": re.compile(r"(?i)\s*auto-"),
    "x-autoreply": re.compile(r"(?i)\s*yes|\s*true"),
    "x-autorespond": re.compile(r"."),
    "precedence": re.compile(r"(?i)\s*auto_?reply"),
}


def read(data: bytes) -> Report:
    """The report in a message. Never raises for what it holds; looks at no more of it than a report needs."""
    try:
        return _read(section(data))
    except TooManyPartsError:
        return Report(kind=Kind.OTHER)


def _read(whole: Section) -> Report:
    parts = _report_parts(whole)
    by_kind = {part.kind: part for part in reversed(parts)}
    original = next((by_kind[kind] for kind in _ORIGINAL if kind in by_kind), None)
    if (machine := by_kind.get("message/feedback-report")) is not None:
        return feedback(_content(machine), _return_path(original))
    for kind in _STATUS:
        if kind in by_kind:
            reporter, fates = status.fates(_content(by_kind[kind]))
            if fates:
                paths = tuple(path for path in (address(_return_path(original)),) if path)
                return Report(kind=Kind.DELIVERY, fates=fates, reporter=reporter, return_paths=paths)
    return _for_people(whole)


def _report_parts(whole: Section) -> list[Section]:
    """The parts of a multipart/report; some writers say multipart/mixed, and lists put one around it."""
    parts = sections(whole)
    for _ in range(_DEEPEST):
        if any(part.kind in _STATUS or part.kind == "message/feedback-report" for part in parts):
            return parts
        inner = [part for part in parts if part.kind == "multipart/report"]
        if not inner:
            break
        parts = sections(inner[0])
    return []


def _for_people(whole: Section) -> Report:
    header = whole.header
    if header.values("x-failed-recipients"):
        named = header.values("x-failed-recipients")[0].split(",")[:_MOST_ADDRESSES]
        known = frozenset(found for one in named if (found := address(one)))
        return _delivery(replace(prose.failed(_text(whole)), recipients=known), header)
    automatic = any(
        pattern.match(value) for name, pattern in _AUTOMATIC.items() for value in header.values(name)
    )
    if any(prose.from_a_program(value, automatic=automatic) for value in header.values("from")):
        fate = prose.refused(_text(whole))
        if fate is not None:
            return _delivery(fate, header)
    return Report(kind=Kind.AUTOMATIC if automatic else Kind.OTHER)


def _delivery(fate: Fate, header: Header) -> Report:
    author = next(iter(header.values("from")), "").rpartition("@")[2]
    reporter = line(re.split(r"[^A-Za-z0-9._:\[\]-]", author)[0], 255)
    fate = replace(fate, host=fate.host or reporter)
    return Report(kind=Kind.DELIVERY, fates=(fate,), reporter=reporter)


def _text(whole: Section) -> str:
    """What the message says to people, as far as that is plain text."""
    part = whole
    for _ in range(_DEEPEST):
        if not part.kind.startswith("multipart/"):
            break
        inner = sections(part)
        if not inner:
            break
        plain = (
            one for one in inner if one.kind in ("text/plain", "multipart/alternative", "multipart/related")
        )
        part = next(plain, inner[0])
    return _content(part).decode("latin-1") if part.kind == "text/plain" else ""


def _return_path(original: Section | None) -> str:
    """That of the original which is attached."""
    if original is None:
        return ""
    octets = _content(original)
    return next(iter(read_header(octets).values("return-path")), "")


def _content(part: Section) -> bytes:
    """The beginning of a part, decoded."""
    octets = part.data[part.body : min(part.end, part.body + MOST_OCTETS)]
    if part.encoding == "base64":
        clean = re.sub(rb"[^A-Za-z0-9+/]+", b"", octets)
        try:
            return base64.b64decode(clean[: len(clean) // 4 * 4])
        except binascii.Error:
            return b""
    return quopri.decodestring(octets) if part.encoding == "quoted-printable" else octets
