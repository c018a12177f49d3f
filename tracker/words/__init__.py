"""What the pages say, in each language: one TOML file a language, the same keys in all, and the reader's choice
among them.

Our own words may hold `<strong>`; what the operator puts in their place, and everything put into a sentence, is
plain text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

LANGUAGES = ("en", "fr", "it", "de")
"""In the order in which the page offers them."""


class Words:
    """The sentences of one language, by name."""

    def __init__(self, language: str, sentences: Mapping[str, Markup]) -> None:
        self.language = language
        self._sentences = sentences

    def __getitem__(self, name: str) -> Markup:
        return self._sentences[name]

    def say(self, name: str, **values: Any) -> Markup:
        """The sentence with the values in it, escaped unless they are markup already."""
        return self._sentences[name].format(**values)

    def plain(self, name: str) -> str:
        """Without markup: as people read it, and as evidence keeps it."""
        return self._sentences[name].striptags()


def load(changed: Mapping[Any, Mapping[str, str]] | None = None) -> dict[str, Words]:
    """All languages; `changed` holds the operator's wording by language and name. Names that we do not know raise
    KeyError: the configuration has been checked before."""
    found = {}
    for language in LANGUAGES:
        text = files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
        sentences = {name: Markup(sentence) for name, sentence in tomllib.loads(text).items()}  # noqa: S704 - ours
        for name, sentence in (changed or {}).get(language, {}).items():
            if name not in sentences:
                raise KeyError(name)
            plain, known = str(escape(sentence)), PLACEHOLDERS.get(name, ())
            if known:  # only our placeholders mean anything in it; any other brace stays a brace
                plain = plain.replace("{", "{{").replace("}", "}}")
            for placeholder in known:
                plain = plain.replace("{{" + placeholder + "}}", "{" + placeholder + "}")
            sentences[name] = Markup(plain)  # noqa: S704 - escaped above
        found[language] = Words(language, sentences)
    return found


NAMES = frozenset(tomllib.loads(files(__package__).joinpath("en.toml").read_text(encoding="utf-8")))
"""Of all sentences."""
PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    "about": ("address",),
    "about_from": ("address", "sender"),
    "kept_identified": ("years",),
    "data_contact": ("contact",),
    "asked_export": ("address",),
}
"""What may be put into a sentence."""


def chosen(asked: str | None, accepted: str, default: str) -> str:
    """The language of a page: the one asked for, else the best of `Accept-Language` (RFC 9110 12.5.4), else the
    operator's."""
    if asked in LANGUAGES:
        return asked
    best, weight = default, 0.0
    for entry in accepted[:1000].split(","):
        tag, _, parameters = entry.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(parameters)
        if language in LANGUAGES and quality > weight:
            best, weight = language, quality
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if not parameters.strip():
        return 1.0
    try:
        return min(1.0, float(value)) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
