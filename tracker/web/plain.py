"""The request of a mail program, read without the web framework: a hit's head, and nothing but a hit's. Pure.

Almost every request is one, and the framework would take longer over its head than the rest of the hit takes. What is
not exactly such a request (another method, a body, an escaped path, a header that asks for something) is left to the
framework, which speaks all of HTTP; a test holds that both answer alike. Read strictly: doubt goes to the framework.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tracker.tokens import Kind

MOST_HEAD = 32 * 1024
"""Octets of a request's head; our longest token is an eighth of that."""
_MOST_LINES = 100
_MOST_NAMES = 512

_REQUEST = re.compile(rb"(GET|HEAD) /([oc])/([A-Za-z0-9_-]+)(\.gif)?(?:\?[!-~]*)? HTTP/1\.([01])")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])
_KINDS = {b"o": Kind.OPEN, b"c": Kind.CLICK}

_PASSED_OVER, _AGENT, _CONNECTION, _FORWARDED, _FORWARDED_FOR, _ASKS = range(6)
_MEANINGS = {
    b"user-agent": _AGENT,
    b"connection": _CONNECTION,
    b"forwarded": _FORWARDED,
    b"x-forwarded-for": _FORWARDED_FOR,
    b"content-length": _ASKS,
    b"transfer-encoding": _ASKS,
    b"expect": _ASKS,
    b"upgrade": _ASKS,
    b"http2-settings": _ASKS,
}
_ABOUT_KEEPING = {b"close", b"keep-alive", b""}
_seen: dict[bytes, int] = {}
"""Header names as they were spelt, and what they mean here: a mail program spells them the same each time."""


class Plain(NamedTuple):
    """What a plain request asks for and says of itself."""

    get: bool
    """GET; else HEAD, which counts for nothing."""
    kind: Kind
    token: str
    user_agent: str
    old: bool
    """HTTP/1.0."""
    keep: bool
    """The connection stays open for the next."""
    forwarded: str
    forwarded_for: str


def read_plain(head: bytes) -> Plain | None:
    """What the head (with the empty line that ends it) asks for; None where the framework is to look at it."""
    lines = head[:-4].split(b"\r\n")
    request = _REQUEST.fullmatch(lines[0])
    ends = len(lines) + 1
    if request is None or ends > _MOST_LINES or head.count(b"\r") != ends or head.count(b"\n") != ends:
        return None
    if len(head.translate(None, _CONTROLS)) != len(head):
        return None
    method, kind, token, gif, minor = request.groups()
    if gif and kind == b"c":
        return None
    agent: bytes | None = None
    forwarded = forwarded_for = b""
    old = minor == b"0"
    asked: set[bytes] = set()
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        meaning = _seen.get(name, -1)
        if meaning < 0:
            meaning = _meaning(name)
        if not meaning:
            if not colon:
                return None
        elif meaning == _AGENT:
            agent = value if agent is None else agent
        elif meaning == _CONNECTION:
            asked.update(word.strip(b" \t") for word in value.lower().split(b","))
        elif meaning == _FORWARDED:
            forwarded = forwarded + b"," + value if forwarded else value
        elif meaning == _FORWARDED_FOR:
            forwarded_for = forwarded_for + b"," + value if forwarded_for else value
        else:
            return None
    if asked and not asked <= _ABOUT_KEEPING:
        return None
    keep = b"close" not in asked and (not old or b"keep-alive" in asked)  # RFC 9112 9.3
    return Plain(
        method == b"GET",
        _KINDS[kind],
        token.decode("ascii"),
        agent.strip(b" \t").decode("utf-8", "replace") if agent else "",
        old,
        keep,
        forwarded.decode("latin-1"),
        forwarded_for.decode("latin-1"),
    )


def _meaning(name: bytes) -> int:
    """What a header's name means here; what is no name is the framework's to refuse."""
    meaning = _MEANINGS.get(name.lower(), _PASSED_OVER) if _NAME.fullmatch(name) else _ASKS
    if len(_seen) < _MOST_NAMES and len(name) < 64:
        _seen[name] = meaning
    return meaning
