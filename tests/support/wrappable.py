"""Which links of a message ought to be wrapped: the rules told a second time, over lexbor's reading.

Shares no code with the rewriter; of its configuration only the lists of hosts and patterns.
"""

from __future__ import annotations

import re
from collections import Counter
from email import message_from_bytes, policy
from fnmatch import fnmatchcase

from selectolax.lexbor import LexborHTMLParser, LexborNode
from support.anatomy import leaves, wide_codec
from support.verifier import as_browsers_read

from relay.rulebook import Rules

_PLACEHOLDERS = ("{{", "}}", "{%", "%}", "*|", "|*", "<%", "%>", "${", "[[", "]]", "[%", "%]", "#{")
_OPT_OUTS = {
    "ses:no-track": None,
    "clicktracking": "off",
    "data-msys-clicktrack": "0",
    "data-pm-no-track": None,
    "data-no-track": None,
    "mc:disable-tracking": None,
    "mautic:disable-tracking": None,
    "data-candor-no-track": None,
    "autotrack": "false",
}
_ON = ("on", "yes", "true", "1")
_DOMAIN = re.compile(r"(?:https?://|www\.)\S+|(?:[a-z0-9-]+\.)+[a-z]{2,24}(?:[:/?#]\S*)?", re.IGNORECASE)


def wrappable(data: bytes, rules: Rules) -> tuple[Counter[str], dict[str, str]]:
    """The destinations that ought to be wrapped, and why the other web links ought to stay."""
    wanted: Counter[str] = Counter()
    declined: dict[str, str] = {}
    listed = re.findall(
        r"<([^<>]*)>", str(message_from_bytes(data, policy=policy.compat32).get("list-unsubscribe"))
    )
    for leaf in leaves(data):
        if not leaf.is_body or leaf.kind != "text/html":
            continue
        octets = leaf.content(data)
        codec = wide_codec(leaf.charset, octets) or leaf.charset or "utf-8"
        for node in LexborHTMLParser(_decoded(octets, codec)).css("a[href], area[href]"):
            url = as_browsers_read(node.attributes["href"] or "")
            if not re.match("https?:", url, re.IGNORECASE):
                continue
            reason = _why_not(url, node, rules, listed)
            if reason:
                declined[url] = reason
            else:
                wanted[url] += 1
    return wanted, declined


def _decoded(octets: bytes, codec: str) -> str:
    try:
        return octets.decode(codec, "replace")
    except LookupError:
        return octets.decode("latin-1")


def _why_not(url: str, node: LexborNode, rules: Rules, listed: list[str]) -> str:
    host = re.match(r"https?://(?:([^/?#\\]*)@)?([^/?#\\@:]*)", url, re.IGNORECASE)
    text = " ".join(node.text().split())
    if host is None or not host[2]:
        return "no host"
    if any(mark in url for mark in _PLACEHOLDERS) or re.search("%%[^%]+%%", url):
        return "placeholder"
    if not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        return "characters"
    if host[1] is not None:
        return "user"
    if any(
        name in node.attributes
        and (value is None or (node.attributes[name] or "").strip().lower() not in _ON)
        for name, value in _OPT_OUTS.items()
    ):
        return "opted out"
    if url in listed or _any(rules.unsubscribe_patterns, url, text):
        return "unsubscribe"
    if any(fnmatchcase(host[2].lower(), pattern) for pattern in (*rules.wrapped_hosts, *rules.skip_hosts)):
        return "host"
    if _any(rules.skip_patterns, url):
        return "login, reset, payment"
    if _DOMAIN.fullmatch(text.strip("<>()[] .,;:")):
        return "visible address"
    return "too long" if len(url) > rules.max_url_length else ""


def _any(patterns: tuple[str, ...], *texts: str) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns for text in texts)
