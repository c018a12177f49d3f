"""What the values of other services' headers do to a message's options.

Each effect is given the options so far and one field, and answers with the options after it and whether it understood
the value. It only ever asks for less, or names things. A value that could have asked for less and is not understood is
taken to have asked for it. Addresses that stand in such a header are never kept. Pure, and never raises.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from relay.fieldtext import one_line
from relay.submission import Options

MAX_TAGS = 20
MAX_TAG = 128
MAX_NAME = 128
"""Campaign, variant, and the name of a variable."""
MAX_METADATA = 20
"""Variables of a message."""
MAX_VALUE = 256
"""Characters of a variable."""


class Given(NamedTuple):
    """One field of a message."""

    name: str
    """What stands for the `*` of a family of headers, as the sender spells it; else `""`."""
    value: str
    """Unfolded, its encoded words decoded."""


Effect = Callable[[Options, Given], tuple[Options, bool]]

ON = frozenset({"yes", "true", "1", "on", "enabled"})
OFF = frozenset({"no", "false", "0", "off", "none", "disabled"})
Less = Mapping[str, Any]
"""Fields of `Options` that become False."""
NO_OPENS: Less = {"opens": False}
NO_CLICKS: Less = {"clicks": False}
NOTHING: Less = {"opens": False, "clicks": False}
HTML_ONLY: Less = {"text_links": False}
TEXT_ONLY: Less = {"html_links": False}
AS_EVER: Less = {}


def _asking(options: Options, less: Less) -> Options:
    return replace(options, **less) if less else options


# --- switches ---


def switch(less: Less) -> Effect:
    """On changes nothing; off, and whatever is neither, asks for less."""

    def effect(options: Options, given: Given) -> tuple[Options, bool]:
        said = _flag(given.value)
        return (options if said else _asking(options, less)), said is not None

    return effect


def choice(words: Mapping[str, Less], otherwise: Less) -> Effect:
    """Words of its own beside on and off, in lower case; `otherwise` for off and for what is not understood."""

    def effect(options: Options, given: Given) -> tuple[Options, bool]:
        word = given.value.strip().lower()
        if word in words:
            return _asking(options, words[word]), True
        said = _flag(word)
        return (options if said else _asking(options, otherwise)), said is not None

    return effect


def pixel_first(options: Options, given: Given) -> tuple[Options, bool]:
    said = _flag(given.value)
    return (replace(options, pixel_first=True) if said else options), said is not None


def unheard_of(options: Options, given: Given) -> tuple[Options, bool]:
    """A misspelt wish was still a wish, and most of them ask for less."""
    return _asking(options, NOTHING), False


_MANDRILL: Mapping[str, Less] = {
    "clicks": AS_EVER,
    "clicks_all": AS_EVER,
    "clicks_htmlonly": HTML_ONLY,
    "clicks_textonly": TEXT_ONLY,
}


def allowed(options: Options, given: Given) -> tuple[Options, bool]:
    """A list of what is allowed: what is missing is off, and everything where a word is not understood."""
    words = {word.strip().lower() for word in given.value.split(",")} - {""}
    if not words <= {"opens", *OFF, *_MANDRILL}:
        return _asking(options, NOTHING), False
    clicks = [_MANDRILL[word] for word in words if word in _MANDRILL]
    if "opens" not in words:
        options = _asking(options, NO_OPENS)
    if not clicks:
        options = _asking(options, NO_CLICKS)
    for less in (HTML_ONLY, TEXT_ONLY):
        if clicks and all(one is less for one in clicks):
            options = _asking(options, less)
    return options, True


def _flag(value: object) -> bool | None:
    """None for what is neither on nor off."""
    word = value.strip().lower() if isinstance(value, str) else str(value).lower()
    return True if word in ON else False if word in OFF else None


# --- names ---


def tag(options: Options, given: Given) -> tuple[Options, bool]:
    return with_tags(options, [given.value]), True


def tags(options: Options, given: Given) -> tuple[Options, bool]:
    return with_tags(options, re.split("[,;]", given.value)), True


def campaign(options: Options, given: Given) -> tuple[Options, bool]:
    return with_campaign(options, given.value), True


def variable(name: str = "") -> Effect:
    """A variable whose name is given, or stands in the header's own name."""

    def effect(options: Options, given: Given) -> tuple[Options, bool]:
        return with_metadata(options, [(name or given.name, given.value)]), True

    return effect


def variables(options: Options, given: Given) -> tuple[Options, bool]:
    """A JSON object. One that names a recipient (`_rcpt`) is about that person and not about the message."""
    found = _object(given.value)
    if found is None or "_rcpt" in found:
        return options, found is not None
    return with_metadata(options, found.items()), True


def pairs(options: Options, given: Given) -> tuple[Options, bool]:
    """`name=value, name=value`."""
    found = [part.partition("=") for part in re.split("[,;]", given.value) if part.strip()]
    options = with_metadata(options, [(name, value) for name, sign, value in found if sign])
    return options, all(sign and name.strip() for name, sign, _ in found)


def configuration_set(options: Options, given: Given) -> tuple[Options, bool]:
    name = one_line(given.value, MAX_NAME)
    if name and options.policy not in (None, name):  # of two, neither is known to hold
        return _asking(options, NOTHING), False
    return replace(options, policy=name or options.policy), bool(name)


def with_tags(options: Options, names: Iterable[object]) -> Options:
    found = dict.fromkeys(options.tags)
    for name in names:
        one = one_line(name, MAX_TAG) if isinstance(name, str) else ""
        if one and len(found) < MAX_TAGS:
            found[one] = None
    return replace(options, tags=tuple(found))


def with_campaign(options: Options, name: str) -> Options:
    """Our own header's word holds where both are there."""
    return options if options.campaign else replace(options, campaign=one_line(name, MAX_NAME) or None)


def with_metadata(options: Options, items: Iterable[tuple[str, object]]) -> Options:
    """Of two values of one name the last one holds."""
    found = dict(options.metadata)
    for name, value in items:
        key, text = one_line(name, MAX_NAME), one_line(_told(value), MAX_VALUE)
        if key and text and (key in found or len(found) < MAX_METADATA):
            found[key] = text
    return replace(options, metadata=tuple(found.items()))


def _told(value: object) -> str:
    """A JSON value as text: what is no text itself stays JSON."""
    if isinstance(value, str) or value is None:
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- JSON ---


def _object(text: str) -> dict[str, object] | None:
    """None for what is no JSON object. One that says a thing twice contradicts itself, and is none."""
    try:
        found = json.loads(text, strict=False, object_pairs_hook=_said_once)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _said_once(items: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(items)
    if len(found) < len(items):
        raise ValueError("a name is there twice")
    return found


def _inner(found: Mapping[str, object], name: str) -> dict[str, object] | None:
    """The object of that name, empty where there is none; None for what is no object."""
    inner = found.get(name, {})
    return inner if isinstance(inner, dict) else None


def _switched(
    options: Options, found: Mapping[str, object], switches: Mapping[str, Less]
) -> tuple[Options, bool]:
    """What is not mentioned stays as it is."""
    understood = True
    for name, less in switches.items():
        if name in found:
            said = _flag(found[name])
            options = options if said else _asking(options, less)
            understood = understood and said is not None
    return options, understood


def _named(options: Options, value: object) -> Options:
    return with_tags(options, value if isinstance(value, list) else [value])


def _has_misspelt(found: Mapping[str, object], known: Collection[str]) -> bool:
    """A name that tells of tracking and is none of these was meant as a switch."""
    return any("track" in name.lower() and name not in known for name in found)


_FILTERS: Mapping[str, tuple[Mapping[str, Less], Less]] = {
    "clicktrack": ({"enable": NO_CLICKS, "enable_text": HTML_ONLY}, NO_CLICKS),
    "opentrack": ({"enable": NO_OPENS}, NO_OPENS),
}


def smtpapi(options: Options, given: Given) -> tuple[Options, bool]:
    """SendGrid's object. Of its lists of recipients nothing is read."""
    found = _object(given.value)
    filters = None if found is None else _inner(found, "filters")
    if found is None or filters is None:
        return _asking(options, NOTHING), False
    understood = not _has_misspelt(filters, (*_FILTERS, "subscriptiontrack"))
    if not understood:
        options = _asking(options, NOTHING)
    for name, (switches, less) in _FILTERS.items():
        inner = _inner(filters, name)
        settings = None if inner is None else _inner(inner, "settings")
        if settings is None:
            options, understood = _asking(options, less), False
        else:
            options, fine = _switched(options, settings, switches)
            understood = understood and fine
    options = with_metadata(
        _named(options, found.get("category")), (_inner(found, "unique_args") or {}).items()
    )
    return options, understood


_MSYS: Mapping[str, Less] = {"open_tracking": NO_OPENS, "click_tracking": NO_CLICKS}


def msys(options: Options, given: Given) -> tuple[Options, bool]:
    """SparkPost's and Momentum's object."""
    found = _object(given.value)
    asked = None if found is None else _inner(found, "options")
    if found is None or asked is None:
        return _asking(options, NOTHING), False
    options, understood = _switched(options, asked, _MSYS)
    if _has_misspelt(asked, _MSYS):
        options, understood = _asking(options, NOTHING), False
    name = found.get("campaign_id")
    if isinstance(name, str):
        options = with_campaign(options, name)
    options = with_metadata(_named(options, found.get("tags")), (_inner(found, "metadata") or {}).items())
    return options, understood


def alidm(options: Options, given: Given) -> tuple[Options, bool]:
    """Aliyun's object, in base64."""
    try:
        octets = base64.b64decode("".join(given.value.split()), validate=True)
        found = _object(octets.decode("utf-8"))
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        return _asking(options, NOTHING), False
    options, understood = _switched(options, found, {"OpenTrace": NO_OPENS, "LinkTrace": NO_CLICKS})
    return _named(options, found.get("TagName")), understood
