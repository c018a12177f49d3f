"""What a message says to a relay, in words of ours and of other services: what each did there and does here. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from relay import html
from relay.aliases import EVERY, SERVICES, Aliases, Found, applied
from relay.aliases.marks import MARKS
from relay.charsets import Text, view
from relay.controls import OWN_PREFIX, Controls, read_block
from relay.mime import TooManyPartsError, parts, read_header
from relay.reasons import Reason
from relay.submission import Options
from relay.transfer import open_content

_CANDOR = {
    "x-candor-track-opens": "a pixel, or none",
    "x-candor-track-clicks": "wrapped links, or none",
    "x-candor-override": "passes over consent, where `[override]` permits it",
    "x-candor-tag": "a tag of the message",
    "x-candor-campaign": "the campaign",
    "x-candor-variant": "the variant",
    "x-candor-class": "the class, which the policy looks at",
    "x-tracking-consent": "the recipient's consent, from who is trusted with it",
}
_MISSPELT = "taken for a misspelt wish: the message is not tracked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A header or a mark. `times`: how often it is there."""

    what: str
    service: str
    there: str
    here: str
    grade: str = ""
    times: int = 1
    misread: bool = False
    """Its value, or the header itself, is not understood, and was read as asking for less."""
    idle: bool = False
    """It means nothing here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    lines: tuple[Line, ...]
    options: Options
    """What comes of all the headers."""

    @property
    def is_misread(self) -> bool:
        return any(line.misread for line in self.lines)


def lint(data: bytes, aliases: Aliases = EVERY, policies: Collection[str] = ()) -> Lint:
    """`policies`: names of configuration sets that the configuration knows. Never raises."""
    header = read_header(data)
    controls = read_block(header, aliases)
    found: list[Line] = []
    for entry in header.fields:
        spelt = data[entry.start : entry.start + len(entry.name)].decode("latin-1")
        if entry.name.startswith(OWN_PREFIX) or entry.name in _CANDOR:
            found.append(_own(entry.name, spelt, controls))
        elif (alias := EVERY.find(entry.name)) is not None:
            line = _others(Found(alias, spelt, header.value(entry)), aliases, policies)
            contradicted = any(one.lower() == entry.name for one, _ in controls.misread)
            found.append(replace(line, misread=line.misread or contradicted))
    with suppress(Exception):  # a body that cannot be read has no marks to tell of, as when it is rewritten
        found += _marks(data)
    lines = tuple(replace(line, times=times) for line, times in Counter(found).items())
    return Lint(lines=lines, options=controls.options)


def _own(name: str, spelt: str, controls: Controls) -> Line:
    misread = any(one.lower() == name for one, _ in controls.misread)
    here = _CANDOR.get(name, _MISSPELT)
    return Line(what=spelt, service="Candor", there="", here=here, misread=misread or name not in _CANDOR)


def _others(one: Found, aliases: Aliases, policies: Collection[str]) -> Line:
    alias = one.alias
    _, misread = applied(Options(), [one])
    here, name = alias.here, one.name.lower()
    is_misread = bool(misread) or _names_no_policy(one, policies)
    if aliases.find(name) is None:
        here, is_misread = (
            "nothing: `[compat] services` leaves this service out, so it stays in the mail",
            False,
        )
    elif name in aliases.passed:
        here += "; forwarded (`[compat] pass`)"
    return Line(
        what=one.name,
        service=SERVICES[alias.service],
        there=alias.there,
        here=here,
        grade=str(alias.grade),
        misread=is_misread,
        idle=alias.effect is None or aliases.find(name) is None,
    )


def _names_no_policy(one: Found, policies: Collection[str]) -> bool:
    name = applied(Options(), [one])[0].policy
    return bool(policies) and name is not None and name not in policies


def _marks(data: bytes) -> Iterator[Line]:
    for text in _html(data):
        document = html.read(text.scan, text.read, closely=True)
        for tag in document.tags():
            for mark in MARKS:
                value = mark.value(tag.attrs)
                if value is not None:
                    yield _mark(mark.written, not mark.is_understood(value))
        for mark in MARKS:
            for _ in mark.word.finditer(text.scan) if mark.word else ():
                yield _mark(mark.written, False)


def _mark(written: str, misread: bool) -> Line:
    mark = next(one for one in MARKS if one.written == written)
    return Line(
        what=written,
        service=mark.service,
        there=mark.there,
        here=mark.here,
        grade=str(mark.grade),
        misread=misread,
        idle=mark.here.startswith("nothing"),
    )


def _html(data: bytes) -> Iterator[Text]:
    """The HTML bodies that can be read."""
    header = read_header(data)
    try:
        leaves = list(parts(data, header))
    except TooManyPartsError:
        return
    for part in leaves:
        if part.content_type != "text/html" or part.reason is not None:
            continue
        content = open_content(data, part.body, part.end, part.encoding)
        if isinstance(content, Reason):
            continue
        text = view(content.decoded, part.charset)
        if not isinstance(text, Reason):
            yield text
