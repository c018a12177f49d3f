"""What may be changed in a message, and the copies that come of it: the sender's octets and what is put between.

Knows neither how it was found nor recipients nor tokens: it is given URLs. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import NamedTuple

from relay.edits import Edit, Effect, Kept, Link
from relay.reasons import Reason
from relay.transfer import Chunk, Content, Slot
from relay.transfer.raw import Raw

CLIPPED = 100 * 1024
"""Gmail cuts an HTML body a little behind this; a pixel at its end would not be shown."""

_URL_OCTETS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:"
"""A tracking URL of these needs encoding neither in HTML nor in quoted-printable."""


class Body(NamedTuple):
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
    may_begin_with_pixel: bool
    must_begin_with_pixel: bool = False
    """There is no place at its end."""


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
    order: tuple[int, ...] = ()
    """Both as they stand in the message: a link by its number, what stays by -1 for the first of `kept`, and so on."""
    has_pixel_place: bool = False
    has_preferences_placeholder: bool = False
    parts: tuple[Looked, ...] = ()
    """The leaves in order; none where the message as a whole was not looked into."""
    cuts: tuple[tuple[int, int], ...] = ()
    """Of header fields that go."""
    bodies: tuple[Body, ...] = field(default=(), repr=False)

    @property
    def alters_base(self) -> bool:
        """Is the body of an untracked copy other than the one that came?"""
        return any(effect in _IN_BASE for body in self.bodies for _, effect in body.others)

    def without(self, ranges: Sequence[tuple[int, int]]) -> Plan:
        """The same plan with these fields of the header block taken out too."""
        if not ranges:
            return self
        return replace(self, cuts=tuple(sorted({*self.cuts, *ranges})))

    def base(self, *, preferences_url: str | None = None) -> bytes:
        """The untracked copy: control headers, marks and `notrack` prefixes gone, placeholders resolved.
        Where nothing has to go it is `data` itself, the same object. Without a preferences URL its
        placeholder stays."""
        return self._assemble(self._unwrapped(), None, preferences_url).data

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
        urls = [] if link_url is None else [link_url(link).encode() for link in self.links]
        _refuse_odd([*urls, (pixel_url or "/").encode()])
        by_number = self._unwrapped() if link_url is None else [None, *urls]
        return self._assemble(by_number, pixel_url, preferences_url)

    def _unwrapped(self) -> Sequence[bytes | None]:
        """For `_assemble`: what has number 0 is no link, and those begin at 1."""
        return [None] * (len(self.links) + 1)

    def has_room(self, octets: int) -> bool:
        """Whether every link can be wrapped in tracking URLs of at most so many octets, whatever else its line holds.
        Quickly told, and True of nearly all mail."""
        return all(
            body.content.has_room(body.slots, octets) for body in self.bodies if isinstance(body.content, Raw)
        )

    def staying(self, url_length: Callable[[Link], int]) -> frozenset[int]:
        """Numbers of the links that stay in every copy, since with tracking URLs of such a length their lines would
        grow too long."""
        urls = [None, *[b"x" * url_length(link) for link in self.links]]
        left: set[int] = set()
        wrapped: set[int] = set()
        for body in self.bodies:
            gone: Sequence[int] = ()
            if isinstance(body.content, Raw):  # the encoded ones break their lines anew
                gone = body.content.write(body.slots, [urls[number] for number in body.numbers], [])
            for index, number in enumerate(body.numbers):
                (left if index in gone else wrapped).add(number)
        return frozenset(left - wrapped - {0})

    def pixel_place(self, link_url: Callable[[Link], str] | None) -> PixelPlace | None:
        """Where the pixel of a copy with these links stands; None where there is no place for one."""
        urls = self._unwrapped()
        if link_url is not None:
            urls = [None, *[link_url(link).encode() for link in self.links]]
        for body in self.bodies:
            effects = {edit.effect for edit in body.edits} & PIXELS
            if effects:
                effect = Effect.PIXEL if Effect.PIXEL in effects else _pixel_effect(body, urls)
                return PixelPlace(
                    next(part.number for part in self.parts if part.start == body.start), effect
                )
        return None

    def _assemble(
        self, urls: Sequence[bytes | None], pixel_url: str | None, preferences_url: str | None
    ) -> Rendered:
        out: list[Chunk] = []
        unwrapped: set[int] = set()
        view_of_data = memoryview(self.data)
        at = 0
        for start, end in self.cuts:
            out.append(view_of_data[at:start])
            at = end
        for body in self.bodies:
            values = _values(body, urls, pixel_url, preferences_url)
            if values.count(None) == len(values):
                continue
            out.append(view_of_data[at : body.start])
            left = body.content.write(body.slots, values, out)
            if left:
                edits = [body.edits[index] for index in left]
                unwrapped.update([edit.number for edit in edits if edit.effect is not Effect.PREFERENCES])
            at = body.end
        if at == 0:
            return _new(Rendered, (self.data, (), False))
        out.append(view_of_data[at:])
        # only the pixel has no number
        has_pixel = self.has_pixel_place and pixel_url is not None and 0 not in unwrapped
        numbers = tuple(sorted(unwrapped - {0})) if unwrapped else ()
        return _new(Rendered, (b"".join(out), numbers, has_pixel))


_new = tuple.__new__  # half the time of a NamedTuple's constructor


def _refuse_odd(urls: Sequence[bytes]) -> None:
    if all(urls) and not b"".join(urls).translate(None, _URL_OCTETS):
        return
    odd = next(url for url in urls if not url or url.translate(None, _URL_OCTETS))
    raise ValueError(f"a tracking URL may not need encoding: {odd.decode()[:100]!r}")


PIXELS = frozenset({Effect.PIXEL, Effect.PIXEL_AT_END, Effect.PIXEL_AT_START})
_IN_BASE = frozenset({Effect.REMOVE, Effect.PREFERENCES, Effect.PIXEL})
"""What an untracked copy has instead of the author's placeholder or mark."""


def _values(
    body: Body, urls: Sequence[bytes | None], pixel_url: str | None, preferences_url: str | None
) -> list[bytes | None]:
    """What goes into each slot of a body; None where it stays."""
    values = [urls[number] for number in body.numbers]
    if body.codec != "ascii":
        values = [None if url is None else url.decode().encode(body.codec) for url in values]
    pixel = place = None
    if pixel_url is not None:
        pixel = f'<img src="{pixel_url}" width="1" height="1" alt="" style="display:block;border:0">'
        place = _pixel_effect(body, urls)
    for index, effect in body.others:
        text: str | None = None
        if effect is place:
            text = pixel
        elif effect is Effect.REMOVE:
            text = ""
        elif effect is Effect.PREFERENCES:
            text = (
                escape(preferences_url) if preferences_url is not None and body.is_html else preferences_url
            )
        elif effect is Effect.PIXEL:
            text = pixel or ""
        values[index] = None if text is None else text.encode(body.codec)
    return values


def _pixel_effect(body: Body, urls: Sequence[bytes | None]) -> Effect:
    """At the start where the body's end would be clipped, if there is a start."""
    if not body.may_begin_with_pixel:
        return Effect.PIXEL_AT_END
    if body.must_begin_with_pixel:
        return Effect.PIXEL_AT_START
    new = [urls[number] for number in body.numbers]
    size = body.content.size + sum([len(url) for url in new if url is not None])
    if size <= CLIPPED:
        return Effect.PIXEL_AT_END
    for url, slot in zip(new, body.slots, strict=True):
        size -= slot.end - slot.start if url is not None else 0
    return Effect.PIXEL_AT_START if size > CLIPPED else Effect.PIXEL_AT_END
