"""A message as a page may show it: its HTML with nothing that acts, and on each wrapped link what is to be said of it.

What reads it is a browser that is told to run and load nothing (the page's sandbox and its Content-Security-Policy
are the wall); what is taken out here would only look broken behind it. Pure.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage, MIMEPart
from email.policy import default

from bs4 import BeautifulSoup, Tag
from bs4.element import PreformattedString

from relay.rewrite import Link, Rules, compile_message

_MARK = "https://link.invalid/"
"""Stands in front of a link's number while its place is looked for (RFC 6761 6.4: nobody's)."""
_GONE = (
    *(
        "script",
        "noscript",
        "base",
        "meta",
        "link",
        "title",
        "iframe",
        "frame",
        "frameset",
        "object",
        "embed",
    ),
    *(
        "applet",
        "audio",
        "video",
        "svg",
        "math",
        "template",
        "dialog",
        "portal",
        "input",
        "select",
        "textarea",
    ),
)
_OPENED = ("form", "button", "label")
"""Elements that act but whose content is read."""
_PLAIN = re.compile(r"[a-z][a-z0-9-]*", re.IGNORECASE)
_ACTING = re.compile(
    r"on.*|href|xlink:href|src|srcset|srcdoc|action|formaction|background|ping|target|poster|data|cite|longdesc|"
    r"usemap|autofocus|tabindex|accesskey|contenteditable|http-equiv|manifest|popover.*",
    re.IGNORECASE,
)
_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})
_INLINE = re.compile(r"data:image/(?:png|jpe?g|gif|webp|bmp);base64,[A-Za-z0-9+/=\s]*\Z")
_BADGE = (
    "all:initial!important;display:inline-block!important;margin:0 2px!important;padding:1px 7px!important;"
    "border-radius:9px!important;background:#1f5f8b!important;color:#fff!important;"
    "font:700 12px/16px system-ui,sans-serif!important;vertical-align:middle!important;white-space:nowrap!important"
)
_FRAME = "outline:2px solid #1f5f8b!important;outline-offset:1px!important"


def displayed(data: bytes, rules: Rules, badges: Mapping[int, tuple[str, str]]) -> str | None:
    """The message's HTML, with a badge on each link that `badges` tell of: by its number, where it led when it was
    sent, and the badge's words. None where the message has no HTML."""
    plan = compile_message(data, replace(rules, track_signed=True))
    same = {link.number for link in plan.links if badges.get(link.number, ("",))[0] == link.url}
    # Under other rules than it was sent by, links have other numbers: then those that differ bear no badge.
    marked = plan.render(link_url=_marked, pixel_url=None) if plan.links else data
    message = message_from_bytes(marked, policy=default)
    body = message.get_body(("html",)) if isinstance(message, EmailMessage) else None
    if body is None:
        return None
    soup = BeautifulSoup(_text(body), "html.parser")
    _badge(soup, {number: words for number, (_, words) in badges.items() if number in same})
    _calm(soup, _pictures(message))
    return str(soup)


def _marked(link: Link) -> str:
    return f"{_MARK}{link.number}"


def _text(part: MIMEPart) -> str:
    octets = part.get_payload(decode=True)
    octets = octets if isinstance(octets, bytes) else b""
    try:
        return octets.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        return octets.decode("utf-8", "replace")


def _pictures(message: EmailMessage) -> dict[str, str]:
    """Pictures that come with the message, as data URLs by content id."""
    found = {}
    for part in message.walk():
        name = str(part.get("Content-ID", "")).strip().strip("<>")
        kind = part.get_content_type()
        octets = part.get_payload(decode=True) if name and kind in _PICTURES else None
        if isinstance(octets, bytes):
            found[name] = f"data:{kind};base64,{b64encode(octets).decode()}"
    return found


def _badge(soup: BeautifulSoup, badges: Mapping[int, str]) -> None:
    for element in soup.find_all(href=re.compile(re.escape(_MARK))):
        number = str(element["href"]).removeprefix(_MARK)
        words = badges.get(int(number)) if number.isdigit() else None
        if words is None:
            continue
        badge = soup.new_tag("span", attrs={"style": _BADGE})
        badge.string = words
        element["style"] = f"{element.get('style', '')};{_FRAME}"
        (element.insert_after if element.name == "area" else element.append)(badge)


def _calm(soup: BeautifulSoup, pictures: Mapping[str, str]) -> None:
    """Nothing leads anywhere, loads anything or waits for a key."""
    for element in soup.find_all(_GONE):
        element.decompose()
    for odd in soup.find_all(string=lambda text: isinstance(text, PreformattedString)):
        odd.extract()  # comments, declarations: nobody sees them
    for element in soup.find_all(
        lambda element: element.name in _OPENED or not _PLAIN.fullmatch(element.name)
    ):
        element.unwrap()
    for element in soup.find_all(True):
        picture = _picture(element, pictures)
        for name in [name for name in element.attrs if _ACTING.fullmatch(name) or not _PLAIN.fullmatch(name)]:
            del element[name]
        if picture:
            element["src"] = picture


def _picture(element: Tag, pictures: Mapping[str, str]) -> str | None:
    source = str(element.get("src", "")) if element.name == "img" else ""
    if source.lower().startswith("cid:"):
        return pictures.get(source[4:])
    return source if _INLINE.fullmatch(source) else None
