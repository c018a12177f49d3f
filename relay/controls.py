"""A message's control headers: what its sender asks of us, and which bytes go before it is forwarded.

Knows our own header names and how each value is read, and asks `relay.aliases` about those of other services; a value
that is not understood asks for less. Only
the message's own header block counts, never an attached message's. Whether a wish is granted is decided
elsewhere. Pure, and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, islice

from relay.aliases import EVERY, MAX_NAME, MAX_TAG, Aliases, Found, applied, with_tags
from relay.fieldtext import MAX_FIELD, for_people
from relay.mime import Header, header_end, read_header
from relay.submission import Options

MAX_MISREAD = 10

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
    """(the field's name, `unknown-header` or `unknown-value`): wishes that are not understood, the first few."""
    list_unsubscribe_urls: frozenset[str] = frozenset()
    """The URLs of List-Unsubscribe (RFC 2369), as written."""

    idle: tuple[str, ...] = ()
    """Names of other services' fields that mean nothing here, the first few."""

    @property
    def override(self) -> bool:
        return self.options.override


def read(data: bytes, aliases: Aliases = EVERY) -> Controls:
    """Read the control headers of a message. Never raises: what cannot be read is not there."""
    return read_block(read_header(data), aliases)


def read_block(header: Header, aliases: Aliases = EVERY) -> Controls:
    """The same for a header block that was found already."""
    if header.overlong:
        return read_own(header.data, aliases)
    options = Options()
    ranges: list[tuple[int, int]] = []
    shown = {"subject": "", "from": "", "message-id": ""}
    is_signed = False
    received = 0
    unsubscribe: list[str] = []
    misread: dict[tuple[str, str], None] = {}
    others: list[Found] = []
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
            misread[_told(name), "unknown-header"] = None
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
        elif name.startswith("x-") and (alias := aliases.find(name)) is not None:
            spelt = header.data[entry.start : entry.start + len(name)].decode("latin-1")
            others.append(Found(alias, spelt, header.value(entry)))
            if name not in aliases.passed:
                ranges.append((entry.start, entry.end))
    if others:
        options, not_understood = applied(options, others)
        misread |= {(_told(one.name), one.why): None for one in not_understood}
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
        misread=tuple(
            (name if name[0].isupper() else _spelt(name), why) for name, why in islice(misread, MAX_MISREAD)
        ),
        list_unsubscribe_urls=frozenset(_BLANKS.sub("", url) for url in unsubscribe),
        idle=tuple(dict.fromkeys(one.alias.header for one in others if one.alias.effect is None))[
            :MAX_MISREAD
        ],
    )


def read_own(data: bytes, aliases: Aliases = EVERY) -> Controls:
    """Only what must not be missed: the fields that are ours to read, which go and are taken for wishes for less, and
    the number of hops. For header blocks that nobody reads field by field; so a plain search, and nothing kept per line."""
    stop, _ = header_end(data, 0, len(data))
    ranges: list[tuple[int, int]] = []
    received = 0
    at_start, further = _own(aliases.expression)
    first = at_start.match(data, 0, stop)
    behind = further.finditer(data, first.end() if first else 0, stop)
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


@lru_cache(maxsize=4)
def _own(others: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """At the beginning of the block, and behind a line end."""
    own = (
        rb"(?:((?i:x-candor-[!-9;-~]*+|x-tracking-consent|"
        + others
        + rb")[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+)"
        rb"|(?i:received)[ \t]*+:)"
    )
    return re.compile(own), re.compile(rb"\n" + own)


_SIGNATURES = frozenset({"dkim-signature", "domainkey-signature"})
_URL = re.compile(r"<([^<>]*+)>")
_BLANKS = re.compile(r"[ \t\r\n]+")


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
    return with_tags(options, [_plain(value, MAX_TAG)])


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
_PLAIN_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")
"""What may be repeated of a name that we do not know: it may hold anything, even an address."""


def _told(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else f"{name[: name.find('-', 2) + 1]}…"


def _spelt(name: str) -> str:
    return "-".join(map(str.capitalize, name.split("-")))


def _yes(value: str) -> bool:
    return value.strip().lower() == "yes"


def _plain(value: str, limit: int) -> str:
    """A name for reports: decoded, one line, no control characters, at most `limit` characters."""
    return for_people(value[:MAX_FIELD].encode("latin-1", "replace"))[:limit].strip()
