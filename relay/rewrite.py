"""A message compiled once: what may be changed in it, and where.

Every octet outside the cuts is the sender's own. Doubt leaves a link, a part or the whole message as it was,
with a reason; no input makes `compile_message` raise. Knows neither recipients nor tokens. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from relay.charsets import Text, view
from relay.controls import Controls, read_block
from relay.edits import Edit, Effect, Findings, Kept, Link, html_edits, text_edits
from relay.mime import Header, Part, TooManyPartsError, parts, read_header
from relay.plan import PIXELS, Body, Looked, PixelPlace, Plan, Rendered
from relay.reasons import EXPLANATIONS, Reason
from relay.rulebook import Rulebook, Rules, rulebook
from relay.submission import Options
from relay.transfer import Content, Slot, open_content

__all__ = [
    "EXPLANATIONS",
    "Kept",
    "Link",
    "Looked",
    "PixelPlace",
    "Plan",
    "Reason",
    "Rendered",
    "Rules",
    "compile_message",
]

MAX_BODY = 10 * 1024 * 1024
"""Octets of a body that is looked at, as transferred."""

_PGP = b"-----BEGIN PGP "


def compile_message(
    data: bytes,
    rules: Rules | None = None,
    *,
    header: Header | None = None,
    controls: Controls | None = None,
) -> Plan:
    """Find what may be changed in a message. Never raises: what is not understood is left untouched.

    `header` and `controls` save reading the header block a second time."""
    ranges: tuple[tuple[int, int], ...] = ()
    try:
        header = header or read_header(data)
        controls = controls or read_block(header)
        ranges = controls.ranges
        return _compile(data, header, controls, rulebook(_wished(rules or Rules(), controls.options)))
    except TooManyPartsError:
        return Plan(data=data, untouched=Reason.TOO_MANY_PARTS, cuts=ranges)
    except Exception:  # noqa: BLE001 - mail that we fail on is passed on as it came
        return Plan(data=data, untouched=Reason.INTERNAL_ERROR, cuts=ranges)


def _wished(rules: Rules, options: Options) -> Rules:
    """The rules for a message that asks for less than all of them."""
    if options.html_links and options.text_links:
        return rules
    return replace(
        rules,
        wrap_html=rules.wrap_html and options.html_links,
        wrap_plain_text=rules.wrap_plain_text and options.text_links,
    )


def _compile(data: bytes, header: Header, controls: Controls, book: Rulebook) -> Plan:
    reason = None
    if controls.is_signed and not book.rules.track_signed:
        reason = Reason.SIGNED_DKIM
    elif header.overlong:
        reason = Reason.HEADER_TOO_LARGE
    elif header.malformed:
        reason = Reason.MALFORMED_HEADER
    elif header.body is None:
        reason = Reason.NO_BODY
    if reason is not None:
        return Plan(data=data, untouched=reason, cuts=controls.ranges)
    findings = Findings(
        book=book,
        list_unsubscribe=controls.list_unsubscribe_urls,
        pixel_first=controls.options.pixel_first,
    )
    bodies: list[Body] = []
    seen: list[tuple[Part, Reason | None]] = []
    looked: list[Looked] = []
    for part in parts(data, header):
        links, kept = len(findings.links), len(findings.kept)
        result = _compile_part(data, part, findings)
        looked.append(_looked(part, result, findings, links, kept))
        if isinstance(result, Reason):
            findings.kept.append(Kept(what=f"part {part.number}, {part.content_type}", reason=result))
            seen.append((part, result))
        else:
            seen.append((part, None))
            if result is not None:
                bodies.append(result)
    return Plan(
        data=data,
        untouched=None if findings.links or findings.has_pixel_place else _why_untouched(seen),
        links=tuple(findings.links),
        kept=tuple(findings.kept),
        order=tuple(findings.order),
        has_pixel_place=findings.has_pixel_place,
        has_preferences_placeholder=findings.has_preferences and _is_filled_in(bodies),
        parts=tuple(looked),
        cuts=controls.ranges,
        bodies=tuple(bodies),
    )


def _is_filled_in(bodies: Sequence[Body]) -> bool:
    """Whether a preferences placeholder is left to be filled in: those of a body that might end early stay."""
    return any(effect is Effect.PREFERENCES for body in bodies for _, effect in body.others)


def _looked(part: Part, result: object, findings: Findings, links: int, kept: int) -> Looked:
    """What is said of a part; before it there were so many `links` and `kept`."""
    reason = result if isinstance(result, Reason) else part.reason
    if reason is None and part.content_type not in ("text/html", "text/plain"):
        reason = Reason.OTHER_TYPE
    elif reason is None and part.content_type == "text/plain" and not findings.book.rules.wrap_plain_text:
        reason = Reason.PLAIN_TEXT if result is None else None
    where = (part.number, part.content_type, part.encoding, part.body, part.end)
    return Looked(*where, reason, range(links, len(findings.links)), range(kept, len(findings.kept)))


_TELLING = frozenset(
    {
        Reason.SIGNED,
        Reason.ENCRYPTED,
        Reason.SMIME,
        Reason.REPORT,
        Reason.DIGEST,
        Reason.UNKNOWN_MULTIPART,
        Reason.MALFORMED_MULTIPART,
        Reason.MALFORMED_TYPE,
        Reason.TOO_DEEP,
        Reason.NO_BLANK_LINE,
    }
)
"""Reasons that say why no HTML body was found."""


def _why_untouched(seen: Sequence[tuple[Part, Reason | None]]) -> Reason:
    for part, reason in seen:
        if part.content_type == "text/html":
            if reason is None:
                return Reason.NOTHING_TO_TRACK
            if reason is not Reason.ATTACHMENT:
                return reason
    return next((reason for _, reason in seen if reason in _TELLING and reason), Reason.NO_HTML)


def _compile_part(data: bytes, part: Part, findings: Findings) -> Body | Reason | None:
    """A body with its edits; why the part stays; or None where it is nothing to us or has no edits."""
    is_html = part.content_type == "text/html"
    if part.reason is not None:
        return part.reason if is_html or part.reason in _TELLING else None
    if not is_html and part.content_type != "text/plain":
        return None
    if part.end - part.body > MAX_BODY:
        return Reason.TOO_LARGE
    content = open_content(data, part.body, part.end, part.encoding)
    if isinstance(content, Reason):
        return content if is_html else None
    octets = content.decoded
    if not octets or octets.isspace():
        return None
    if not is_html and not _may_have_edits(octets, findings):
        return None
    if _PGP in octets:
        return Reason.PGP
    text = view(octets, part.charset)
    del octets  # of a large body this is megabytes
    if isinstance(text, Reason):
        return text if is_html else None
    if text.wide and part.encoding not in ("base64", "quoted-printable"):
        # line ends and NULs of wide charsets do not survive unencoded (RFC 2045 2.8)
        return Reason.CHARSET_MISMATCH
    if is_html:
        edits = html_edits(text, findings)
    else:
        edits = text_edits(text, findings, flowed=part.flowed, delsp=part.delsp)
    if not edits:
        return None
    body = _body(part.body, part.end, content, text, edits, is_html=is_html)
    if part.encoding != "base64" and _may_end_early(body, part.boundaries):
        return _only_enclosed(body, text, findings)
    return body


def _body(
    start: int, end: int, content: Content, text: Text, edits: Sequence[Edit], *, is_html: bool
) -> Body:
    numbers = tuple([number for _, _, _, number in edits])
    others = tuple([(index, effect) for index, (_, _, effect, _) in enumerate(edits) if effect is not _LINK])
    codec = text.charset if text.wide else "ascii"
    may_begin = any(effect is Effect.PIXEL_AT_START for _, effect in others)
    must_begin = may_begin and not any(effect is Effect.PIXEL_AT_END for _, effect in others)
    slots = _slots(text, edits)
    what = (start, end, content, codec, tuple(edits), slots, is_html, numbers, others)
    return Body(*what, may_begin, must_begin)


_ENCLOSED = frozenset({Effect.LINK, Effect.PIXEL_AT_END})
"""Behind these stands a quote, a blank, or the start of a tag, and never a hyphen."""


def _may_end_early(body: Body, boundaries: Sequence[bytes]) -> bool:
    """Taking something out of the text, or breaking a line behind it, could make a delimiter line.

    Boundaries are chosen not to occur in what they enclose (RFC 2046 5.1.1), so any trace of one, before or
    after, is reason enough."""
    if not boundaries or all(edit.effect in _ENCLOSED for edit in body.edits):
        return False
    text = body.content.decoded
    pieces, at = [], 0
    for edit, slot in zip(body.edits, body.slots, strict=True):
        if edit.effect is not Effect.LINK:
            if slot.start and text[slot.start - 1] == 0x0D:
                return True  # with a line feed behind it, the CR would be half of the delimiter's line end
            pieces.append(text[at : slot.start])
            at = slot.end
    joined = b"".join((*pieces, text[at:]))
    delimiters = [b"--" + boundary for boundary in boundaries]
    return any(delimiter in joined or delimiter in text for delimiter in delimiters)


def _only_enclosed(body: Body, text: Text, findings: Findings) -> Body:
    """The body with its links and the pixel at its end; placeholders and marks stay."""
    edits = [edit for edit in body.edits if edit.effect in _ENCLOSED]
    if any(edit.effect in PIXELS for edit in body.edits) and not any(edit.effect in PIXELS for edit in edits):
        findings.has_pixel_place = False
    if any(edit.effect not in _ENCLOSED and edit.effect is not Effect.PIXEL_AT_START for edit in body.edits):
        findings.keep("placeholders", "", Reason.DELIMITER)
    return _body(body.start, body.end, body.content, text, edits, is_html=body.is_html)


def _may_have_edits(decoded: bytes, findings: Findings) -> bool:
    return (
        findings.book.rules.wrap_plain_text or b"{{" in decoded or b"notrack" in decoded or b"\x00" in decoded
    )


def _slots(text: Text, edits: Sequence[Edit]) -> tuple[Slot, ...]:
    if text.wide:
        offsets = iter(text.offsets([position for edit in edits for position in (edit.start, edit.end)]))
        edits = [edit._replace(start=next(offsets), end=next(offsets)) for edit in edits]
    return tuple(
        [
            _new(Slot, (start, end, True, None, False, False, not text.wide))
            if effect is _LINK
            else Slot(start, end, *_MANNER[effect])
            for start, end, effect, _ in edits
        ]
    )


_LINK = Effect.LINK
_new = tuple.__new__  # half the time of a NamedTuple's constructor
_MANNER: Mapping[Effect, tuple[bool, bytes | None, bool, bool]] = {
    effect: (
        effect is not Effect.REMOVE,
        b"" if effect is Effect.PIXEL else None,
        effect in PIXELS,
        effect is Effect.PREFERENCES,
    )
    for effect in Effect
}
"""Whether a slot of the effect is optional, its fallback, whether a line may end before it, and whether it has room
before others: a placeholder is filled in in the tracked copy where it is in the untracked one."""
