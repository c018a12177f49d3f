"""The pages' words in the reader's language, and the operator's name, logo and addresses on them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp_jinja2
from aiohttp import web
from markupsafe import Markup

from tracker import log
from tracker import words as all_words
from tracker.config import Config, PreferencesTable
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


class Speaker:
    """Who speaks on the pages now; a new configuration may put another in its place."""

    def __init__(self, table: PreferencesTable) -> None:
        """Raises OSError for a logo that cannot be read."""
        self.house = house(table)

    def renew(self, config: Config) -> None:
        """Wording, logo and addresses as they are now, the logo's file read anew. Should it have gone since the
        configuration was checked, the pages stay as they were."""
        try:
            self.house = house(config.preferences)
        except OSError as error:
            log.reload_refused(f"[preferences] logo: {error.strerror or error}: the pages stay as they were")


SPEAKER = web.AppKey("speaker", Speaker)


def house(table: PreferencesTable) -> House:
    """The same from the configuration, which has been checked."""
    return House(
        words=all_words.load(table.words),
        language=table.language,
        sender_name=table.sender_name,
        contact=table.contact,
        privacy_url=table.privacy_url,
        asks=table.data_requests != "contact",
        logo=_inline(table.logo),
    )


def words(request: web.Request) -> Words:
    """The words for this reader."""
    speaker = request.app[SPEAKER].house
    accepted = request.headers.get("Accept-Language", "")
    return speaker.words[all_words.chosen(request.query.get("lang"), accepted, speaker.language)]


def page(template: str, request: web.Request, context: dict[str, Any], *, status: int = 200) -> web.Response:
    """The page in the reader's language."""
    response = aiohttp_jinja2.render_template(
        template, request, context | {"w": words(request), "house": request.app[SPEAKER].house}, status=status
    )
    response.headers["Content-Language"] = words(request).language
    response.headers["Vary"] = "Accept-Language"
    return response


def trouble(request: web.Request, title: str, text: str, *, status: int = 200) -> web.Response:
    """A page with one thing to say; `title` and `text` are names of words."""
    said = words(request)
    return page("trouble.html", request, {"title": said[title], "text": said[text]}, status=status)


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
