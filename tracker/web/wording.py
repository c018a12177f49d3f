"""The pages' words in the reader's language, and the operator's name, logo and addresses on them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp_jinja2
from aiohttp import web
from markupsafe import Markup

from tracker import words as all_words
from tracker.config import HostTable, PreferencesTable, TrackerTable
from tracker.words import LANGUAGES, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Who the pages speak for."""

    words: Mapping[str, Words]
    language: str
    sender_name: str
    contact: str
    privacy_url: str
    asks: bool
    """There are forms for one's data."""
    logo: str
    """A `data:` URL: the page fetches nothing."""
    apple_app_site_association: bytes = b""
    asset_links: bytes = b""

    @property
    def languages(self) -> list[Words]:
        return [self.words[language] for language in LANGUAGES]

    def data(self, words: Words) -> Markup:
        """How to get or erase one's data."""
        if not self.contact:
            return words["data_sender"]
        target = self.contact if "://" in self.contact else f"mailto:{self.contact}"
        link = Markup('<a href="{}" rel="noreferrer">{}</a>').format(target, self.contact)
        return words.say("data_contact", contact=link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Houses:
    """Whom the pages of each host speak for: several brands may have one tracker."""

    by_host: Mapping[str, House]
    otherwise: House

    def at(self, host: str) -> House:
        """By the name that the reader's browser asked for."""
        return self.by_host.get(host.lower(), self.otherwise)


HOUSES = web.AppKey("houses", Houses)


def houses(table: PreferencesTable, tracker: TrackerTable) -> Houses:
    """The same from the configuration, which has been checked. What a host does not say is as for all."""
    by_host: dict[str, House] = {}
    for one in tracker.host:
        own = {name: getattr(one, name) for name in _OF_A_HOST if getattr(one, name)}
        name = urlsplit(one.public_url).hostname or ""
        by_host.setdefault(name, _house(table.model_copy(update=own), one))
    return Houses(by_host=by_host, otherwise=_house(table, tracker))


_OF_A_HOST = ("sender_name", "contact", "privacy_url", "logo", "language")


def house_of(request: web.Request) -> House:
    """For whom this request's page speaks."""
    return request.app[HOUSES].at(urlsplit(f"//{request.host}").hostname or "")


def _house(table: PreferencesTable, host: TrackerTable | HostTable) -> House:
    return House(
        words=all_words.load(table.words),
        language=table.language,
        sender_name=table.sender_name,
        contact=table.contact,
        privacy_url=table.privacy_url,
        asks=table.data_requests != "contact",
        logo=_inline(table.logo),
        apple_app_site_association=_content(host.apple_app_site_association),
        asset_links=_content(host.asset_links),
    )


def words(request: web.Request) -> Words:
    """The words for this reader."""
    speaker = house_of(request)
    accepted = request.headers.get("Accept-Language", "")
    return speaker.words[all_words.chosen(request.query.get("lang"), accepted, speaker.language)]


def page(template: str, request: web.Request, context: dict[str, Any], *, status: int = 200) -> web.Response:
    """The page in the reader's language."""
    response = aiohttp_jinja2.render_template(
        template, request, context | {"w": words(request)}, status=status
    )
    response.headers["Content-Language"] = words(request).language
    response.headers["Vary"] = "Accept-Language"
    return response


def trouble(request: web.Request, title: str, text: str, *, status: int = 200) -> web.Response:
    """A page with one thing to say; `title` and `text` are names of words."""
    said = words(request)
    return page("trouble.html", request, {"title": said[title], "text": said[text]}, status=status)


def _content(file: str) -> bytes:
    return Path(file).read_bytes() if file else b""


def _inline(logo: str) -> str:
    if not logo:
        return ""
    kind = LOGOS[Path(logo).suffix.lower()]
    return f"data:{kind};base64,{base64.b64encode(Path(logo).read_bytes()).decode()}"


LOGOS = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
