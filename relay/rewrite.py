"""A message compiled once and rendered per recipient: where to cut, and what goes there.

Every octet outside the cuts is the sender's own. Doubt leaves a link, a part or the whole message as it was,
with a reason; no input makes `compile_message` raise. Knows neither recipients nor tokens: it is given URLs.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import NamedTuple

from relay.charsets import Text, view
from relay.controls import Controls, read_block
from relay.edits import Edit, Effect, Findings, Kept, Link, html_edits, text_edits
from relay.mime import Header, Part, TooManyPartsError, parts, read_header
from relay.reasons import EXPLANATIONS, Reason
from relay.rulebook import Rulebook, Rules, rulebook
from relay.transfer import Chunk, Content, Slot, open_content

__all__ = ["EXPLANATIONS", "Kept", "Link", "Plan", "Reason", "Rendered", "Rules", "compile_message"]

MAX_BODY = 10 * 1024 * 1024
"""Octets of a body that is looked at, as transferred."""
CLIPPED = 100 * 1024
"""Gmail cuts an HTML body a little behind this; a pixel at its end would not be shown."""

_URL_OCTETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:"
"""A tracking URL of these needs encoding neither in HTML nor in quoted-printable."""
_PGP = re.compile(rb"-----BEGIN PGP ")


class _Body(NamedTuple):
    """A part with something to change."""

    start: int
    end: int
    content: Content
    codec: str
    """Of what is put in."""
    edits: tuple[Edit, ...]
    slots: tuple[Slot, ...]
    is_html: bool
    numbers: tuple[int, ...]
    """Of each edit's link; 0 where it is none."""
    others: tuple[tuple[int, Effect], ...]
    """The indexes of the edits that are no links."""


class Looked(NamedTuple):
    """A leaf part, for people: where it lies and what was found in it."""

    number: str
    """IMAP's numbering: `1`, `1.2`, …"""
    content_type: str
    encoding: str
    start: int
    end: int
    """`data[start:end]` is its content as transferred."""
    reason: Reason | None
    """Why all of it stays; None where it was looked into."""
    links: range
    """Those of `Plan.links` that were met here first."""
    kept: range
    """Those of `Plan.kept` that stand here."""


class PixelPlace(NamedTuple):
    """Where a copy has its pixel."""

    part: str
    effect: Effect
    """`PIXEL`, `PIXEL_AT_END` or `PIXEL_AT_START`."""


class Rendered(NamedTuple):
    """A copy of a message and what could not be done in it."""

    data: bytes
    unwrapped: tuple[int, ...]
    """Numbers of links that stayed somewhere because their line would have grown too long."""
    has_pixel: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What may be changed in a message. Rendering never changes the plan: one plan serves all recipients."""

    data: bytes = field(repr=False)
    untouched: Reason | None
    """Why the message as a whole is not tracked."""
    links: tuple[Link, ...] = ()
    kept: tuple[Kept, ...] = ()
    has_pixel_place: bool = False
    has_preferences_placeholder: bool = False
    parts: tuple[Looked, ...] = ()
    """The leaves in order; none where the message as a whole was not looked into."""
    _ranges: tuple[tuple[int, int], ...] = ()
    _bodies: tuple[_Body, ...] = field(default=(), repr=False)

    @property
    def alters_base(self) -> bool:
        """Is the body of an untracked copy other than the one that came?"""
        return any(effect in _IN_BASE for body in self._bodies for _, effect in body.others)

    def without(self, ranges: Sequence[tuple[int, int]]) -> Plan:
        """The same plan with these fields of the header block taken out too."""
        if not ranges:
            return self
        return replace(self, _ranges=tuple(sorted({*self._ranges, *ranges})))

    def base(self, *, preferences_url: str | None = None) -> bytes:
        """The untracked copy: control headers, marks and `notrack` prefixes gone, placeholders resolved.
        Where nothing has to go it is `data` itself, the same object. Without a preferences URL its
        placeholder stays."""
        return self._assemble({}, None, preferences_url).data

    def render(
        self,
        *,
        link_url: Callable[[Link], str] | None,
        pixel_url: str | None,
        preferences_url: str | None = None,
    ) -> bytes:
        """A tracked copy: the base with each link's URL and one pixel put in. `link_url` None leaves links
        as in the base, `pixel_url` None puts no pixel."""
        return self.rendered(link_url=link_url, pixel_url=pixel_url, preferences_url=preferences_url).data

    def rendered(
        self,
        *,
        link_url: Callable[[Link], str] | None,
        pixel_url: str | None,
        preferences_url: str | None = None,
    ) -> Rendered:
        """The same with what stayed. Raises ValueError for a tracking URL with characters that would need
        encoding."""
        urls = {} if link_url is None else {link.number: link_url(link).encode() for link in self.links}
        _refuse_odd([*urls.values(), (pixel_url or "/").encode()])
        return self._assemble(urls, pixel_url, preferences_url)

    def pixel_place(self, link_url: Callable[[Link], str] | None) -> PixelPlace | None:
        """Where the pixel of a copy with these links stands; None where there is no place for one."""
        urls = {} if link_url is None else {link.number: link_url(link).encode() for link in self.links}
        for body in self._bodies:
            effects = {edit.effect for edit in body.edits} & _PIXELS
            if effects:
                effect = Effect.PIXEL if Effect.PIXEL in effects else _pixel_effect(body, urls)
                return PixelPlace(
                    next(part.number for part in self.parts if part.start == body.start), effect
                )
        return None

    def _assemble(
        self, urls: Mapping[int, bytes], pixel_url: str | None, preferences_url: str | None
    ) -> Rendered:
        out: list[Chunk] = []
        unwrapped: set[int] = set()
        view_of_data = memoryview(self.data)
        at = 0
        for start, end in self._ranges:
            out.append(view_of_data[at:start])
            at = end
        for body in self._bodies:
            values = _values(body, urls, pixel_url, preferences_url)
            if all(value is None for value in values):
                continue
            out.append(view_of_data[at : body.start])
            left = body.content.write(body.slots, values, out)
            unwrapped.update(body.edits[index].number for index in left)
            at = body.end
        if at == 0:
            return Rendered(self.data, (), has_pixel=False)
        out.append(view_of_data[at:])
        # only the pixel has no number
        has_pixel = self.has_pixel_place and pixel_url is not None and 0 not in unwrapped
        return Rendered(b"".join(out), tuple(sorted(unwrapped - {0})), has_pixel)


def _refuse_odd(urls: Sequence[bytes]) -> None:
    if all(urls) and not b"".join(urls).translate(None, _URL_OCTETS):
        return
    odd = next(url for url in urls if not url or url.translate(None, _URL_OCTETS))
    raise ValueError(f"a tracking URL may not need encoding: {odd.decode()[:100]!r}")


_IN_BASE = frozenset({Effect.REMOVE, Effect.PREFERENCES, Effect.PIXEL})
"""What an untracked copy has instead of the author's placeholder or mark."""


def _values(
    body: _Body, urls: Mapping[int, bytes], pixel_url: str | None, preferences_url: str | None
) -> Sequence[bytes | None]:
    """What goes into each slot of a body; None where it stays."""
    values = [urls.get(number) for number in body.numbers]
    if body.codec != "ascii":
        values = [None if url is None else url.decode().encode(body.codec) for url in values]
    pixel, preferences = None, preferences_url
    if pixel_url is not None:
        pixel = f'<img src="{pixel_url}" width="1" height="1" alt="" style="display:block;border:0">'
    if preferences is not None and body.is_html:
        preferences = escape(preferences)
    place = _pixel_effect(body, urls) if pixel is not None else None
    for index, effect in body.others:
        text: str | None = None
        if effect is Effect.REMOVE:
            text = ""
        elif effect is Effect.PREFERENCES:
            text = preferences
        elif effect is Effect.PIXEL:
            text = pixel or ""
        elif effect is place:
            text = pixel
        values[index] = None if text is None else text.encode(body.codec)
    return values


def _pixel_effect(body: _Body, urls: Mapping[int, bytes]) -> Effect:
    """At the start where the body's end would be clipped, if there is a start."""
    if all(effect is not Effect.PIXEL_AT_START for _, effect in body.others):
        return Effect.PIXEL_AT_END
    size = body.content.size
    for number, slot in zip(body.numbers, body.slots, strict=True):
        if number in urls:
            size += len(urls[number]) - (slot.end - slot.start)
    return Effect.PIXEL_AT_START if size > CLIPPED else Effect.PIXEL_AT_END


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
        return _compile(data, header, controls, rulebook(rules or Rules()))
    except TooManyPartsError:
        return Plan(data=data, untouched=Reason.TOO_MANY_PARTS, _ranges=ranges)
    except Exception:  # noqa: BLE001 - mail that we fail on is passed on as it came
        return Plan(data=data, untouched=Reason.INTERNAL_ERROR, _ranges=ranges)


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
        return Plan(data=data, untouched=reason, _ranges=controls.ranges)
    findings = Findings(book=book, list_unsubscribe=controls.list_unsubscribe_urls)
    bodies: list[_Body] = []
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
        has_pixel_place=findings.has_pixel_place,
        has_preferences_placeholder=findings.has_preferences,
        parts=tuple(looked),
        _ranges=controls.ranges,
        _bodies=tuple(bodies),
    )


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


def _compile_part(data: bytes, part: Part, findings: Findings) -> _Body | Reason | None:
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
    if _PGP.search(octets):
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
) -> _Body:
    numbers = tuple([edit.number for edit in edits])
    others = tuple([(index, edit.effect) for index, edit in enumerate(edits) if edit.effect is not _LINK])
    codec = text.charset if text.wide else "ascii"
    return _Body(start, end, content, codec, tuple(edits), _slots(text, edits), is_html, numbers, others)


_ENCLOSED = frozenset({Effect.LINK, Effect.PIXEL_AT_END})
"""Behind these stands a quote, a blank, or the start of a tag, and never a hyphen."""


def _may_end_early(body: _Body, boundaries: Sequence[bytes]) -> bool:
    """Taking something out of the text, or breaking a line behind it, could make a delimiter line.

    Boundaries are chosen not to occur in what they enclose (RFC 2046 5.1.1), so any trace of one, before or
    after, is reason enough."""
    if not boundaries or all(edit.effect in _ENCLOSED for edit in body.edits):
        return False
    text = body.content.decoded
    pieces, at = [], 0
    for edit, slot in zip(body.edits, body.slots, strict=True):
        if edit.effect is not Effect.LINK:
            pieces.append(text[at : slot.start])
            at = slot.end
    joined = b"".join((*pieces, text[at:]))
    delimiters = [b"--" + boundary for boundary in boundaries]
    return any(delimiter in joined or delimiter in text for delimiter in delimiters)


def _only_enclosed(body: _Body, text: Text, findings: Findings) -> _Body:
    """The body with its links and the pixel at its end; placeholders and marks stay."""
    edits = [edit for edit in body.edits if edit.effect in _ENCLOSED]
    if any(edit.effect is Effect.PIXEL for edit in body.edits):
        findings.has_pixel_place = False
    findings.keep("placeholders", "", Reason.DELIMITER)
    return _body(body.start, body.end, body.content, text, edits, is_html=body.is_html)


def _may_have_edits(decoded: bytes, findings: Findings) -> bool:
    return (
        findings.book.rules.wrap_plain_text or b"{{" in decoded or b"notrack" in decoded or b"\x00" in decoded
    )


_PIXELS = frozenset({Effect.PIXEL, Effect.PIXEL_AT_END, Effect.PIXEL_AT_START})


def _slots(text: Text, edits: Sequence[Edit]) -> tuple[Slot, ...]:
    if text.wide:
        offsets = iter(text.offsets([position for edit in edits for position in (edit.start, edit.end)]))
        edits = [edit._replace(start=next(offsets), end=next(offsets)) for edit in edits]
    return tuple(
        [
            Slot(start, end, True) if effect is _LINK else Slot(start, end, *_MANNER[effect])
            for start, end, effect, _ in edits
        ]
    )


_LINK = Effect.LINK
_MANNER: Mapping[Effect, tuple[bool, bytes | None, bool]] = {
    effect: (effect in _PIXELS, b"" if effect is Effect.PIXEL else None, effect in _PIXELS)
    for effect in Effect
}
"""Whether a slot of the effect is optional, its fallback, and whether a line may end before it."""
